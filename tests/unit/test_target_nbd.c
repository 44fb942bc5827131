/* SPDX-License-Identifier: Apache-2.0 */
/* Target nbd against a server in plain memory, which can lie. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "targets/registry.h"
#include "tests/unit/model.h"
#include "tests/unit/model_io.h"
#include "tests/unit/nbd_world.h"

#define OWN_TICK 8

static unsigned char data[NBD_WORLD_TAGS][MODEL_IO_BYTES_MAX];

/* --- what plain memory would have --------------------------------------------------------- */

static void many_run(void *arg, struct model_op *ops, unsigned int nr)
{
	for (unsigned int tag = 0; tag < nr; tag++)
		nbd_world_submit(tag, model_io(&ops[tag]));
	target_nbd.settle(&nbd_world->target);
	nbd_world_run();
	for (unsigned int tag = 0; tag < nr; tag++) {
		assert_false(nbd_world->busy[tag]);
		ops[tag].error = nbd_world->errors[tag];
	}
}

static void test_it_has_what_plain_memory_would_have(void **state)
{
	static const uint32_t flags[] = { NBD_WORLD_ALL, TARGET_NBD_FLUSH | TARGET_NBD_ZERO };
	struct model_device d = { .bytes = NBD_WORLD_BYTES, .run = many_run };

	for (unsigned int i = 0; i < 4; i++) {
		auto_free unsigned char *memory = calloc(1, NBD_WORLD_BYTES);
		unsigned int op = 0;

		nbd_world_begin(flags[i % 2], 1 + i, i + 1);
		d.depth = i ? NBD_WORLD_TAGS : 1;
		if (model_run(&d, memory, i + 1, 25000, &op))
			fail_msg("operation %u", op);
		assert_memory_equal(memory, nbd_world->disk, NBD_WORLD_BYTES);
		nbd_world_end();
	}
}

/* Each tag has its own part of the disk, and all of them are under way. */
static void test_many_at_a_time_do_not_mix(void **state)
{
	const uint64_t part = NBD_WORLD_BYTES / NBD_WORLD_TAGS;

	for (uint64_t seed = 1; seed < 40; seed++) {
		nbd_world_begin(NBD_WORLD_ALL, 1 + (unsigned int)seed % 4, seed);
		for (unsigned int round = 0; round < 4; round++) {
			for (unsigned int tag = 0; tag < NBD_WORLD_TAGS; tag++) {
				uint64_t len = tag % 3 ? 512u << tag % 7 : part;

				if (round % 2 == 0)
					memset(data[tag], (int)(tag + round + 1), part);
				else
					memset(data[tag], 0xff, part);
				nbd_world_submit(tag, (struct io){
							      .op = round % 2 ? IO_READ : IO_WRITE,
							      .off = tag * part,
							      .len = len,
							      .buf = data[tag],
						      });
			}
			target_nbd.settle(&nbd_world->target);
			nbd_world_run();
			for (unsigned int tag = 0; tag < NBD_WORLD_TAGS; tag++) {
				uint64_t len = tag % 3 ? 512u << tag % 7 : part;

				assert_true(!nbd_world->busy[tag] && !nbd_world->errors[tag]);
				for (uint64_t k = 0; k < len && round % 2; k++)
					assert_int_equal(data[tag][k], tag + round);
			}
		}
		assert_false(core.lost);
		nbd_world_end();
	}
}

/* --- what is said to a server ------------------------------------------------------------ */

static const struct said {
	struct io io;
	uint32_t has;
	int r;
	uint16_t type, flags;
	unsigned int nr;
} says[] = {
	{ { .op = IO_WRITE, .len = 512, .fua = true }, NBD_WORLD_ALL, 0, WORLD_WRITE, 1, 1 },
	{ { .op = IO_WRITE, .len = 512, .fua = true }, TARGET_NBD_FLUSH, 0, WORLD_FLUSH, 0, 2 },
	{ { .op = IO_WRITE, .len = 512, .fua = true }, 0, 0, WORLD_WRITE, 0, 1 },
	{ { .op = IO_FLUSH }, TARGET_NBD_FLUSH, 0, WORLD_FLUSH, 0, 1 },
	{ { .op = IO_FLUSH }, 0, -EOPNOTSUPP, 0, 0, 0 },
	{ { .op = IO_DISCARD, .len = 4096 }, NBD_WORLD_ALL, 0, WORLD_TRIM, 0, 1 },
	{ { .op = IO_DISCARD, .len = 4096 }, TARGET_NBD_ZERO, 0, WORLD_ZERO, 0, 1 },
	{ { .op = IO_DISCARD, .len = 4096 }, TARGET_NBD_FLUSH, -EOPNOTSUPP, 0, 0, 0 },
	{ { .op = IO_WRITE_ZEROES, .len = 4096 }, NBD_WORLD_ALL, 0, WORLD_ZERO, 0, 1 },
	{ { .op = IO_WRITE_ZEROES, .len = 4096, .keep_space = true },
	  NBD_WORLD_ALL,
	  0,
	  WORLD_ZERO,
	  2,
	  1 },
	{ { .op = IO_WRITE_ZEROES, .len = 4096 }, TARGET_NBD_TRIM, -EOPNOTSUPP, 0, 0, 0 },
};

static void test_a_server_is_asked_what_it_can_do(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(says); i++) {
		struct io io = says[i].io;

		nbd_world_begin(says[i].has, 1, i + 1);
		io.buf = data[0];
		assert_int_equal(nbd_world_one(io), says[i].r);
		assert_int_equal(nbd_world->nr_seen, says[i].nr);
		assert_int_equal(nbd_world->last.type, says[i].type);
		assert_int_equal(nbd_world->last.flags, says[i].flags);
		nbd_world_end();
	}
}

static void test_a_long_discard_is_several(void **state)
{
	nbd_world_begin(NBD_WORLD_ALL, 1, 1);
	nbd_world->target.dev_bytes = UINT64_C(5) << 30;
	assert_int_equal(nbd_world_one((struct io){ .op = IO_DISCARD, .len = UINT64_C(5) << 30 }),
			 0);
	assert_int_equal(nbd_world->nr_seen, 5);
	assert_int_equal(nbd_world->last.off, UINT64_C(4) << 30);
	nbd_world_end();
}

/* --- what a server says ------------------------------------------------------------------- */

static void begin_asked(enum io_op op, uint64_t len)
{
	nbd_world_begin(NBD_WORLD_ALL, 2, 3);
	nbd_world_submit(0, (struct io){ .op = op, .len = len, .buf = data[0] });
	target_nbd.settle(&nbd_world->target);
	while (nbd_world_move())
		;
	assert_int_equal(nbd_world->nr_requests, 1);
}

static void test_errors_are_the_requests(void **state)
{
	static const struct {
		uint32_t error;
		int r;
	} rows[] = { { 1, -EIO },     { 5, -EIO },  { 12, -EIO },	{ 22, -EIO },
		     { 28, -ENOSPC }, { 75, -EIO }, { 95, -EOPNOTSUPP } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct nbd_world_request r;

		begin_asked(i % 2 ? IO_READ : IO_WRITE, 65536);
		r = nbd_world_take(0);
		nbd_world_answer(&r, 0, rows[i].error);
		nbd_world_run();
		assert_false(nbd_world->busy[0] || core.lost);
		assert_int_equal(nbd_world->errors[0], rows[i].r);
		nbd_world_end();
	}
}

static void test_a_lie_ends_it(void **state)
{
	static const struct {
		const char *what;
		uint32_t magic, error;
		uint64_t cookie; /* other bits than the request's */
		unsigned int connection;
		bool twice;
	} rows[] = {
		{ .what = "another magic", .magic = 0x67446699 },
		{ .what = "a magic of structured replies", .magic = 0x668e33ef },
		{ .what = "an error that is none", .error = 2 },
		{ .what = "the largest error", .error = UINT32_MAX },
		{ .what = "a server that goes", .error = 108 },
		{ .what = "a request there never was", .cookie = UINT64_C(1) << 63 },
		{ .what = "another tag", .cookie = 1 },
		{ .what = "a tag there is not", .cookie = 0xffff },
		{ .what = "a request of another connection", .connection = 1 },
		{ .what = "twice", .twice = true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows) * 2; i++) {
		size_t k = i / 2;
		struct nbd_world_request r;

		begin_asked(i % 2 ? IO_READ : IO_WRITE, 4096);
		r = nbd_world_take(0);
		if (rows[k].connection) {
			/* So that somebody listens there. */
			nbd_world_submit(1, (struct io){ .op = IO_FLUSH });
			target_nbd.settle(&nbd_world->target);
			r.connection = !r.connection;
		}
		r.cookie ^= __builtin_bswap64(rows[k].cookie);
		nbd_world_answer(&r, rows[k].magic, rows[k].error);
		if (rows[k].twice)
			nbd_world_answer(&r, 0, 0);
		while (nbd_world_move())
			;
		if (!core.lost)
			fail_msg("%s is believed", rows[k].what);
		assert_int_equal(nbd_world->busy[0], !rows[k].twice);
		nbd_world_end();
	}
}

/* The operation number `which` ends like this. */
static void test_a_connection_that_ends_is_lost(void **state)
{
	static const int results[] = { 0, -ECONNRESET, -EPIPE, -EAGAIN, 1 << 20 };

	for (size_t i = 0; i < ARRAY_SIZE(results); i++) {
		begin_asked(IO_READ, 4096);
		core_fake_own_complete(&nbd_world->target, 1, results[i]);
		assert_true(core.lost && nbd_world->busy[0]);
		nbd_world_end();

		nbd_world_begin(NBD_WORLD_ALL, 1, 1);
		nbd_world_submit(0, (struct io){ .op = IO_WRITE, .len = 65536, .buf = data[0] });
		target_nbd.settle(&nbd_world->target);
		core_fake_own_complete(&nbd_world->target, 0, results[i]);
		assert_true(core.lost && nbd_world->busy[0]);
		nbd_world_end();
	}
}

static void test_an_answer_may_overtake_the_end_of_sending(void **state)
{
	struct nbd_world_request r = { .type = WORLD_WRITE, .cookie = 0 };
	struct core_fake_op *op;

	nbd_world_begin(NBD_WORLD_ALL, 1, 1);
	nbd_world_submit(0, (struct io){ .op = IO_WRITE, .len = 65536, .buf = data[0] });
	target_nbd.settle(&nbd_world->target);
	op = core_fake_own(0);
	memcpy(&r.cookie, (unsigned char *)(uintptr_t)op->sqe.addr + 8, 8);
	core_fake_own_complete(&nbd_world->target, 0, 28);
	nbd_world_answer(&r, 0, 0);
	op = core_fake_own(1);
	memcpy((void *)(uintptr_t)op->sqe.addr, nbd_world->out[0].bytes, 16);
	core_fake_own_complete(&nbd_world->target, 1, 16);
	assert_true(nbd_world->busy[0] && !core.lost);
	core_fake_own_complete(&nbd_world->target, 0, 65536);
	assert_true(!nbd_world->busy[0] && !nbd_world->errors[0] && !core.lost);
	nbd_world_end();
}

/* What a receive has room for, when so much is to be read. */
static uint32_t received_at_once(uint32_t first, uint32_t second)
{
	uint32_t len;

	nbd_world_begin(NBD_WORLD_ALL, 1, 1);
	nbd_world_submit(0, (struct io){ .op = IO_READ, .len = first, .buf = data[0] });
	nbd_world_submit(1, (struct io){ .op = IO_READ, .len = second, .buf = data[1] });
	target_nbd.settle(&nbd_world->target);
	len = core_fake_own(1)->sqe.len;
	nbd_world_run();
	assert_true(!nbd_world->busy[0] && !nbd_world->busy[1] && !core.lost);
	assert_int_equal(core_fake_own(1)->sqe.len, 65536); /* whatever comes next */
	nbd_world_end();
	return len;
}

static void test_large_data_is_received_where_it_belongs(void **state)
{
	assert_int_equal(received_at_once(32768, 65536), 16);
	assert_int_equal(received_at_once(32768, 4096), 65536);
	assert_int_equal(received_at_once(4096, 4096), 65536);
}

static void test_who_does_not_answer_in_time_is_lost(void **state)
{
	begin_asked(IO_READ, 4096);
	for (unsigned int i = 0; i < 4; i++) {
		assert_false(core.lost);
		core_fake_own_complete(&nbd_world->target, OWN_TICK, -ETIME);
	}
	assert_false(core.lost);
	core_fake_own_complete(&nbd_world->target, OWN_TICK, -ETIME);
	assert_true(core.lost);
	nbd_world_end();
}

static void test_who_answers_is_waited_for_ever(void **state)
{
	begin_asked(IO_READ, 4096);
	for (unsigned int i = 0; i < 100; i++) {
		nbd_world_run();
		assert_false(nbd_world->busy[0]);
		core_fake_own_complete(&nbd_world->target, OWN_TICK, -ETIME);
		assert_null(core_fake_own(OWN_TICK)); /* nothing to be timed */
		nbd_world_submit(0, (struct io){ .op = IO_READ, .len = 4096, .buf = data[0] });
		target_nbd.settle(&nbd_world->target);
	}
	assert_false(core.lost);
	nbd_world_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_has_what_plain_memory_would_have),
		cmocka_unit_test(test_many_at_a_time_do_not_mix),
		cmocka_unit_test(test_a_server_is_asked_what_it_can_do),
		cmocka_unit_test(test_a_long_discard_is_several),
		cmocka_unit_test(test_errors_are_the_requests),
		cmocka_unit_test(test_a_lie_ends_it),
		cmocka_unit_test(test_a_connection_that_ends_is_lost),
		cmocka_unit_test(test_an_answer_may_overtake_the_end_of_sending),
		cmocka_unit_test(test_large_data_is_received_where_it_belongs),
		cmocka_unit_test(test_who_does_not_answer_in_time_is_lost),
		cmocka_unit_test(test_who_answers_is_waited_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
