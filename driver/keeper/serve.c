/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/keeper/serve.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "driver/base/cleanup.h"
#include "driver/wire/packet.h"

#define SERVE_REST_MS 100

/* --- one packet ---------------------------------------------------------------------- */

struct serve_call {
	int fd; /* the connection */
	uint64_t generation;
	int *given_fd; /* of KEEP_PUT */
};

/* False: who asked does not have it. out_fd: -1 or a box, borrowed. */
static bool serve_reply(int fd, int status, int out_fd)
{
	const struct keep_reply m = {
		.magic = KEEP_MAGIC,
		.version = KEEP_VERSION,
		.type = KEEP_REPLY,
		.size = sizeof(m),
		.nr_fds = out_fd >= 0,
		.status = status,
	};

	return packet_send(fd, &m, sizeof(m), &out_fd, m.nr_fds, 0) == 0;
}

static bool serve_stay(struct table *t, const struct serve_call *call)
{
	return serve_reply(call->fd, 0, -1);
}

static bool serve_put(struct table *t, const struct serve_call *call)
{
	auto_close int old = -1;
	int r = table_put(t, call->generation, *call->given_fd, &old);

	if (r == 0)
		fd_take(call->given_fd);
	serve_reply(call->fd, r, old);
	return false;
}

static bool serve_get(struct table *t, const struct serve_call *call)
{
	int fd = table_get(t, call->generation);

	serve_reply(call->fd, fd < 0 ? fd : 0, fd);
	return false;
}

/* What nobody takes stays: closed here it would be the last one. */
static bool serve_drop(struct table *t, const struct serve_call *call)
{
	int fd = table_get(t, call->generation);

	if (serve_reply(call->fd, fd < 0 ? fd : 0, fd) && fd >= 0)
		close(table_take(t, call->generation));
	return false;
}

static bool serve_list(struct table *t, const struct serve_call *call)
{
	struct keep_names m = {
		.magic = KEEP_MAGIC,
		.version = KEEP_VERSION,
		.type = KEEP_NAMES,
		.size = sizeof(m),
	};

	m.nr = table_names(t, call->generation, m.generations, KEEP_NAMES_MAX);
	packet_send(call->fd, &m, sizeof(m), NULL, 0, 0);
	return false;
}

static const struct {
	bool (*run)(struct table *t, const struct serve_call *call);
	unsigned int nr_fds;
} serve_types[KEEP_TYPES] = {
	[KEEP_STAY] = { serve_stay, 0 }, [KEEP_PUT] = { serve_put, 1 },
	[KEEP_GET] = { serve_get, 0 },	 [KEEP_DROP] = { serve_drop, 0 },
	[KEEP_LIST] = { serve_list, 0 },
};

bool serve_answer(struct table *t, int fd)
{
	auto_packet struct packet p = PACKET_INIT;
	struct keep_request m;
	int r;

	r = packet_receive(fd, &p, 0);
	if (r == -ETIMEDOUT)
		return true; /* it has said nothing after all */
	if (r < 0 || p.size < sizeof(m))
		return false;
	memcpy(&m, p.bytes, sizeof(m));
	if (m.magic != KEEP_MAGIC)
		return false;
	if (m.version != KEEP_VERSION) {
		serve_reply(fd, -EPROTONOSUPPORT, -1);
		return false;
	}
	if (m.size != sizeof(m) || p.size != sizeof(m) || m.type >= KEEP_TYPES ||
	    !serve_types[m.type].run || m.nr_fds != serve_types[m.type].nr_fds ||
	    p.nr_fds != m.nr_fds)
		return false;
	return serve_types[m.type].run(t, &(struct serve_call){ fd, m.generation, &p.fds[0] });
}

/* --- all of them ----------------------------------------------------------------------- */

static void serve_accept(struct serve *s)
{
	int fd;

	while (s->nr_connections < KEEP_CONNECTIONS_MAX) {
		fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			s->rests = errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
				   errno == ENOBUFS;
			return;
		}
		s->connections[s->nr_connections++] = fd;
	}
}

int serve_turn(struct serve *s, int timeout_ms, struct err *e)
{
	struct pollfd pfds[1 + KEEP_CONNECTIONS_MAX];
	bool room = s->nr_connections < KEEP_CONNECTIONS_MAX && !s->rests;
	unsigned int nr = s->nr_connections;

	pfds[0] = (struct pollfd){ .fd = room ? s->listen_fd : -1, .events = POLLIN };
	for (unsigned int i = 0; i < nr; i++)
		pfds[1 + i] = (struct pollfd){ .fd = s->connections[i], .events = POLLIN };
	if (poll(pfds, 1 + nr, s->rests ? SERVE_REST_MS : timeout_ms) < 0)
		return errno == EINTR ? 0 : err_sys(e, errno, "cannot wait");
	s->rests = false;
	/* Backwards: the last one, which takes the place of one that goes, has been seen. */
	for (unsigned int i = nr; i-- > 0;) {
		if (!pfds[1 + i].revents || serve_answer(&s->table, s->connections[i]))
			continue;
		close(s->connections[i]);
		s->connections[i] = s->connections[--s->nr_connections];
	}
	if (pfds[0].revents)
		serve_accept(s);
	return 0;
}
