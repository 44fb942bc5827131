/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/group.h"

#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "tests/hostile/ask.h"
#include "tests/hostile/strange.h"

#define CROWD 1000     /* more than there is room for; in each of the rounds */
#define CROWD_ROOT 100 /* of root, who has more room than that */
#define USER_ID 1000

/* Asks, and is gone before the answer, in every way there is. */
void group_leavers(struct caller *c)
{
	const struct wire_attach m = ask_attach(1);
	const struct wire_list list = { ask_head(WIRE_LIST, sizeof(list), 0) };
	auto_close int pidfd = strange_pidfd();

	for (int n = 0; n < 30; n++, c->nr_attempts++) {
		auto_close int fd = ask_connect(0);

		if (n % 2)
			ask_send(fd, &list, sizeof(list), NULL, 0);
		else
			ask_send(fd, &m, sizeof(m), &pidfd, 1);
		if (n % 5 < 3)
			shutdown(fd, n % 5); /* SHUT_RD, SHUT_WR, SHUT_RDWR */
		if (n % 5 == 3)
			ask_send(fd, &list, sizeof(list), NULL, 0);
	}
}

/* Asks for much, and reads nothing. */
void group_slow(struct caller *c)
{
	const struct wire_list list = { ask_head(WIRE_LIST, sizeof(list), 0) };
	int open[40];
	int waited;

	for (size_t i = 0; i < ARRAY_SIZE(open); i++, c->nr_attempts++) {
		open[i] = ask_connect(0);
		ask_send(open[i], &list, sizeof(list), NULL, 0);
	}
	waited = ask_round_trip_ms();
	caller_waited(c, "slow readers", waited);
	for (size_t i = 0; i < ARRAY_SIZE(open); i++)
		close(open[i]);
}

/* Silent connections, as many as fit. */
static void crowd_connect(int *open, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		open[i] = ask_connect(SOCK_NONBLOCK);
		if (open[i] < 0) {
			usleep(1000); /* the queue is full */
			open[i] = ask_connect(SOCK_NONBLOCK);
		}
	}
}

static void crowd_leave(const int *open, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		if (open[i] >= 0)
			close(open[i]);
	}
}

/* Of root: there is room for some, and the rest is turned away; then all leave. */
void group_crowd(struct caller *c)
{
	int open[CROWD];

	crowd_connect(open, CROWD_ROOT);
	if (ask_round_trip_ms() < 0) {
		fprintf(stderr, "%d silent connections shut another client out\n", CROWD_ROOT);
		exit(1);
	}
	crowd_connect(open + CROWD_ROOT, CROWD - CROWD_ROOT);
	crowd_leave(open, CROWD);
	c->nr_attempts += CROWD;
}

static void crowd_of_user(int said_fd, int end_fd)
{
	const struct group *group = getgrnam("ublk-oci");
	int open[CROWD];
	char byte;

	if (!group || setgroups(0, NULL) < 0 ||
	    setresgid(group->gr_gid, group->gr_gid, group->gr_gid) < 0 ||
	    setresuid(USER_ID, USER_ID, USER_ID) < 0)
		_exit(1);
	crowd_connect(open, CROWD);
	if (write(said_fd, "x", 1) != 1 || read(end_fd, &byte, 1) < 0)
		_exit(1);
	_exit(0); /* with all of them open */
}

/* Of a user who may connect: root is served all the while. */
void group_crowd_of_user(struct caller *c)
{
	int said[2], end[2], waited, status;
	char byte;
	pid_t pid;

	if (pipe2(said, O_CLOEXEC) < 0 || pipe2(end, O_CLOEXEC) < 0)
		ask_die("pipe");
	pid = fork();
	if (!pid) {
		close(end[1]);
		crowd_of_user(said[1], end[0]);
	}
	close(said[1]);
	close(end[0]);
	if (read(said[0], &byte, 1) != 1)
		ask_die("the crowd");
	waited = ask_round_trip_ms();
	close(said[0]);
	close(end[1]);
	if (waitpid(pid, &status, 0) < 0 || status)
		ask_die("the crowd");
	caller_waited(c, "a user's crowd", waited);
	c->nr_attempts += CROWD;
}
