/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever a server says to target nbd. Requests are under way on two connections; the input is
 * what comes back, in pieces. No request is done twice, none is done that was not asked, data lands
 * where a request said it may and nowhere else, and after what cannot be believed nothing is done.
 *
 * Input: how long pieces are; then bytes, each piece to one connection after the other.
 */
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "driver/base/cleanup.h"
#include "targets/registry.h"
#include "tests/fuzz/fuzz.h"

#define TAGS 8
#define CONNECTIONS 2
#define OWN 9
#define DATA 4096
#define GUARD 64

static struct {
	struct io ios[TAGS];
	unsigned char data[TAGS][GUARD + DATA + GUARD];
	bool busy[TAGS];
	bool lost;
	struct io_uring_sqe sqes[OWN];
	bool asked[OWN];
} world;

void io_done(struct queue *q, struct io *io, int error)
{
	size_t tag = (size_t)(io - world.ios);

	must(tag < TAGS && world.busy[tag] && !world.lost && error <= 0);
	world.busy[tag] = false;
}

void io_lost(struct queue *q)
{
	must(!world.lost);
	world.lost = true;
}

struct io_uring_sqe *io_sqe(struct target *t, struct queue *q, struct io *io, unsigned int file)
{
	must(false);
	return NULL;
}

struct io_uring_sqe *io_own_sqe(struct target *t, struct queue *q, unsigned int which,
				unsigned int file)
{
	must(which < OWN && !world.asked[which] && file < CONNECTIONS && !world.lost);
	world.asked[which] = true;
	memset(&world.sqes[which], 0, sizeof(world.sqes[which]));
	return &world.sqes[which];
}

static void answer(struct target *t, unsigned int which, int result)
{
	world.asked[which] = false;
	target_nbd.own(t, NULL, which, result);
	if (!world.lost)
		target_nbd.settle(t);
}

static void ask(struct target *t)
{
	static const enum io_op ops[] = { IO_READ, IO_WRITE, IO_FLUSH, IO_DISCARD };

	for (size_t i = 0; i < TAGS; i++) {
		memset(world.data[i], 0xa5, sizeof(world.data[i]));
		world.ios[i] = (struct io){ .op = ops[i % ARRAY_SIZE(ops)],
					    .off = i * DATA,
					    .len = i % ARRAY_SIZE(ops) == 2 ? 0 : DATA,
					    .buf = world.data[i] + GUARD };
		world.busy[i] = true;
		target_nbd.submit(t, (struct queue *)&world, &world.ios[i]);
	}
	target_nbd.settle(t);
	for (unsigned int i = 0; i < CONNECTIONS; i++)
		answer(t, 2 * i, (int)world.sqes[2 * i].len);
}

static void guards_must_stand(void)
{
	for (size_t i = 0; i < TAGS; i++) {
		bool reads = world.ios[i].op == IO_READ;

		for (size_t k = 0; k < sizeof(world.data[i]); k++) {
			if (!reads || k < GUARD || k >= GUARD + DATA)
				must(world.data[i][k] == 0xa5);
		}
	}
}

static size_t feed(struct target *t, unsigned int which, const uint8_t *bytes, size_t size,
		   size_t most)
{
	const struct io_uring_sqe *sqe = &world.sqes[which];
	size_t n = size < sqe->len ? size : sqe->len;

	must(world.asked[which] && sqe->opcode == IORING_OP_RECV && sqe->len);
	if (!(sqe->msg_flags & MSG_WAITALL) && n > most)
		n = most;
	memcpy((void *)(uintptr_t)sqe->addr, bytes, n);
	answer(t, which, (int)n);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct target t = {
		.ops = &target_nbd,
		.dev_bytes = TAGS * DATA,
		.nr_tags = TAGS,
		.nr_files = CONNECTIONS,
		.discard = true,
		.nbd = { .flags = TARGET_NBD_FLUSH | TARGET_NBD_TRIM, .timeout_ms = 1000 },
	};
	size_t most = size ? bytes[0] + 1u : 1, at = 1;

	memset(&world, 0, sizeof(world));
	must(target_nbd.open(&t, NULL) == 0);
	ask(&t);
	for (unsigned int i = 0; at < size && !world.lost; i = !i)
		at += feed(&t, 2 * i + 1, bytes + at, size - at, most);
	if (!world.lost)
		answer(&t, 1, 0); /* the end */
	must(world.lost);
	guards_must_stand();
	free(t.priv);
	return 0;
}
