/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/cow_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/falloc.h>
#include <linux/fs.h>

#include "driver/base/cleanup.h"
#include "targets/registry.h"
#include "tests/unit/model.h"

struct world *world;

/* A worker frees nothing, and here many come one after the other. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

struct pending {
	struct pending *next;
	uint64_t off, len;
	unsigned char bytes[];
};

uint64_t world_draw(uint64_t below)
{
	world->random ^= world->random << 13;
	world->random ^= world->random >> 7;
	world->random ^= world->random << 17;
	return (world->random >> 11) % below;
}

/* --- the disk's part ---------------------------------------------------------------------- */

static void delta_write(uint64_t off, const void *from, uint64_t len)
{
	struct pending *p = malloc(sizeof(*p) + len);

	assert_non_null(p);
	assert_true(off + len <= world->layout.file_bytes && !(off % SECTOR) && !(len % SECTOR));
	*p = (struct pending){ .off = off, .len = len };
	if (from)
		memcpy(p->bytes, from, len);
	else
		memset(p->bytes, 0, len);
	memcpy(world->cache + off, p->bytes, len);
	*world->last = p;
	world->last = &p->next;
}

static void pending_drop(void)
{
	while (world->first) {
		struct pending *p = world->first;

		world->first = p->next;
		free(p);
	}
	world->last = &world->first;
}

static void delta_sync(void)
{
	for (const struct pending *p = world->first; p; p = p->next)
		memcpy(world->disk + p->off, p->bytes, p->len);
	pending_drop();
	world->nr_syncs++;
}

/* Of a write that is safe when it is done. */
static void delta_sync_range(uint64_t off, uint64_t len)
{
	memcpy(world->disk + off, world->cache + off, len);
	for (struct pending *p = world->first; p; p = p->next) {
		for (uint64_t i = 0; i < p->len; i += SECTOR) {
			if (p->off + i >= off && p->off + i < off + len)
				memcpy(p->bytes + i, world->cache + p->off + i, SECTOR);
		}
	}
}

void world_power_cut(void)
{
	unsigned int likely = 1 + (unsigned int)world_draw(8);

	for (const struct pending *p = world->first; p; p = p->next) {
		for (uint64_t i = 0; i < p->len; i += SECTOR) {
			if (world_draw(8) < likely)
				memcpy(world->disk + p->off + i, p->bytes + i, SECTOR);
		}
	}
	pending_drop();
	memcpy(world->cache, world->disk, world->layout.file_bytes);
}

static int sqe_transfer(const struct core_fake_op *op, bool write)
{
	const struct io_uring_sqe *sqe = &op->sqe;
	unsigned char *memory = (unsigned char *)(uintptr_t)sqe->addr;
	uint32_t len = sqe->len;

	assert_true(len && !(len % SECTOR) && len <= world->target.piece_bytes);
	if (world->fail_of && len > SECTOR && !world_draw(16))
		len = (uint32_t)(1 + world_draw(len / SECTOR - 1)) * SECTOR; /* a part only */
	if (op->file == BASE) {
		assert_false(write);
		assert_true(sqe->off + len <= world->layout.dev_bytes);
		memcpy(memory, world->base + sqe->off, len);
		world->nr_base_reads++;
	} else if (write) {
		delta_write(sqe->off, memory, len);
		if (sqe->rw_flags & RWF_DSYNC)
			delta_sync_range(sqe->off, len);
	} else {
		assert_true(sqe->off >= world->layout.data_off);
		memcpy(memory, world->cache + sqe->off, len);
		world->nr_delta_reads++;
	}
	return (int)len;
}

static int sqe_try(const struct core_fake_op *op);

int world_try(const struct core_fake_op *op)
{
	const struct io_uring_sqe *sqe = &op->sqe;

	if (world->fail_of && !world_draw(world->fail_of)) {
		bool syncs = sqe->opcode == IORING_OP_FSYNC ||
			     (sqe->opcode == IORING_OP_WRITE_FIXED && sqe->rw_flags & RWF_DSYNC);

		if (syncs) {
			pending_drop(); /* as the page cache does: it reads as if it were there */
			world->sync_failed = true;
		} else if (world_draw(2)) {
			sqe_try(op); /* done, and not said */
		}
		return -EIO;
	}
	return sqe_try(op);
}

static int sqe_try(const struct core_fake_op *op)
{
	const struct io_uring_sqe *sqe = &op->sqe;

	switch (sqe->opcode) {
	case IORING_OP_READ:
	case IORING_OP_READ_FIXED:
		return sqe_transfer(op, false);
	case IORING_OP_WRITE:
	case IORING_OP_WRITE_FIXED:
		return sqe_transfer(op, true);
	case IORING_OP_FSYNC:
		assert_int_equal(op->file, DELTA);
		delta_sync();
		return 0;
	case IORING_OP_FALLOCATE:
		assert_int_equal(op->file, DELTA);
		assert_true(sqe->off >= world->layout.data_off);
		assert_true(sqe->len & FALLOC_FL_KEEP_SIZE);
		delta_write(sqe->off, NULL, sqe->addr);
		return 0;
	default:
		fail_msg("operation %u", sqe->opcode);
		return -EINVAL;
	}
}

void world_step(void)
{
	struct core_fake_op op = core_fake_take((unsigned int)world_draw(core.nr_ops));

	target_cow.complete(&world->target, NULL, op.io, world_try(&op));
}

/* --- a world --------------------------------------------------------------------------------- */

static void world_done(struct io *io, int error)
{
	struct request *r = (struct request *)((char *)io - offsetof(struct request, io));

	assert_true(r->busy);
	assert_true(io->work == 0 || io->work >= UINT16_MAX - 1);
	r->busy = false;
	r->error = error;
	if (world->done && r != &world->requests[0])
		world->done(r);
}

uint64_t world_base_value(uint64_t sector)
{
	return UINT64_C(1) << 63 | sector;
}

static int world_call(int (*call)(struct target *t, struct err *e))
{
	auto_close int delta = memfd_create("delta", MFD_CLOEXEC);
	auto_close int base = memfd_create("base", MFD_CLOEXEC);
	const int fds[] = { delta, base };
	struct err e = { "" };
	int r;

	assert_true(pwrite(delta, world->cache, world->layout.file_bytes, 0) ==
		    (ssize_t)world->layout.file_bytes);
	assert_int_equal(ftruncate(base, (off_t)world->layout.dev_bytes), 0);
	world->next.fds = fds;
	r = call(&world->next, &e);
	world->next.fds = NULL;
	if (r < 0)
		print_message("  %s\n", e.text);
	return r;
}

int world_prepare(bool read_only)
{
	world->next = (struct target){ .ops = &target_cow,
				       .dev_bytes = world->layout.dev_bytes,
				       .piece_bytes = 65536,
				       .read_only = read_only,
				       .discard = true,
				       .nr_tags = TAGS };
	return world_call(target_cow.open);
}

int world_take_over(void)
{
	int r = world_call(target_cow.begin);

	world->target = world->next;
	return r;
}

int world_open(bool read_only)
{
	int r = world_prepare(read_only);

	return r < 0 ? r : world_take_over();
}

static void base_fill(unsigned char *base, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i += 8) {
		uint64_t v = world_base_value(i / SECTOR);

		memcpy(base + i, &v, sizeof(v));
	}
}

void world_begin(uint64_t dev_bytes, uint32_t cluster_bytes, uint32_t flags, uint64_t seed,
		 void (*done)(struct request *r))
{
	struct cow_layout l;

	assert_int_equal(cow_layout_make(&l, dev_bytes, cluster_bytes, NULL), 0);
	world = calloc(1, sizeof(*world));
	assert_non_null(world);
	core_fake_begin(world_done);
	world->done = done;
	world->layout = l;
	world->random = seed * 2 + 1;
	world->base = malloc(dev_bytes);
	world->cache = calloc(1, l.file_bytes);
	world->disk = calloc(1, l.file_bytes);
	world->last = &world->first;
	base_fill(world->base, dev_bytes);
	cow_header_make(world->cache, &l, flags, "/srv/base.img");
	/* A region nobody cleaned: what was written there and never came to be. */
	memset(world->cache + l.data_off, 0xee, l.file_bytes - l.data_off);
	memcpy(world->disk, world->cache, l.file_bytes);
	for (unsigned int i = 0; i < TAGS; i++)
		world->requests[i].buffer = aligned_alloc(4096, MODEL_IO_BYTES_MAX);
	assert_int_equal(world_open(false), 0);
}

void world_end(void)
{
	pending_drop();
	for (unsigned int i = 0; i < TAGS; i++)
		free(world->requests[i].buffer);
	free(world->base);
	free(world->cache);
	free(world->disk);
	free(world);
	world = NULL;
}

void world_submit(struct request *r)
{
	r->busy = true;
	target_cow.submit(&world->target, NULL, &r->io);
}

int world_run(enum io_op op, uint64_t off, uint64_t len, const void *from, void *to, bool fua)
{
	struct request *r = &world->requests[0];

	r->io = (struct io){ .op = op, .off = off, .len = len, .fua = fua, .buf = r->buffer };
	if (from)
		memcpy(r->buffer, from, len);
	world_submit(r);
	while (r->busy) {
		assert_true(core.nr_ops);
		world_step();
	}
	assert_int_equal(core.nr_ops, 0);
	if (to)
		memcpy(to, r->buffer, len);
	return r->error;
}
