/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/group.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "tests/hostile/ask.h"
#include "tests/hostile/strange.h"

#define CROWD 1000     /* more than there is room for; in each of the rounds */
#define CROWD_ROOT 100 /* of root, who has more room than that */
#define CROWD_STAY_MS 500
#define CROWD_GONE_MS 5000 /* the crowd before; this one may stay silent for twice as long */

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
	int64_t deadline = clock_deadline_ms(CROWD_GONE_MS);
	int open[CROWD];

	crowd_connect(open, CROWD_ROOT);
	while (ask_list(WIRE_SOCKET) < 0) {
		if (clock_left_ms(deadline))
			continue;
		fprintf(stderr, "%d silent connections shut another client out\n", CROWD_ROOT);
		exit(1);
	}
	crowd_connect(open + CROWD_ROOT, CROWD - CROWD_ROOT);
	clock_sleep_ms(CROWD_STAY_MS);
	crowd_leave(open, CROWD);
	c->nr_attempts += CROWD;
}

/* Of a user who may connect. */
void group_crowd_of_user(struct caller *c)
{
	int open[CROWD], status;
	pid_t pid = caller_fork_user();

	if (!pid) {
		crowd_connect(open, CROWD);
		clock_sleep_ms(CROWD_STAY_MS);
		_exit(0); /* with all of them open */
	}
	if (waitpid(pid, &status, 0) < 0 || status)
		ask_die("the crowd");
	c->nr_attempts += CROWD;
}
