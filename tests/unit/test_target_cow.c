/* SPDX-License-Identifier: Apache-2.0 */
/* Target cow: what it reads and writes, with which operations. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "targets/catalog.h"
#include "tests/unit/cow_world.h"
#include "tests/unit/model.h"
#include "tests/unit/model_io.h"

/* In any order; the first request is world_run()'s. */
static void many_run(void *arg, struct model_op *ops, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		world->requests[1 + i].io = model_io(&ops[i]);
		world_submit(&world->requests[1 + i]);
	}
	while (core.nr_ops)
		world_step();
	for (unsigned int i = 0; i < nr; i++) {
		assert_false(world->requests[1 + i].busy);
		ops[i].error = world->requests[1 + i].error;
	}
}

static void test_it_is_what_plain_memory_is(void **state)
{
	static const struct {
		uint64_t bytes;
		uint32_t cluster, flags;
		unsigned int depth;
	} rows[] = {
		{ 8 << 20, 65536, 0, TAGS - 1 },
		{ 4 << 20, 4096, 0, TAGS - 1 },
		{ (4 << 20) + 1536, 16384, 0, 1 },
		{ 9 << 20, 1 << 20, COW_EPHEMERAL, TAGS - 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct model_device d = { .bytes = rows[i].bytes,
					  .depth = rows[i].depth,
					  .run = many_run };
		auto_free unsigned char *memory = malloc(rows[i].bytes);
		unsigned int op;
		int r;

		world_begin(rows[i].bytes, rows[i].cluster, rows[i].flags, i + 1, NULL);
		memcpy(memory, world->base, rows[i].bytes);
		r = model_run(&d, memory, i + 1, 25000, &op);
		if (r)
			fail_msg("row %zu, operation %u: %d", i, op, r);
		if (rows[i].flags & COW_EPHEMERAL)
			assert_int_equal(world->nr_syncs, 0);
		/* Another worker finds the same. */
		assert_int_equal(world_open(false), 0);
		r = model_run(&d, memory, i + 77, 0, &op);
		assert_int_equal(r, 0);
		world_end();
	}
}

/* --- which operations ---------------------------------------------------------------------- */

static void test_a_read_in_one_place_is_one_operation(void **state)
{
	static unsigned char bytes[256 << 10];

	world_begin(4 << 20, 65536, 0, 5, NULL);
	assert_int_equal(world_run(IO_READ, 512, 65536 - 512, NULL, bytes, false), 0);
	assert_int_equal(world->nr_base_reads, 1);
	assert_memory_equal(bytes, world->base + 512, 65536 - 512);
	assert_int_equal(world_run(IO_WRITE, 65536, 65536, bytes, NULL, false), 0);
	assert_int_equal(world->nr_base_reads, 1); /* a whole cluster: nothing to copy */
	assert_int_equal(world->nr_syncs, 1);
	assert_int_equal(world_run(IO_READ, 65536, 65536, NULL, bytes, false), 0);
	assert_int_equal(world->nr_delta_reads, 1);
	assert_int_equal(world_run(IO_WRITE, 69632, 512, bytes, NULL, false), 0);
	assert_int_equal(world->nr_syncs, 1); /* no longer the first change */
	assert_int_equal(world_run(IO_READ, 0, sizeof(bytes), NULL, bytes, false), 0);
	assert_int_equal(world->nr_base_reads, 4); /* the run behind is two clusters, and pieces */
	assert_int_equal(world->nr_delta_reads, 2);
	world_end();
}

static void test_discarded_space_never_shows_the_base(void **state)
{
	static unsigned char bytes[4 << 20];

	world_begin(4 << 20, 65536, 0, 6, NULL);
	assert_int_equal(world_run(IO_DISCARD, 0, 4 << 20, NULL, NULL, false), 0);
	assert_int_equal(world_open(false), 0);
	for (uint64_t off = 0; off < 4 << 20; off += MODEL_IO_BYTES_MAX)
		assert_int_equal(world_run(IO_READ, off, MODEL_IO_BYTES_MAX, NULL, bytes + off,
					   false),
				 0);
	for (size_t i = 0; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], 0);
	assert_int_equal(world->nr_base_reads, 0);
	world_end();
}

/* The helper's limits come from the catalog, which knows no cluster. */
static void test_no_delta_is_longer_than_the_catalog_says(void **state)
{
	for (uint64_t bytes = 512; bytes < COW_DEV_BYTES_MAX; bytes = bytes * 3 / 512 * 512 + 512) {
		for (uint32_t cluster = COW_CLUSTER_MIN; cluster <= COW_CLUSTER_MAX; cluster *= 2) {
			struct cow_layout l;

			assert_int_equal(cow_layout_make(&l, bytes, cluster, NULL), 0);
			assert_true(l.file_bytes <= catalog_file_bytes(TARGET_COW, bytes));
		}
	}
}

static void submit_write(struct request *r, uint64_t off, uint64_t len)
{
	r->io = (struct io){ .op = IO_WRITE, .off = off, .len = len, .buf = r->buffer };
	world_submit(r);
}

/* Else it could be answered, and lost with its worker. */
static void test_a_write_waits_for_the_bit_of_its_cluster(void **state)
{
	struct request *first, *second;

	world_begin(1 << 20, 65536, 0, 9, NULL);
	first = &world->requests[1];
	second = &world->requests[2];
	submit_write(first, 0, 65536);
	while (core.ops[0].sqe.opcode != IORING_OP_WRITE)
		world_step();
	assert_true(core.ops[0].sqe.off == world->layout.map_off);
	submit_write(second, 0, 512);
	assert_int_equal(core.nr_ops, 1);
	world_step();
	assert_false(first->busy);
	assert_int_equal(core.ops[0].sqe.opcode, IORING_OP_WRITE_FIXED);
	world_step();
	assert_false(second->busy);
	world_end();
}

static void test_a_new_worker_takes_no_bit_for_safe(void **state)
{
	world_begin(1 << 20, 65536, 0, 10, NULL);
	assert_int_equal(world_run(IO_WRITE, 0, 65536, world->base, NULL, false), 0);
	assert_int_equal(world_open(false), 0);
	assert_int_equal(world->nr_syncs, 1);
	assert_int_equal(world_run(IO_WRITE, 0, 512, world->base, NULL, true), 0);
	assert_int_equal(world->nr_syncs, 2);
	assert_int_equal(world_run(IO_WRITE, 0, 512, world->base, NULL, true), 0);
	assert_int_equal(world->nr_syncs, 2); /* from here on one write is enough */
	world_end();
}

static void test_who_takes_over_has_what_was_changed_before(void **state)
{
	static unsigned char zeroes[65536], bytes[65536];

	world_begin(1 << 20, 65536, 0, 12, NULL);
	assert_int_equal(world_prepare(false), 0);
	assert_int_equal(world_run(IO_WRITE, 0, 65536, zeroes, NULL, true), 0);
	assert_int_equal(world_take_over(), 0);
	assert_int_equal(world_run(IO_READ, 0, 65536, NULL, bytes, false), 0);
	assert_memory_equal(bytes, zeroes, sizeof(zeroes));
	/* Nor is it lost with the next change of the map. */
	assert_int_equal(world_run(IO_WRITE, 131072, 65536, zeroes, NULL, false), 0);
	assert_int_equal(world_open(false), 0);
	assert_int_equal(world_run(IO_READ, 0, 65536, NULL, bytes, false), 0);
	assert_memory_equal(bytes, zeroes, sizeof(zeroes));
	assert_int_equal(world_prepare(false), 0);
	world->cache[world->layout.map_off + 3] = 1; /* cluster 24 of 16 */
	assert_int_equal(world_take_over(), -EINVAL);
	world_end();
}

/* The error of a write before it, which went through the page cache, may be what it is told. */
static void test_after_a_failed_fua_nothing_is_promised(void **state)
{
	world_begin(1 << 20, 65536, 0, 13, NULL);
	assert_int_equal(world_run(IO_WRITE, 0, 65536, world->base, NULL, true), 0);
	world->fail_of = 1;
	assert_int_equal(world_run(IO_WRITE, 0, 512, world->base, NULL, true), -EIO);
	assert_true(world->sync_failed);
	world->fail_of = 0;
	assert_int_equal(world_run(IO_FLUSH, 0, 0, NULL, NULL, false), -EIO);
	assert_int_equal(world_run(IO_READ, 0, 512, NULL, NULL, false), 0);
	world_end();
}

static void test_after_a_failed_sync_nothing_is_promised(void **state)
{
	world_begin(1 << 20, 65536, 0, 11, NULL);
	assert_int_equal(world_run(IO_WRITE, 0, 65536, world->base, NULL, false), 0);
	world->fail_of = 1;
	assert_int_equal(world_run(IO_FLUSH, 0, 0, NULL, NULL, false), -EIO);
	world->fail_of = 0;
	assert_int_equal(world_run(IO_FLUSH, 0, 0, NULL, NULL, false), -EIO);
	assert_int_equal(world_run(IO_WRITE, 0, 512, world->base, NULL, false), -EIO);
	assert_int_equal(world_run(IO_DISCARD, 0, 512, NULL, NULL, false), -EIO);
	assert_int_equal(world_run(IO_READ, 0, 512, NULL, NULL, false), 0);
	world_end();
}

static void test_a_read_only_device_only_reads(void **state)
{
	world_begin(1 << 20, 65536, 0, 7, NULL);
	assert_int_equal(world_run(IO_WRITE, 4096, 4096, world->base, NULL, true), 0);
	assert_int_equal(world_open(true), 0);
	assert_int_equal(world_run(IO_READ, 0, 131072, NULL, NULL, false), 0);
	world_end();
}

static void test_what_is_no_delta_of_this_base_is_refused(void **state)
{
	struct cow_layout l;

	world_begin(1 << 20, 65536, 0, 8, NULL);
	world->cache[0] ^= 1;
	assert_int_equal(world_open(false), -EINVAL);
	world->cache[0] ^= 1;
	world->cache[2000] ^= 1;
	assert_int_equal(world_open(false), -EINVAL);
	world->cache[2000] ^= 1;
	world->cache[world->layout.map_off + 3] = 1; /* cluster 24 of 16 */
	assert_int_equal(world_open(false), -EINVAL);
	world->cache[world->layout.map_off + 3] = 0;
	assert_int_equal(world_open(false), 0);
	assert_int_equal(cow_layout_make(&l, 2 << 20, 65536, NULL), 0);
	cow_header_make(world->cache, &l, 0, "");
	assert_int_equal(world_open(false), -EINVAL); /* it is longer than the file */
	assert_int_equal(cow_layout_make(&l, 512 << 10, 65536, NULL), 0);
	cow_header_make(world->cache, &l, 0, "");
	assert_int_equal(world_open(false), -EINVAL); /* for another base */
	world_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_is_what_plain_memory_is),
		cmocka_unit_test(test_a_read_in_one_place_is_one_operation),
		cmocka_unit_test(test_discarded_space_never_shows_the_base),
		cmocka_unit_test(test_no_delta_is_longer_than_the_catalog_says),
		cmocka_unit_test(test_a_write_waits_for_the_bit_of_its_cluster),
		cmocka_unit_test(test_a_new_worker_takes_no_bit_for_safe),
		cmocka_unit_test(test_who_takes_over_has_what_was_changed_before),
		cmocka_unit_test(test_after_a_failed_sync_nothing_is_promised),
		cmocka_unit_test(test_after_a_failed_fua_nothing_is_promised),
		cmocka_unit_test(test_a_read_only_device_only_reads),
		cmocka_unit_test(test_what_is_no_delta_of_this_base_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
