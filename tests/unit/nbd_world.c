/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/nbd_world.h"

#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "targets/registry.h"

#define REQUEST_MAGIC 0x25609513u
#define REPLY_MAGIC 0x67446698u
#define REQUEST_BYTES 28

struct nbd_world *nbd_world;

static uint64_t draw(uint64_t below)
{
	struct nbd_world *w = nbd_world;

	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (w->random >> 11) % below;
}

static void way_put(struct nbd_world_way *way, const void *bytes, size_t nr)
{
	if (way->nr + nr > way->room) {
		way->room = 2 * (way->nr + nr);
		way->bytes = realloc(way->bytes, way->room);
		assert_non_null(way->bytes);
	}
	memcpy(way->bytes + way->nr, bytes, nr);
	way->nr += nr;
}

static void way_take(struct nbd_world_way *way, void *to, size_t nr)
{
	assert_true(nr <= way->nr);
	if (to)
		memcpy(to, way->bytes, nr);
	way->nr -= nr;
	memmove(way->bytes, way->bytes + nr, way->nr);
}

/* --- the server ------------------------------------------------------------------------------ */

static void server_note(struct nbd_world_request *r, unsigned int connection,
			const unsigned char *bytes)
{
	uint32_t magic, len;
	uint16_t flags, type;
	uint64_t off;

	memcpy(&magic, bytes, 4);
	memcpy(&flags, bytes + 4, 2);
	memcpy(&type, bytes + 6, 2);
	memcpy(&r->cookie, bytes + 8, 8);
	memcpy(&off, bytes + 16, 8);
	memcpy(&len, bytes + 24, 4);
	assert_int_equal(be32toh(magic), REQUEST_MAGIC);
	r->connection = connection;
	r->flags = be16toh(flags);
	r->type = be16toh(type);
	r->off = be64toh(off);
	r->len = be32toh(len);
}

/* What a client asked is whole when it is here. */
static bool server_hear(unsigned int connection)
{
	struct nbd_world *w = nbd_world;
	struct nbd_world_way *way = &w->in[connection];
	struct nbd_world_request r;
	uint32_t data;

	if (way->nr < REQUEST_BYTES)
		return false;
	server_note(&r, connection, way->bytes);
	data = r.type == WORLD_WRITE ? r.len : 0;
	if (way->nr < REQUEST_BYTES + data)
		return false;
	way_take(way, NULL, REQUEST_BYTES);
	if (r.type != WORLD_FLUSH)
		assert_true(r.off + r.len <= w->target.dev_bytes && r.len);
	if (data)
		way_take(way, w->disk + r.off, data);
	assert_true(w->nr_requests < NBD_WORLD_TAGS * 2);
	w->requests[w->nr_requests++] = r;
	w->last = r;
	w->nr_seen++;
	return true;
}

struct nbd_world_request nbd_world_take(unsigned int nr)
{
	struct nbd_world *w = nbd_world;
	struct nbd_world_request r;

	assert_true(nr < w->nr_requests);
	r = w->requests[nr];
	w->requests[nr] = w->requests[--w->nr_requests];
	return r;
}

void nbd_world_answer(const struct nbd_world_request *r, uint32_t magic, uint32_t error)
{
	struct nbd_world_way *way = &nbd_world->out[r->connection];
	uint32_t m = htobe32(magic ? magic : REPLY_MAGIC), code = htobe32(error);

	way_put(way, &m, 4);
	way_put(way, &code, 4);
	way_put(way, &r->cookie, 8);
	if (r->type == WORLD_READ && !error)
		way_put(way, nbd_world->disk + r->off, r->len);
}

bool nbd_world_serve(void)
{
	struct nbd_world *w = nbd_world;
	struct nbd_world_request r;

	if (!w->nr_requests)
		return false;
	r = nbd_world_take((unsigned int)draw(w->nr_requests));
	if (r.type == WORLD_TRIM || r.type == WORLD_ZERO)
		if (r.off + r.len <= NBD_WORLD_BYTES)
			memset(w->disk + r.off, 0, r.len);
	nbd_world_answer(&r, 0, 0);
	return true;
}

/* --- the ring ----------------------------------------------------------------------------------
 */

static bool move_send(struct core_fake_op *op)
{
	struct nbd_world *w = nbd_world;
	const struct io_uring_sqe *sqe = &op->sqe;
	unsigned int connection = op->file;

	assert_true(sqe->msg_flags & MSG_WAITALL && sqe->msg_flags & MSG_NOSIGNAL && sqe->len);
	way_put(&w->in[connection], (const void *)(uintptr_t)sqe->addr, sqe->len);
	core_fake_own_complete(&w->target, op->which, (int)sqe->len);
	while (server_hear(connection))
		;
	return true;
}

static bool move_receive(struct core_fake_op *op)
{
	struct nbd_world *w = nbd_world;
	struct nbd_world_way *way = &w->out[op->file];
	const struct io_uring_sqe *sqe = &op->sqe;
	size_t nr = way->nr < sqe->len ? way->nr : sqe->len;

	if (!nr || (sqe->msg_flags & MSG_WAITALL && nr < sqe->len))
		return false;
	if (!(sqe->msg_flags & MSG_WAITALL) && draw(2))
		nr = 1 + (size_t)draw(nr);
	way_take(way, (void *)(uintptr_t)sqe->addr, nr);
	core_fake_own_complete(&w->target, op->which, (int)nr);
	return true;
}

bool nbd_world_move(void)
{
	unsigned int first = core.nr_ops ? (unsigned int)draw(core.nr_ops) : 0;

	for (unsigned int i = 0; i < core.nr_ops && !core.lost; i++) {
		struct core_fake_op *op = &core.ops[(first + i) % core.nr_ops];

		if (op->sqe.opcode == IORING_OP_SEND   ? move_send(op)
		    : op->sqe.opcode == IORING_OP_RECV ? move_receive(op)
						       : false)
			return true;
	}
	return false;
}

void nbd_world_run(void)
{
	bool moved, served;

	do {
		moved = nbd_world_move();
		served = draw(2) || !moved ? nbd_world_serve() : false;
	} while (moved || served);
}

/* --- requests ------------------------------------------------------------------------------------
 */

static void world_done(struct io *io, int error)
{
	unsigned int tag = (unsigned int)(io - nbd_world->ios);

	assert_true(tag < NBD_WORLD_TAGS && nbd_world->busy[tag]);
	nbd_world->busy[tag] = false;
	nbd_world->errors[tag] = error;
}

void nbd_world_submit(unsigned int tag, struct io io)
{
	/* Any pointer will do: the core's own is nobody's to look into. */
	struct queue *q = (struct queue *)(uintptr_t)0x1000;

	assert_false(nbd_world->busy[tag]);
	nbd_world->ios[tag] = io;
	nbd_world->busy[tag] = true;
	target_nbd.submit(&nbd_world->target, q, &nbd_world->ios[tag]);
	if (draw(2))
		target_nbd.settle(&nbd_world->target);
}

int nbd_world_one(struct io io)
{
	nbd_world_submit(0, io);
	target_nbd.settle(&nbd_world->target);
	nbd_world_run();
	assert_false(nbd_world->busy[0]);
	return nbd_world->errors[0];
}

void nbd_world_begin(uint32_t flags, unsigned int nr_connections, uint64_t seed)
{
	struct err e = { "" };

	nbd_world = calloc(1, sizeof(*nbd_world));
	assert_non_null(nbd_world);
	nbd_world->random = seed * 2 + 1;
	nbd_world->disk = calloc(1, NBD_WORLD_BYTES);
	nbd_world->target = (struct target){
		.ops = &target_nbd,
		.dev_bytes = NBD_WORLD_BYTES,
		.piece_bytes = 65536,
		.discard = true,
		.nr_tags = NBD_WORLD_TAGS,
		.nr_files = nr_connections,
		.nbd = { .flags = flags, .timeout_ms = 4000 },
	};
	core_fake_begin(world_done);
	if (target_nbd.open(&nbd_world->target, &e) < 0)
		fail_msg("%s", e.text);
}

void nbd_world_end(void)
{
	for (unsigned int i = 0; i < NBD_WORLD_CONNECTIONS; i++) {
		free(nbd_world->in[i].bytes);
		free(nbd_world->out[i].bytes);
	}
	free(nbd_world->disk);
	free(nbd_world);
	nbd_world = NULL;
}

/* A worker frees nothing, and here many come one after the other. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
