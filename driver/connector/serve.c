/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/connector/serve.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/text.h"
#include "driver/connector/negotiate.h"
#include "driver/wire/connect.h"
#include "driver/wire/packet.h"

#define SERVE_PACKET_MS 5000
#define SERVE_TIMEOUT_MAX_MS 60000u
#define SERVE_ALARM_S 5 /* behind the deadline: to look a name up cannot be told to hurry */

static struct connect_made serve_answer(enum connect_type type, int status, const char *why)
{
	struct connect_made m = {
		.head = { CONNECT_MAGIC, CONNECT_VERSION, (uint16_t)type, sizeof(m), 0 },
		.status = status,
	};

	for (size_t i = 0; i + 1 < sizeof(m.reason) && why[i]; i++)
		m.reason[i] = why[i];
	return m;
}

static void serve_send(int fd, struct connect_made *m, const int *fds, unsigned int nr)
{
	m->head.nr_fds = nr;
	packet_send(fd, m, sizeof(*m), fds, nr, SERVE_PACKET_MS);
}

static void serve_make(int fd, struct packet *p)
{
	__attribute__((cleanup(negotiated_fini))) struct negotiated n = NEGOTIATED_INIT;
	struct connect_make ask;
	struct connect_made m;
	struct err e = { "" };
	int r;

	memcpy(&ask, p->bytes, sizeof(ask));
	if (ask.timeout_ms > SERVE_TIMEOUT_MAX_MS || !ask.nr_connections ||
	    ask.nr_connections > WIRE_CONNECTIONS_MAX ||
	    !text_padded_ok(ask.address, sizeof(ask.address)) ||
	    !text_padded_ok(ask.export_name, sizeof(ask.export_name)))
		return;
	alarm(ask.timeout_ms / 1000 + SERVE_ALARM_S);
	r = negotiate(&n, &ask, p->fds, p->nr_fds, &e);
	m = serve_answer(CONNECT_MADE, r, r < 0 ? e.text : "");
	if (r == 0) {
		m.flags = n.facts.flags;
		m.bytes = n.facts.bytes;
		m.min_block_bytes = n.facts.min_block_bytes;
		m.preferred_block_bytes = n.facts.preferred_block_bytes;
		m.max_block_bytes = n.facts.max_block_bytes;
	}
	serve_send(fd, &m, n.fds, r < 0 ? 0 : n.nr);
}

/*
 * Says that nothing more comes, and reads away what does until the server has closed too: by
 * then it has done all it was asked. What the network says by itself does not count.
 */
static int serve_end_one(int fd, int64_t deadline_ms)
{
	char bytes[65536];
	ssize_t n;

	shutdown(fd, SHUT_WR);
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (!n || (n < 0 && errno == ECONNRESET))
			return 0;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (clock_left_ms(deadline_ms) <= 0)
			return -ETIMEDOUT;
		if (n < 0)
			poll(&p, 1, clock_left_ms(deadline_ms));
	}
}

static void serve_end(int fd, struct packet *p)
{
	struct connect_made m;
	struct connect_end ask;
	int64_t deadline_ms;
	int r = 0, one;

	memcpy(&ask, p->bytes, sizeof(ask));
	if (ask.timeout_ms > SERVE_TIMEOUT_MAX_MS || ask.pad)
		return;
	alarm(ask.timeout_ms / 1000 + SERVE_ALARM_S);
	deadline_ms = clock_deadline_ms((int)ask.timeout_ms);
	for (unsigned int i = 0; i < p->nr_fds; i++)
		shutdown(p->fds[i], SHUT_WR);
	for (unsigned int i = 0; i < p->nr_fds; i++) {
		one = serve_end_one(p->fds[i], deadline_ms);
		r = r < 0 ? r : one;
	}
	m = serve_answer(CONNECT_ENDED, r,
			 r < 0 ? "the server has not closed the old connection" : "");
	serve_send(fd, &m, NULL, 0);
}

static const struct {
	enum connect_type type;
	size_t size;
	void (*serve)(int fd, struct packet *p);
} serve_table[] = {
	{ CONNECT_MAKE, sizeof(struct connect_make), serve_make },
	{ CONNECT_END, sizeof(struct connect_end), serve_end },
};

void serve_run(int fd)
{
	auto_packet struct packet p = PACKET_INIT;
	struct connect_head head;

	if (packet_receive(fd, &p, SERVE_PACKET_MS) < 0 || p.size < sizeof(head))
		return;
	memcpy(&head, p.bytes, sizeof(head));
	if (head.magic != CONNECT_MAGIC || head.version != CONNECT_VERSION || head.size != p.size ||
	    head.nr_fds != p.nr_fds)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(serve_table); i++) {
		if (head.type == serve_table[i].type && p.size == serve_table[i].size)
			serve_table[i].serve(fd, &p);
	}
}
