/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first program of a back end: it is born like a worker, without any right, in a root that has
 * nothing but /usr and an image, and becomes the program that serves it. Everything about that
 * program which needs no root is done here: its arguments, its descriptors, its system calls.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/backend/command.h"
#include "driver/backend/filter.h"
#include "driver/base/cleanup.h"
#include "driver/wire/packet.h"

#define SEND_TIMEOUT_MS 5000
#define HIGH_FD 64 /* descriptors from here on do not collide with those it shall have */

enum { FD_WORDS, FD_SECOND, NR_FDS };

static int backend_receive(struct backend_start *start, struct packet *p, int channel_fd,
			   struct err *e)
{
	int r = packet_receive(channel_fd, p, -1);

	if (r < 0)
		return err_sys(e, -r, "no word from the helper");
	if (p->size != sizeof(*start))
		return err_set(e, EPROTO, "the helper speaks another version");
	memcpy(start, p->bytes, sizeof(*start));
	if (start->head.magic != START_MAGIC || start->head.version != START_VERSION ||
	    start->head.type != START_BACKEND || start->head.size != sizeof(*start) ||
	    start->flags & ~(uint32_t)BACKEND_FLAGS_ALL ||
	    p->nr_fds != (command_serves(start) || command_answers(start) ? NR_FDS : FD_SECOND))
		return err_set(e, EPROTO, "the helper speaks another version");
	return 0;
}

/* Its words, twice, or its answer and its words; the socket, which it inherits; nothing else. */
static int backend_descriptors(const struct backend_start *start, const struct packet *p,
			       struct err *e)
{
	bool serves = command_serves(start);
	int words_fd = fcntl(p->fds[FD_WORDS], F_DUPFD_CLOEXEC, HIGH_FD);
	int second_fd = p->nr_fds > FD_SECOND ? fcntl(p->fds[FD_SECOND], F_DUPFD_CLOEXEC, HIGH_FD)
					      : words_fd;

	if (words_fd < 0 || second_fd < 0 || dup2(words_fd, STDERR_FILENO) < 0 ||
	    dup2(serves ? words_fd : second_fd, STDOUT_FILENO) < 0 ||
	    (serves && dup2(second_fd, BACKEND_LISTEN_FD) < 0) ||
	    close_range(BACKEND_LISTEN_FD + serves, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return err_sys(e, errno, "cannot place descriptors");
	return 0;
}

/*
 * Memory for the data of a few requests at once stays with the program. Else the C library gives
 * it back to the kernel behind each of them, which clears its pages anew for the next.
 */
#define BACKEND_MMAP_THRESHOLD "MALLOC_MMAP_THRESHOLD_=8388608"
#define BACKEND_TRIM_THRESHOLD "MALLOC_TRIM_THRESHOLD_=67108864"

static int backend_execute(const struct backend_start *start, struct command *c, struct err *e)
{
	char listen_pid[32];
	char *const environment[] = {
		(char *)"PATH=/usr/sbin:/usr/bin",
		(char *)"LANG=C",
		(char *)"HOME=/tmp",
		(char *)"TMPDIR=/tmp",
		(char *)BACKEND_MMAP_THRESHOLD,
		(char *)BACKEND_TRIM_THRESHOLD,
		(char *)"LISTEN_FDS=1",
		listen_pid,
		NULL,
	};
	int r;

	snprintf(listen_pid, sizeof(listen_pid), "LISTEN_PID=%d", (int)getpid());
	umask(0077);
	if (chdir("/") < 0)
		return err_sys(e, errno, "cannot enter the root");
	r = filter_enter(start, e);
	if (r < 0)
		return r;
	execve(c->argv[0], c->argv, environment);
	return err_sys(e, errno, "cannot execute %s", c->argv[0]);
}

static int backend_main(int channel_fd, struct err *e)
{
	auto_packet struct packet p = PACKET_INIT;
	struct backend_start start;
	struct command c;
	int r;

	r = backend_receive(&start, &p, channel_fd, e);
	if (r == 0)
		r = command_make(&c, &start, e);
	if (r == 0)
		r = backend_descriptors(&start, &p, e);
	return r < 0 ? r : backend_execute(&start, &c, e);
}

int main(void)
{
	struct start_failed m = {
		.head = { START_MAGIC, START_VERSION, START_FAILED, sizeof(m), 0 },
	};
	struct err e = { "" };
	int channel_fd = fcntl(START_CHANNEL_FD, F_DUPFD_CLOEXEC, HIGH_FD);

	if (channel_fd < 0)
		return EXIT_FAILURE;
	/* Else the helper would never see that it was executed. */
	close(START_CHANNEL_FD);
	m.code = backend_main(channel_fd, &e);
	memcpy(m.reason, e.text, sizeof(m.reason) - 1);
	packet_send(channel_fd, &m, sizeof(m), NULL, 0, SEND_TIMEOUT_MS);
	return EXIT_FAILURE;
}
