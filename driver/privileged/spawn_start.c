/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/spawn.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/clock.h"
#include "driver/wire/packet.h"

/* A worker's words are looked at as letters only. */
static int spawn_failed(const struct packet *p, struct err *e)
{
	struct start_failed m;

	memcpy(&m, p->bytes, sizeof(m));
	m.reason[sizeof(m.reason) - 1] = '\0';
	for (char *c = m.reason; *c; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
	return err_set(e, EPROTO, "the worker gave up: %s", m.reason);
}

static int spawn_await(const struct spawn_child *w, enum start_type type, int timeout_ms,
		       struct err *e)
{
	auto_packet struct packet p = PACKET_INIT;
	struct start_head head;
	int r;

	r = packet_receive(w->channel_fd, &p, timeout_ms);
	if (r == -ECONNRESET)
		return err_set(e, ECONNRESET, "the worker ended without a word");
	if (r < 0)
		return err_sys(e, -r, "no word from the worker");
	if (p.size < sizeof(head))
		return err_set(e, EPROTO, "a strange word from the worker");
	memcpy(&head, p.bytes, sizeof(head));
	if (head.magic != START_MAGIC || head.version != START_VERSION || head.size != p.size)
		return err_set(e, EPROTO, "the worker speaks another version");
	if (head.type == START_FAILED && p.size == sizeof(struct start_failed))
		return spawn_failed(&p, e);
	if (head.type != type || p.size != sizeof(struct start_step))
		return err_set(e, EPROTO, "a strange word from the worker");
	return 0;
}

int spawn_prepare(const struct spawn_child *w, const struct start_spec *spec,
		  const int *backing_fds, unsigned int nr_fds, int timeout_ms, struct err *e)
{
	struct start_spec m = *spec;
	int r;

	m.head = (struct start_head){ START_MAGIC, START_VERSION, START_SPEC, sizeof(m), nr_fds };
	r = packet_send(w->channel_fd, &m, sizeof(m), backing_fds, nr_fds, timeout_ms);
	if (r < 0)
		return err_sys(e, -r, "cannot send to the worker");
	return spawn_await(w, START_PREPARED, timeout_ms, e);
}

int spawn_serve(const struct spawn_child *w, int char_fd, int stats_fd, int notices_fd,
		int timeout_ms, struct err *e)
{
	const int fds[] = { char_fd, stats_fd, notices_fd };
	const struct start_step m = {
		.head = { START_MAGIC, START_VERSION, START_SERVE, sizeof(m), ARRAY_SIZE(fds) },
	};
	int r;

	r = packet_send(w->channel_fd, &m, sizeof(m), fds, ARRAY_SIZE(fds), timeout_ms);
	return r < 0 ? err_sys(e, -r, "cannot send the char device to the worker") : 0;
}

int spawn_wait_ready(const struct spawn_child *w, int timeout_ms, struct err *e)
{
	return spawn_await(w, START_READY, timeout_ms, e);
}

int spawn_wait_end(int pidfd, int timeout_ms)
{
	int64_t deadline = clock_deadline_ms(timeout_ms);
	struct pollfd pfd = { .fd = pidfd, .events = POLLIN };
	siginfo_t info;
	int r;

	do {
		r = poll(&pfd, 1, clock_left_ms(deadline));
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	if (!r)
		return -ETIMEDOUT;
	/* Only the parent can, and has to. */
	waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
	return 0;
}
