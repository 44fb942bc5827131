/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any packets to the keeper, each over a connection of its own, with any number
 * of descriptors. An input is a row of them: how many descriptors, how many bytes,
 * the bytes. What is answered is an exact request, with what a model of the table
 * says; at the end nothing is open but what is kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/keeper/serve.h"
#include "driver/wire/packet.h"
#include "tests/fuzz/fuzz.h"

#define PACKETS_MAX 16
#define MODEL_NAMES 1000

static_assert(sizeof(struct keep_request) == 24 && KEEP_VERSION == 1, "mend seeds.py");

/* What should be there: names, as many as there are packets. */
struct model {
	unsigned int nr;
	uint64_t names[PACKETS_MAX];
};

static unsigned int model_place(const struct model *m, uint64_t name)
{
	unsigned int i = 0;

	while (i < m->nr && m->names[i] != name)
		i++;
	return i;
}

/* How many are told of, where the first ones are left out. */
static unsigned int model_names(const struct model *m, uint64_t first)
{
	return first < m->nr ? m->nr - (unsigned int)first : 0;
}

/* 1: no answer; MODEL_NAMES and more: so many names; else the status. *ret_fds: how many
 * descriptors come with it. */
static int model_answer(struct model *m, const struct keep_request *q, size_t size,
			unsigned int nr_fds, unsigned int *ret_fds)
{
	unsigned int place = model_place(m, q->generation);
	bool there = place < m->nr;

	*ret_fds = 0;
	if (size < sizeof(*q) || nr_fds > PACKET_FDS_MAX || q->magic != KEEP_MAGIC)
		return 1;
	if (q->version != KEEP_VERSION)
		return -EPROTONOSUPPORT;
	if (size != sizeof(*q) || q->size != sizeof(*q) || q->nr_fds != nr_fds ||
	    q->type < KEEP_STAY || q->type > KEEP_LIST || nr_fds != (q->type == KEEP_PUT))
		return 1;
	if (q->type == KEEP_LIST)
		return MODEL_NAMES + (int)model_names(m, q->generation);
	*ret_fds = there && q->type != KEEP_STAY;
	if (q->type == KEEP_PUT && !there)
		m->names[m->nr++] = q->generation;
	if (q->type == KEEP_DROP && there)
		m->names[place] = m->names[--m->nr];
	return q->type == KEEP_STAY || q->type == KEEP_PUT || there ? 0 : -ENOENT;
}

static int answer_names(const struct packet *p)
{
	struct keep_names m;

	memcpy(&m, p->bytes, sizeof(m));
	must(m.magic == KEEP_MAGIC && m.version == KEEP_VERSION && m.type == KEEP_NAMES &&
	     m.size == sizeof(m) && !m.nr_fds && !p->nr_fds && !m.pad && m.nr <= KEEP_NAMES_MAX);
	for (unsigned int i = m.nr; i < KEEP_NAMES_MAX; i++)
		must(!m.generations[i]);
	return MODEL_NAMES + (int)m.nr;
}

/* How it was answered, in the same way. */
static int answer_of(int fd, unsigned int *ret_fds)
{
	auto_packet struct packet p = PACKET_INIT;
	struct keep_reply m;
	int r = packet_receive(fd, &p, 0);

	*ret_fds = 0;
	if (r < 0) {
		must(r == -ETIMEDOUT);
		return 1;
	}
	if (p.size == sizeof(struct keep_names))
		return answer_names(&p);
	must(p.size == sizeof(m));
	memcpy(&m, p.bytes, sizeof(m));
	must(m.magic == KEEP_MAGIC && m.version == KEEP_VERSION && m.type == KEEP_REPLY &&
	     m.size == sizeof(m) && m.nr_fds == p.nr_fds && !m.pad);
	*ret_fds = p.nr_fds;
	return m.status;
}

static void one_packet(struct table *t, struct model *model, const uint8_t *bytes, size_t size,
		       unsigned int nr_fds)
{
	struct keep_request q = { 0 };
	unsigned int wanted_fds, got_fds;
	int fds[PACKET_FDS_MAX];
	int sockets[2];
	int wanted;
	bool stays;

	memcpy(&q, bytes, size < sizeof(q) ? size : sizeof(q));
	wanted = model_answer(model, &q, size, nr_fds, &wanted_fds);
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
	for (unsigned int i = 0; i < nr_fds; i++)
		fds[i] = sockets[0];
	must(packet_send(sockets[0], bytes, size, fds, nr_fds, 0) == 0);
	stays = serve_answer(t, sockets[1]);
	must(answer_of(sockets[0], &got_fds) == wanted && got_fds == wanted_fds);
	must(stays == (wanted == 0 && q.type == KEEP_STAY));
	close(sockets[0]);
	close(sockets[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct table t;
	struct model model = { 0 };
	uint64_t before = open_fds();

	t.nr = 0;
	for (unsigned int i = 0; i < PACKETS_MAX && size >= 2; i++) {
		unsigned int nr_fds = bytes[0] % (PACKET_FDS_MAX + 1);
		size_t length = bytes[1] < size - 2 ? bytes[1] : size - 2;

		one_packet(&t, &model, bytes + 2, length, nr_fds);
		bytes += 2 + length;
		size -= 2 + length;
	}
	must(t.nr == model.nr);
	for (unsigned int i = 0; i < model.nr; i++) {
		int fd = table_take(&t, model.names[i]);

		must(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
		close(fd);
	}
	must(open_fds() == before);
	return 0;
}
