/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/group.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "tests/hostile/ask.h"
#include "tests/hostile/shape.h"

/*
 * A child of the helper that sends a list waits when the socket's buffer is full. With the buffers
 * of a host that takes some 170 devices; here few do, with the smallest buffers a kernel gives. The
 * buffer that counts is the sender's, which a client cannot choose.
 */
#define SLOW_BUFFERS "/proc/sys/net/core/wmem_default"
#define SLOW_BUFFER_BYTES 4608
#define SLOW_CONNECTIONS 40
#define SLOW_PLACES 16	       /* there are for them: they are one user's */
#define SLOW_SEND_MS 4000      /* until the helper gives a reader up: two packets' time */
#define SLOW_DEADLINE_MS 33000 /* until a child that does not end is ended */
#define SLOW_SLACK_MS 4000
#define SLOW_STAY_MS 1500 /* longer than others; twice that is less than SLOW_SEND_MS */
#define SLOW_LOOK_MS 100

static long slow_buffers(long bytes)
{
	auto_fclose FILE *f = fopen(SLOW_BUFFERS, "r+e");
	long before;

	if (!f || fscanf(f, "%ld", &before) != 1)
		ask_die(SLOW_BUFFERS);
	rewind(f);
	if (fprintf(f, "%ld\n", bytes) < 0 || fflush(f))
		ask_die(SLOW_BUFFERS);
	return before;
}

static uint64_t slow_attach(void)
{
	const struct wire_attach m = ask_attach_host(TARGET_NULL, 0);
	auto_close int fd = ask_connect(0);
	struct wire_reply reply;

	ask_send(fd, &m, sizeof(m), NULL, 0);
	if (ask_answer(fd, &reply) == 0 && !reply.status)
		return reply.generation;
	fprintf(stderr, "a user gets no device: %s\n", reply.reason);
	_exit(1);
}

/* The user's own, by a rule: nobody else's would be in the user's list. */
void group_slow_begin(struct caller *c)
{
	int status;
	pid_t pid = caller_fork_user();

	if (!pid) {
		for (; c->nr_devices < CALLER_DEVICES_MAX; c->nr_devices++)
			c->devices[c->nr_devices] = slow_attach();
		_exit(0);
	}
	if (waitpid(pid, &status, 0) < 0 || status)
		exit(1);
}

void group_slow_end(struct caller *c)
{
	for (; c->nr_devices; c->nr_devices--) {
		const struct wire_detach m = {
			.head = ask_head(WIRE_DETACH, sizeof(m), 0),
			.generation = c->devices[c->nr_devices - 1],
		};
		auto_close int fd = ask_connect(0);
		struct wire_reply reply;

		ask_send(fd, &m, sizeof(m), NULL, 0);
		if (ask_answer(fd, &reply) < 0 || reply.status)
			ask_die("a device stays");
	}
}

/* Asks for the list, many times, and reads nothing. */
static _Noreturn void slow_read(int said_fd)
{
	const struct wire_list list = { ask_head(WIRE_LIST, sizeof(list), 0) };

	for (size_t i = 0; i < SLOW_CONNECTIONS; i++)
		ask_send(ask_connect(0), &list, sizeof(list), NULL, 0);
	if (write(said_fd, "x", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

/* The children that were not there before, and stay: how many. */
static size_t slow_waiting(const struct caller *c, const struct shape *before, pid_t *ret)
{
	static struct shape now;
	size_t nr = 0;

	clock_sleep_ms(SLOW_STAY_MS);
	shape_look(&now, c->helper);
	for (size_t i = 0; i < now.nr_children; i++) {
		ret[nr] = now.children[i];
		nr += !shape_keep_children(before, &ret[nr], 1);
	}
	clock_sleep_ms(SLOW_STAY_MS);
	shape_look(&now, c->helper);
	return shape_keep_children(&now, ret, nr);
}

/* In milliseconds: until the last of them has ended. */
static int64_t slow_until_ended(const struct caller *c, pid_t *waiting, size_t nr, int64_t begin,
				int most_ms)
{
	static struct shape now;
	int64_t took_ms;

	do {
		clock_sleep_ms(SLOW_LOOK_MS);
		shape_look(&now, c->helper);
		nr = shape_keep_children(&now, waiting, nr);
		took_ms = clock_now_ms() - begin;
	} while (nr && took_ms < most_ms);
	return nr ? -1 : took_ms;
}

/*
 * Of one user as many wait as there may be requests, until they lose their
 * patience. Those that are stopped cannot, and their buffers stay full: the
 * main process ends them behind their deadline, and waits for nobody to read.
 */
static void slow_watch(struct caller *c, const struct shape *before, bool stop)
{
	const int from_ms = stop ? SLOW_DEADLINE_MS - SLOW_SLACK_MS : 0;
	const int until_ms = (stop ? SLOW_DEADLINE_MS : SLOW_SEND_MS) + SLOW_SLACK_MS;
	static pid_t waiting[SHAPE_CHILDREN_MAX];
	int64_t begin = clock_now_ms(), took_ms;
	size_t nr = slow_waiting(c, before, waiting);
	bool good;

	for (size_t i = 0; stop && i < nr; i++)
		kill(waiting[i], SIGSTOP);
	took_ms = slow_until_ended(c, waiting, nr, begin, until_ms);
	good = nr == SLOW_PLACES && took_ms >= from_ms;
	printf("%s caller: slow: %zu children wait for %d who do not read%s; the last ends after "
	       "%d ms\n",
	       good ? "ok" : "not ok", nr, SLOW_CONNECTIONS, stop ? ", and are stopped" : "",
	       (int)took_ms);
	fflush(stdout);
	if (!good)
		exit(1);
}

void group_slow(struct caller *c)
{
	static struct shape before;
	long bytes;
	int said[2];
	pid_t pid;
	char byte;

	shape_settle(&before, c->helper, c->nr_devices);
	if (pipe2(said, O_CLOEXEC) < 0)
		ask_die("pipe");
	bytes = slow_buffers(SLOW_BUFFER_BYTES);
	pid = caller_fork_user();
	if (!pid)
		slow_read(said[1]);
	close(said[1]);
	if (read(said[0], &byte, 1) != 1)
		ask_die("slow readers");
	close(said[0]);
	slow_buffers(bytes);
	slow_watch(c, &before, c->round == CALLER_ROUNDS - 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	c->nr_attempts += SLOW_CONNECTIONS;
}
