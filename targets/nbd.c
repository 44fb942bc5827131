/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server that speaks NBD, by connections somebody else has made and agreed on (driver/connector):
 * requests out, simple replies in, on the worker's ring. Requests of all queues share the
 * connections, each told from the others by its cookie.
 *
 * What a server says is believed only where it makes no difference. A reply with another magic, to
 * a request that is not there, or of an errno that is none, ends the connection, and with it the
 * worker: so does a reply that does not come in time. Which of the requests were done is nobody's
 * to say then: the next worker is asked them again.
 *
 * Each connection has one operation of each direction under way at most, since bytes go in order:
 *
 *   send    headers of all that waits, small data behind its header; data that is large by itself
 *   recv    what there is into a buffer, replies and all; the rest of large data where it belongs.
 *           Where nothing but large data can come, a reply alone: its data is not copied then
 */
#include "targets/registry.h"

#include <endian.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "driver/base/cleanup.h"

#define NBD_CONNECTIONS_MAX 4
#define NBD_REQUEST_MAGIC 0x25609513u
#define NBD_REPLY_MAGIC 0x67446698u
#define NBD_OUT_BYTES 65536u
#define NBD_IN_BYTES 65536u
#define NBD_COPY_BYTES 16384u /* data that is not longer goes with its header */
#define NBD_RANGE_MAX (1u << 30)
#define NBD_TICKS 4 /* of the clock, in a request's time */
#define NBD_NONE UINT16_MAX

enum nbd_command {
	NBD_CMD_READ = 0,
	NBD_CMD_WRITE = 1,
	NBD_CMD_FLUSH = 3,
	NBD_CMD_TRIM = 4,
	NBD_CMD_WRITE_ZEROES = 6,
};

enum nbd_command_flag {
	NBD_CMD_FLAG_FUA = 1 << 0,
	NBD_CMD_FLAG_NO_HOLE = 1 << 1,
};

/* Errnos of the protocol, which are Linux's by chance. */
enum nbd_error {
	NBD_EPERM = 1,
	NBD_EIO = 5,
	NBD_ENOMEM = 12,
	NBD_EINVAL = 22,
	NBD_ENOSPC = 28,
	NBD_EOVERFLOW = 75,
	NBD_ENOTSUP = 95,
	NBD_ESHUTDOWN = 108,
};

struct nbd_request {
	uint32_t magic;
	uint16_t flags;
	uint16_t type;
	uint64_t cookie;
	uint64_t off;
	uint32_t len;
} __attribute__((packed));
_Static_assert(sizeof(struct nbd_request) == 28, "the protocol's");

struct nbd_reply {
	uint32_t magic;
	uint32_t error;
	uint64_t cookie;
} __attribute__((packed));
_Static_assert(sizeof(struct nbd_reply) == 16, "the protocol's");

enum nbd_state {
	NBD_FREE,
	NBD_WAITS,   /* for its turn to be sent */
	NBD_SENDING, /* its data is still the ring's */
	NBD_SENT,
};

/* A request of the device: one command of the server, or several one after the other. */
struct nbd_slot {
	struct io *io;
	struct queue *q;
	uint64_t cookie;
	uint64_t done;	/* bytes of a range, by commands before */
	uint32_t len;	/* of this command */
	uint32_t tick;	/* when it was given */
	uint32_t error; /* of a reply that came while it was NBD_SENDING */
	uint16_t next;	/* of those that wait, or are free */
	uint8_t state;	/* enum nbd_state */
	uint8_t command;
	uint8_t connection;
	bool answered;
};

struct nbd_connection {
	struct queue *q; /* whose ring it is on; NULL until there is a request */
	uint16_t first;	 /* that wait */
	uint16_t last;
	uint16_t nr_taken;   /* requests it has */
	uint16_t nr_large;   /* of these, reads of more than goes with a header */
	uint16_t direct;     /* whose data comes behind what is in out */
	uint16_t reading;    /* whose data is being received */
	bool sending_direct; /* that data, and not out */
	uint32_t sending;    /* bytes; 0: nothing is under way */
	uint32_t receiving;
	uint32_t nr_in;
	unsigned char out[NBD_OUT_BYTES];
	unsigned char in[NBD_IN_BYTES];
};

struct nbd {
	struct __kernel_timespec tick_time; /* read by the kernel when it takes the entry */
	unsigned int nr_connections;
	unsigned int nr_slots;
	uint32_t nr_under_way;
	uint32_t tick;
	uint32_t serial;
	uint16_t free;
	bool ticking;
	bool lost;
	struct nbd_connection connections[NBD_CONNECTIONS_MAX];
	struct nbd_slot slots[]; /* one for each tag */
};

/* Own operations on the ring: of each connection two, and the clock. */
#define NBD_OWN_SEND(c) ((c)*2u)
#define NBD_OWN_RECV(c) ((c)*2u + 1u)
#define NBD_OWN_TICK (NBD_CONNECTIONS_MAX * 2u)
#define NBD_OWN_END (NBD_OWN_TICK + 1u)

/* SEND every worker has. */
static const struct target_ring_op nbd_ring_ops[] = {
	{ IORING_OP_RECV, 1 << IO_READ },
	{ IORING_OP_TIMEOUT, 1 << IO_READ },
	{ 0, 0 },
};

static int nbd_open(struct target *t, struct err *e)
{
	uint64_t tick_ns = (uint64_t)t->nbd.timeout_ms * 1000000u / NBD_TICKS;
	struct nbd *n = calloc(1, sizeof(*n) + t->nr_tags * sizeof(n->slots[0]));

	if (!n)
		return err_sys(e, ENOMEM, "no memory for %u requests", t->nr_tags);
	n->tick_time.tv_sec = (int64_t)(tick_ns / 1000000000u);
	n->tick_time.tv_nsec = (long long)(tick_ns % 1000000000u);
	n->nr_connections = t->nr_files;
	n->nr_slots = t->nr_tags;
	for (unsigned int i = 0; i < n->nr_slots; i++)
		n->slots[i].next = i + 1 < n->nr_slots ? (uint16_t)(i + 1) : NBD_NONE;
	for (unsigned int i = 0; i < n->nr_connections; i++) {
		struct nbd_connection *c = &n->connections[i];

		c->first = c->last = c->direct = c->reading = NBD_NONE;
	}
	t->priv = n;
	return 0;
}

static void nbd_lose(struct nbd *n, struct queue *q)
{
	n->lost = true;
	io_lost(q);
}

/* --- what is to be sent ------------------------------------------------------------------- */

static uint16_t nbd_slot_nr(const struct nbd *n, const struct nbd_slot *s)
{
	return (uint16_t)(s - n->slots);
}

/* The one with the fewest requests. */
static unsigned int nbd_choose(const struct nbd *n)
{
	unsigned int best = 0;

	for (unsigned int i = 1; i < n->nr_connections; i++) {
		if (n->connections[i].nr_taken < n->connections[best].nr_taken)
			best = i;
	}
	return best;
}

static bool nbd_is_large_read(const struct nbd_slot *s)
{
	return s->command == NBD_CMD_READ && s->io->len > NBD_COPY_BYTES;
}

static void nbd_enqueue(struct nbd *n, struct nbd_slot *s)
{
	struct nbd_connection *c = &n->connections[s->connection];
	uint16_t nr = nbd_slot_nr(n, s);

	s->state = NBD_WAITS;
	s->answered = false;
	s->tick = n->tick;
	s->cookie = (uint64_t)++n->serial << 16 | nr;
	s->next = NBD_NONE;
	if (c->first == NBD_NONE)
		c->first = nr;
	else
		n->slots[c->last].next = nr;
	c->last = nr;
}

/* The command for a request, or for what is left of it; false: the server has none. */
static bool nbd_command_of(const struct target *t, const struct io *io, uint8_t *ret)
{
	uint32_t has = t->nbd.flags;

	switch (io->op) {
	case IO_READ:
		*ret = NBD_CMD_READ;
		return true;
	case IO_WRITE:
		*ret = NBD_CMD_WRITE;
		return true;
	case IO_FLUSH:
		*ret = NBD_CMD_FLUSH;
		return has & TARGET_NBD_FLUSH;
	case IO_DISCARD:
		*ret = has & TARGET_NBD_TRIM ? NBD_CMD_TRIM : NBD_CMD_WRITE_ZEROES;
		return has & (TARGET_NBD_TRIM | TARGET_NBD_ZERO);
	case IO_WRITE_ZEROES:
		*ret = NBD_CMD_WRITE_ZEROES;
		return has & TARGET_NBD_ZERO;
	case IO_NONE:
	case IO_OP_END:
		break;
	}
	return false;
}

/* Lengths have 32 bits there. */
static void nbd_next_part(struct nbd_slot *s)
{
	uint64_t left = s->io->len - s->done;

	s->len = left < NBD_RANGE_MAX ? (uint32_t)left : NBD_RANGE_MAX;
}

static void nbd_submit(struct target *t, struct queue *q, struct io *io)
{
	struct nbd *n = t->priv;
	struct nbd_slot *s;
	uint8_t command;

	if (!nbd_command_of(t, io, &command)) {
		io_done(q, io, -EOPNOTSUPP);
		return;
	}
	s = &n->slots[n->free]; /* there is one for each tag */
	n->free = s->next;
	s->io = io;
	s->q = q;
	s->done = 0;
	s->command = command;
	s->connection = (uint8_t)nbd_choose(n);
	n->connections[s->connection].nr_taken++;
	n->connections[s->connection].nr_large += nbd_is_large_read(s);
	n->connections[s->connection].q = q;
	n->nr_under_way++;
	nbd_next_part(s);
	nbd_enqueue(n, s);
}

static uint16_t nbd_flags(const struct target *t, const struct nbd_slot *s)
{
	const struct io *io = s->io;

	return (uint16_t)((s->command == NBD_CMD_WRITE && io->fua && t->nbd.flags & TARGET_NBD_FUA
				   ? NBD_CMD_FLAG_FUA
				   : 0) |
			  (s->command == NBD_CMD_WRITE_ZEROES && io->keep_space
				   ? NBD_CMD_FLAG_NO_HOLE
				   : 0));
}

static uint32_t nbd_put_header(const struct target *t, struct nbd_connection *c, uint32_t at,
			       const struct nbd_slot *s)
{
	bool range = s->command != NBD_CMD_FLUSH;
	const struct nbd_request m = {
		.magic = htobe32(NBD_REQUEST_MAGIC),
		.flags = htobe16(nbd_flags(t, s)),
		.type = htobe16(s->command),
		.cookie = htobe64(s->cookie),
		.off = htobe64(range ? s->io->off + s->done : 0),
		.len = htobe32(range ? s->len : 0),
	};

	memcpy(c->out + at, &m, sizeof(m));
	return at + (uint32_t)sizeof(m);
}

/* Fills out with what waits, up to data that goes by itself. */
static uint32_t nbd_gather(const struct target *t, struct nbd *n, struct nbd_connection *c)
{
	uint32_t at = 0;

	while (c->first != NBD_NONE && c->direct == NBD_NONE) {
		struct nbd_slot *s = &n->slots[c->first];
		bool data = s->command == NBD_CMD_WRITE;
		uint32_t copy = data && s->len <= NBD_COPY_BYTES ? s->len : 0;

		if (at + sizeof(struct nbd_request) + copy > sizeof(c->out))
			break;
		at = nbd_put_header(t, c, at, s);
		if (copy)
			memcpy(c->out + at, s->io->buf, copy);
		at += copy;
		s->state = data && !copy ? NBD_SENDING : NBD_SENT;
		if (data && !copy)
			c->direct = c->first;
		c->first = s->next;
	}
	return at;
}

static void nbd_send(struct target *t, struct nbd *n, unsigned int nr, const void *bytes,
		     uint32_t len, int flags)
{
	struct nbd_connection *c = &n->connections[nr];
	struct io_uring_sqe *sqe = io_own_sqe(t, c->q, NBD_OWN_SEND(nr), nr);

	sqe->opcode = IORING_OP_SEND;
	sqe->addr = (uintptr_t)bytes;
	sqe->len = len;
	/* All of it, or the connection is no use any more. */
	sqe->msg_flags = (uint32_t)(MSG_WAITALL | MSG_NOSIGNAL | flags);
	c->sending = len;
}

static void nbd_receive(struct target *t, struct nbd *n, unsigned int nr, void *to, uint32_t len,
			int flags)
{
	struct nbd_connection *c = &n->connections[nr];
	struct io_uring_sqe *sqe = io_own_sqe(t, c->q, NBD_OWN_RECV(nr), nr);

	sqe->opcode = IORING_OP_RECV;
	sqe->addr = (uintptr_t)to;
	sqe->len = len;
	sqe->msg_flags = (uint32_t)flags;
	c->receiving = len;
}

static void nbd_start_clock(struct target *t, struct nbd *n, struct queue *q)
{
	struct io_uring_sqe *sqe = io_own_sqe(t, q, NBD_OWN_TICK, 0);

	sqe->opcode = IORING_OP_TIMEOUT;
	sqe->addr = (uintptr_t)&n->tick_time;
	sqe->len = 1;
	n->ticking = true;
}

/* How much of what comes goes to in, where less than a reply is now. */
static uint32_t nbd_wants(const struct nbd_connection *c)
{
	bool only_large = c->nr_large && c->nr_large == c->nr_taken;

	return (only_large ? (uint32_t)sizeof(struct nbd_reply) : NBD_IN_BYTES) - c->nr_in;
}

/* All that came together is there: now it goes. */
static void nbd_settle(struct target *t)
{
	struct nbd *n = t->priv;

	for (unsigned int i = 0; i < n->nr_connections && !n->lost; i++) {
		struct nbd_connection *c = &n->connections[i];
		uint32_t len;

		if (!c->q)
			continue;
		if (!c->receiving)
			nbd_receive(t, n, i, c->in + c->nr_in, nbd_wants(c), 0);
		if (!n->ticking && n->nr_under_way)
			nbd_start_clock(t, n, c->q);
		len = c->sending ? 0 : nbd_gather(t, n, c);
		if (len)
			nbd_send(t, n, i, c->out, len, c->direct != NBD_NONE ? MSG_MORE : 0);
	}
}

/* --- what was answered -------------------------------------------------------------------- */

static void nbd_finish(struct nbd *n, struct nbd_slot *s, int error)
{
	struct queue *q = s->q;
	struct io *io = s->io;

	n->connections[s->connection].nr_taken--;
	n->connections[s->connection].nr_large -= nbd_is_large_read(s);
	n->nr_under_way--;
	s->state = NBD_FREE;
	s->next = n->free;
	n->free = nbd_slot_nr(n, s);
	io_done(q, io, error);
}

/* Done by the server: is the request? */
static void nbd_go_on(const struct target *t, struct nbd *n, struct nbd_slot *s)
{
	s->done += s->len;
	if (s->command == NBD_CMD_WRITE && s->io->fua && !(t->nbd.flags & TARGET_NBD_FUA) &&
	    t->nbd.flags & TARGET_NBD_FLUSH) {
		s->command = NBD_CMD_FLUSH; /* durable by another command */
		s->len = 0;
		nbd_enqueue(n, s);
		return;
	}
	if (s->command == NBD_CMD_FLUSH || s->done >= s->io->len) {
		nbd_finish(n, s, 0);
		return;
	}
	nbd_next_part(s);
	nbd_enqueue(n, s);
}

/* 0 for an error that a request can have; else it is none, or the server goes. */
static int nbd_errno(uint32_t error, int *ret)
{
	static const struct {
		enum nbd_error error;
		int code;
	} rows[] = {
		{ NBD_EPERM, -EIO },	      { NBD_EIO, -EIO },       { NBD_ENOMEM, -EIO },
		{ NBD_EINVAL, -EIO },	      { NBD_ENOSPC, -ENOSPC }, { NBD_EOVERFLOW, -EIO },
		{ NBD_ENOTSUP, -EOPNOTSUPP },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].error != error)
			continue;
		*ret = rows[i].code;
		return 0;
	}
	return -EPROTO;
}

/* 0, or -EPROTO: this server is not to be listened to any more. */
static int nbd_answer(const struct target *t, struct nbd *n, struct nbd_slot *s, uint32_t error)
{
	int code = 0;

	if (error && nbd_errno(error, &code) < 0)
		return -EPROTO;
	if (code)
		nbd_finish(n, s, code);
	else
		nbd_go_on(t, n, s);
	return 0;
}

/* The request a reply on this connection is to, or NULL. */
static struct nbd_slot *nbd_find(struct nbd *n, unsigned int nr, uint64_t cookie)
{
	uint16_t slot = (uint16_t)cookie;
	struct nbd_slot *s = slot < n->nr_slots ? &n->slots[slot] : NULL;

	return s && s->cookie == cookie && s->connection == nr && !s->answered &&
			       (s->state == NBD_SENDING || s->state == NBD_SENT)
		       ? s
		       : NULL;
}

/*
 * One reply out of in, at *at: 1; 0: it is not all there yet, or its data comes elsewhere;
 * -EPROTO.
 */
static int nbd_parse(struct target *t, struct nbd *n, unsigned int nr, uint32_t *at)
{
	struct nbd_connection *c = &n->connections[nr];
	struct nbd_reply m;
	struct nbd_slot *s;
	uint32_t have, error;

	if (c->nr_in - *at < sizeof(m))
		return 0;
	memcpy(&m, c->in + *at, sizeof(m));
	s = nbd_find(n, nr, be64toh(m.cookie));
	error = be32toh(m.error);
	if (be32toh(m.magic) != NBD_REPLY_MAGIC || !s)
		return -EPROTO;
	*at += (uint32_t)sizeof(m);
	if (s->state == NBD_SENDING) {
		s->answered = true;
		s->error = error;
		return 1;
	}
	if (s->command != NBD_CMD_READ || error)
		return nbd_answer(t, n, s, error) < 0 ? -EPROTO : 1;
	have = c->nr_in - *at < s->len ? c->nr_in - *at : s->len;
	memcpy(s->io->buf, c->in + *at, have);
	*at += have;
	if (have == s->len)
		return nbd_answer(t, n, s, 0) < 0 ? -EPROTO : 1;
	c->reading = nbd_slot_nr(n, s);
	nbd_receive(t, n, nr, (unsigned char *)s->io->buf + have, s->len - have, MSG_WAITALL);
	return 0;
}

static int nbd_received(struct target *t, struct nbd *n, unsigned int nr, int result)
{
	struct nbd_connection *c = &n->connections[nr];
	uint32_t at = 0, asked = c->receiving;
	int r;

	c->receiving = 0;
	if (result <= 0 || (uint32_t)result > asked)
		return -ENOTCONN;
	if (c->reading != NBD_NONE) {
		struct nbd_slot *s = &n->slots[c->reading];

		c->reading = NBD_NONE;
		if ((uint32_t)result != asked)
			return -ENOTCONN;
		return nbd_answer(t, n, s, 0);
	}
	c->nr_in += (uint32_t)result;
	do {
		r = nbd_parse(t, n, nr, &at);
	} while (r > 0);
	c->nr_in -= at;
	memmove(c->in, c->in + at, c->nr_in);
	return r;
}

static int nbd_was_sent(struct target *t, struct nbd *n, unsigned int nr, int result)
{
	struct nbd_connection *c = &n->connections[nr];
	struct nbd_slot *s = c->direct != NBD_NONE ? &n->slots[c->direct] : NULL;

	if (result < 0 || (uint32_t)result != c->sending)
		return -ENOTCONN;
	c->sending = 0;
	if (!s)
		return 0;
	if (!c->sending_direct) {
		c->sending_direct = true;
		nbd_send(t, n, nr, s->io->buf, s->len, 0);
		return 0;
	}
	c->sending_direct = false;
	c->direct = NBD_NONE;
	s->state = NBD_SENT;
	return s->answered ? nbd_answer(t, n, s, s->error) : 0;
}

/* Is there a request that waits for longer than it may? */
static int nbd_ticked(struct nbd *n)
{
	n->ticking = false;
	n->tick++;
	for (unsigned int i = 0; i < n->nr_slots; i++) {
		const struct nbd_slot *s = &n->slots[i];

		if (s->state != NBD_FREE && n->tick - s->tick > NBD_TICKS)
			return -ETIMEDOUT;
	}
	return 0;
}

static void nbd_own(struct target *t, struct queue *q, unsigned int which, int result)
{
	struct nbd *n = t->priv;
	int r;

	if (n->lost)
		return;
	if (which == NBD_OWN_TICK)
		r = nbd_ticked(n);
	else if (which % 2)
		r = nbd_received(t, n, which / 2, result);
	else
		r = nbd_was_sent(t, n, which / 2, result);
	if (r < 0)
		nbd_lose(n, q);
}

const struct target_ops target_nbd = {
	.name = "nbd",
	.fewest_files = 1,
	.nr_files = NBD_CONNECTIONS_MAX,
	.io_ops = 1 << IO_READ | 1 << IO_WRITE | 1 << IO_FLUSH | 1 << IO_DISCARD |
		  1 << IO_WRITE_ZEROES,
	.ring_ops = nbd_ring_ops,
	.has_server = true,
	.nr_own = NBD_OWN_END,
	.open = nbd_open,
	.submit = nbd_submit,
	.own = nbd_own,
	.settle = nbd_settle,
};
