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
#define SLOW_SLACK_MS 6000     /* for a busy machine: */
#define SLOW_BEGIN_MS 6000     /* by then all wait, or have */
#define SLOW_STAY_MS 2000      /* longer than a child for somebody else is there */
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

/* Children that were not there before, and from when to when they were seen. */
struct slow_children {
	size_t nr;
	struct slow_child {
		pid_t pid;
		int64_t first_ms, last_ms;
	} all[SHAPE_CHILDREN_MAX];
};

static struct slow_child *slow_child(struct slow_children *s, pid_t pid)
{
	size_t i = 0;

	while (i < s->nr && s->all[i].pid != pid)
		i++;
	if (i == SHAPE_CHILDREN_MAX)
		ask_die("too many children");
	if (i == s->nr)
		s->all[s->nr++] = (struct slow_child){ pid, clock_now_ms(), clock_now_ms() };
	return &s->all[i];
}

static bool slow_waits(const struct slow_child *child)
{
	return child->last_ms - child->first_ms >= SLOW_STAY_MS;
}

/* Looks once, and stops those that wait, when told to; how many that wait are there now. */
static size_t slow_look(const struct caller *c, const struct shape *before,
			struct slow_children *seen, bool stop)
{
	static struct shape now;
	size_t nr = 0;

	shape_look(&now, c->helper);
	for (size_t i = 0; i < now.nr_children; i++) {
		pid_t pid = now.children[i];
		struct slow_child *child;

		if (shape_has_child(before, pid))
			continue;
		child = slow_child(seen, pid);
		child->last_ms = clock_now_ms();
		nr += slow_waits(child);
		if (stop && slow_waits(child))
			kill(pid, SIGSTOP);
	}
	return nr;
}

/*
 * Of one user as many wait as there may be requests, until they lose their
 * patience. Those that are stopped cannot, and their buffers stay full: the
 * main process ends them behind their deadline, and waits for nobody to read.
 */
static void slow_watch(struct caller *c, const struct shape *before, bool stop)
{
	const int64_t begin = clock_now_ms(),
		      until = begin + SLOW_SLACK_MS + (stop ? SLOW_DEADLINE_MS : SLOW_SEND_MS);
	static struct slow_children seen;
	int64_t took_ms = 0;
	size_t nr = 0, left;
	bool good;

	seen.nr = 0;
	do {
		clock_sleep_ms(SLOW_LOOK_MS);
		left = slow_look(c, before, &seen, stop);
	} while ((left || clock_now_ms() < begin + SLOW_BEGIN_MS) && clock_now_ms() < until);
	for (size_t i = 0; i < seen.nr; i++) {
		if (!slow_waits(&seen.all[i]))
			continue;
		nr++;
		took_ms = seen.all[i].last_ms - begin > took_ms ? seen.all[i].last_ms - begin
								: took_ms;
	}
	good = nr == SLOW_PLACES && !left &&
	       took_ms >= (stop ? SLOW_DEADLINE_MS - SLOW_SLACK_MS : 0);
	printf("%s caller: slow: %zu children wait for %d who do not read%s; after %d ms there are "
	       "%zu\n",
	       good ? "ok" : "not ok", nr, SLOW_CONNECTIONS, stop ? ", and are stopped" : "",
	       (int)took_ms, left);
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
