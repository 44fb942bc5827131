/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/core_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct core_fake core;

#define CORE_FAKE_OWN(which) ((struct io *)(uintptr_t)(0x1000 + (which)))

static unsigned int ops_of(const struct io *io)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < core.nr_ops; i++)
		n += core.ops[i].io == io;
	return n;
}

void io_done(struct queue *q, struct io *io, int error)
{
	assert_int_equal(ops_of(io), 0);
	core.nr_done++;
	core.error = error;
	if (core.done)
		core.done(io, error);
}

struct io_uring_sqe *io_sqe(struct target *t, struct queue *q, struct io *io, unsigned int file)
{
	struct core_fake_op *op = &core.ops[core.nr_ops];

	assert_true(core.nr_ops < CORE_FAKE_OPS);
	assert_true(ops_of(io) < TARGET_PIECES_MAX);
	assert_true(file < t->ops->nr_files);
	core.nr_ops++;
	core.nr_sqes++;
	*op = (struct core_fake_op){ .io = io, .file = file };
	return &op->sqe;
}

struct io_uring_sqe *io_own_sqe(struct target *t, struct queue *q, unsigned int which,
				unsigned int file)
{
	struct core_fake_op *op = &core.ops[core.nr_ops];

	assert_true(which < t->ops->nr_own && core.nr_ops < CORE_FAKE_OPS);
	assert_int_equal(ops_of(CORE_FAKE_OWN(which)), 0);
	assert_true(file < t->nr_files);
	core.nr_ops++;
	core.nr_sqes++;
	*op = (struct core_fake_op){ .io = CORE_FAKE_OWN(which), .file = file, .which = which };
	return &op->sqe;
}

void io_lost(struct queue *q)
{
	core.lost = true;
}

struct core_fake_op *core_fake_own(unsigned int which)
{
	for (unsigned int i = 0; i < core.nr_ops; i++) {
		if (core.ops[i].io == CORE_FAKE_OWN(which))
			return &core.ops[i];
	}
	return NULL;
}

void core_fake_own_complete(struct target *t, unsigned int which, int result)
{
	struct core_fake_op *op = core_fake_own(which);

	assert_non_null(op);
	core_fake_take((unsigned int)(op - core.ops));
	t->ops->own(t, NULL, which, result);
	if (t->ops->settle && !core.lost)
		t->ops->settle(t);
}

void core_fake_begin(void (*done)(struct io *io, int error))
{
	memset(&core, 0, sizeof(core));
	core.done = done;
}

void core_fake_drop(void)
{
	core.nr_ops = 0;
}

struct core_fake_op core_fake_take(unsigned int nr)
{
	struct core_fake_op op;

	assert_true(nr < core.nr_ops);
	op = core.ops[nr];
	core.nr_ops--;
	memmove(&core.ops[nr], &core.ops[nr + 1], (core.nr_ops - nr) * sizeof(op));
	return op;
}

const struct io_uring_sqe *core_fake_sqe(void)
{
	assert_true(core.nr_ops);
	return &core.ops[core.nr_ops - 1].sqe;
}

void core_fake_complete(struct target *t, struct io *io, int result)
{
	unsigned int nr = 0;

	assert_int_equal(ops_of(io), 1);
	while (core.ops[nr].io != io)
		nr++;
	core_fake_take(nr);
	t->ops->complete(t, NULL, io, result);
}
