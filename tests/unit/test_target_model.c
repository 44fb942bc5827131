/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The targets over one file, against what plain memory has: their operations on the ring are
 * carried out on memory, in any order, and in part. (Of cow and nbd see their own tests.)
 */
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
#include "tests/fake/core_fake.h"
#include "tests/unit/model.h"
#include "tests/unit/model_io.h"

#define FILE_BYTES (2u << 20)
#define OPERATIONS 100000

/* A test is one thread, and io_done() has no argument for this. */
static struct file_world {
	struct target target;
	unsigned char *file;
	struct io ios[MODEL_DEPTH_MAX];
	int answers[MODEL_DEPTH_MAX]; /* 1: none yet */
	uint64_t random;
	unsigned int nr_syncs, nr_fua;
} world;

static uint64_t draw(uint64_t below)
{
	world.random ^= world.random << 13;
	world.random ^= world.random >> 7;
	world.random ^= world.random << 17;
	return (world.random >> 11) % below;
}

static void world_done(struct io *io, int error)
{
	size_t i = (size_t)(io - world.ios);

	assert_true(i < MODEL_DEPTH_MAX && world.answers[i] == 1);
	world.answers[i] = error;
}

static int sqe_transfer(const struct io_uring_sqe *sqe, bool write)
{
	unsigned char *memory = (unsigned char *)(uintptr_t)sqe->addr;
	uint32_t len = sqe->len;

	assert_true(len && len <= world.target.piece_bytes && sqe->off + len <= FILE_BYTES);
	if (len > MODEL_SECTOR && !draw(16))
		len = (uint32_t)(1 + draw(len / MODEL_SECTOR - 1)) * MODEL_SECTOR;
	if (write)
		memcpy(world.file + sqe->off, memory, len);
	else
		memcpy(memory, world.file + sqe->off, len);
	world.nr_fua += !!(sqe->rw_flags & RWF_DSYNC);
	return (int)len;
}

static int sqe_do(const struct io_uring_sqe *sqe)
{
	switch (sqe->opcode) {
	case IORING_OP_READ_FIXED:
		return sqe_transfer(sqe, false);
	case IORING_OP_WRITE_FIXED:
		return sqe_transfer(sqe, true);
	case IORING_OP_FALLOCATE:
		assert_true(sqe->len & FALLOC_FL_KEEP_SIZE && sqe->off + sqe->addr <= FILE_BYTES);
		memset(world.file + sqe->off, 0, sqe->addr);
		return 0;
	case IORING_OP_FSYNC:
		world.nr_syncs++;
		return 0;
	case IORING_OP_TIMEOUT:
		return -ETIME;
	default:
		fail_msg("operation %u", sqe->opcode);
		return -EINVAL;
	}
}

static void world_run(void *arg, struct model_op *ops, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		world.ios[i] = model_io(&ops[i]);
		world.answers[i] = 1;
		if (target_io_ops(&world.target) & 1u << world.ios[i].op)
			world.target.ops->submit(&world.target, NULL, &world.ios[i]);
		else
			world.answers[i] = world.ios[i].op == IO_FLUSH ? 0 : -EOPNOTSUPP;
	}
	while (core.nr_ops) {
		struct core_fake_op op = core_fake_take((unsigned int)draw(core.nr_ops));

		world.target.ops->complete(&world.target, NULL, op.io, sqe_do(&op.sqe));
	}
	for (unsigned int i = 0; i < nr; i++) {
		assert_int_not_equal(world.answers[i], 1);
		ops[i].error = world.answers[i];
	}
}

static void test_they_are_what_plain_memory_is(void **state)
{
	static const struct {
		const struct target_ops *ops;
		struct target_fault fault;
		unsigned int depth;
	} rows[] = {
		{ &target_file, { 0 }, MODEL_DEPTH_MAX },
		{ &target_memory, { 0 }, MODEL_DEPTH_MAX },
		{ &target_fault, { 0 }, MODEL_DEPTH_MAX },
		{ &target_fault, { .delay_us = 5 }, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct model_device d = { .bytes = FILE_BYTES,
						.depth = rows[i].depth,
						.run = world_run };
		auto_free unsigned char *memory = calloc(1, FILE_BYTES);
		auto_close int fd = memfd_create("test", MFD_CLOEXEC);
		unsigned int op;
		int r;

		world = (struct file_world){ .target = { .ops = rows[i].ops,
							 .dev_bytes = FILE_BYTES,
							 .piece_bytes = 65536,
							 .discard = true,
							 .fault = rows[i].fault,
							 .fds = &fd },
					     .file = calloc(1, FILE_BYTES),
					     .random = i + 1 };
		assert_true(memory && world.file && ftruncate(fd, FILE_BYTES) == 0);
		assert_int_equal(rows[i].ops->open(&world.target, NULL), 0);
		core_fake_begin(world_done);
		r = model_run(&d, memory, i + 1, OPERATIONS, &op);
		if (r)
			fail_msg("%s, operation %u: %d", rows[i].ops->name, op, r);
		assert_memory_equal(memory, world.file, FILE_BYTES);
		if (rows[i].ops != &target_memory)
			assert_true(world.nr_syncs > 1000 && world.nr_fua > 1000);
		free(world.file);
		free(world.target.priv);
	}
}

/* What the model is there for: a target that is wrong once. */
static void spoilt_run(void *arg, struct model_op *ops, unsigned int nr)
{
	enum model_kind *kind = arg;

	for (unsigned int i = 0; i < nr; i++) {
		uint64_t len = ops[i].len;

		ops[i].error = 0;
		if (ops[i].kind == MODEL_READ) {
			memcpy(ops[i].data, world.file + ops[i].off, ops[i].len);
			continue;
		}
		if (ops[i].kind == *kind && len > MODEL_SECTOR && !draw(200))
			len -= MODEL_SECTOR; /* its last sector is forgotten */
		if (ops[i].kind == MODEL_WRITE)
			memcpy(world.file + ops[i].off, ops[i].data, len);
		else
			memset(world.file + ops[i].off, 0, len);
	}
}

static void test_a_forgotten_sector_is_seen(void **state)
{
	enum model_kind kinds[] = { MODEL_WRITE, MODEL_DISCARD, MODEL_ZERO, MODEL_FLUSH };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		auto_free unsigned char *memory = calloc(1, FILE_BYTES);
		struct model_device d = { .arg = &kinds[i],
					  .bytes = FILE_BYTES,
					  .depth = MODEL_DEPTH_MAX,
					  .run = spoilt_run };
		unsigned int op;
		int r;

		world = (struct file_world){ .file = calloc(1, FILE_BYTES), .random = i + 1 };
		r = model_run(&d, memory, i + 1, OPERATIONS, &op);
		assert_int_equal(r, kinds[i] == MODEL_FLUSH ? 0 : -EILSEQ);
		free(world.file);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_they_are_what_plain_memory_is),
		cmocka_unit_test(test_a_forgotten_sector_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
