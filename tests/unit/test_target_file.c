/* SPDX-License-Identifier: Apache-2.0 */
/* The file target against a core that only remembers what it was asked. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/falloc.h>
#include <linux/fs.h>

#include "driver/base/cleanup.h"
#include "targets/registry.h"
#include "tests/fake/core_fake.h"

static void submit(const struct target_ops *ops, struct io *io)
{
	struct target t = { .ops = ops, .piece_bytes = 65536 };

	core_fake_begin(NULL);
	ops->submit(&t, NULL, io);
	assert_int_equal(core.nr_sqes, 1);
	assert_int_equal(core.nr_done, 0);
}

static void complete(const struct target_ops *ops, struct io *io, int result)
{
	struct target t = { .ops = ops, .piece_bytes = 65536 };

	core_fake_complete(&t, io, result);
}

static void test_a_transfer_uses_its_registered_buffer(void **state)
{
	static char buf[4096];
	struct io io = { .op = IO_READ, .off = 8192, .len = 4096, .buf = buf, .buf_index = 3 };

	submit(&target_file, &io);
	assert_int_equal(core_fake_sqe()->opcode, IORING_OP_READ_FIXED);
	assert_true(core_fake_sqe()->off == 8192 && core_fake_sqe()->addr == (uintptr_t)buf);
	assert_int_equal(core_fake_sqe()->len, 4096);
	assert_int_equal(core_fake_sqe()->buf_index, 3);
	complete(&target_file, &io, 4096);
	assert_int_equal(core.nr_done, 1);
	assert_int_equal(core.error, 0);
}

static void test_a_short_transfer_goes_on_where_it_stopped(void **state)
{
	static char buf[4096];
	struct io io = { .op = IO_WRITE, .off = 8192, .len = 4096, .buf = buf, .fua = true };

	submit(&target_file, &io);
	complete(&target_file, &io, 1024);
	assert_int_equal(core.nr_done, 0);
	assert_int_equal(core.nr_sqes, 2);
	assert_true(core_fake_sqe()->off == 9216 && core_fake_sqe()->addr == (uintptr_t)buf + 1024);
	assert_int_equal(core_fake_sqe()->len, 3072);
	assert_int_equal(core_fake_sqe()->rw_flags, RWF_DSYNC);
	complete(&target_file, &io, -ENOSPC);
	assert_int_equal(core.nr_done, 1);
	assert_int_equal(core.error, -ENOSPC);
}

static void test_an_early_end_is_an_error(void **state)
{
	static char buf[4096];
	struct io io = { .op = IO_READ, .len = 4096, .buf = buf };

	submit(&target_memory, &io);
	complete(&target_memory, &io, 2048);
	complete(&target_memory, &io, 0);
	assert_int_equal(core.nr_done, 1);
	assert_int_equal(core.error, -ENXIO);
}

static void test_space_operations(void **state)
{
	static const struct {
		enum io_op op;
		bool keep_space;
		uint32_t mode;
	} rows[] = {
		{ IO_DISCARD, false, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE },
		{ IO_WRITE_ZEROES, false, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE },
		{ IO_WRITE_ZEROES, true, FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct io io = { .op = rows[i].op,
				 .keep_space = rows[i].keep_space,
				 .off = 4096,
				 .len = UINT64_C(5) << 30 };

		submit(&target_file, &io);
		assert_int_equal(core_fake_sqe()->opcode, IORING_OP_FALLOCATE);
		assert_int_equal(core_fake_sqe()->len, rows[i].mode);
		assert_true(core_fake_sqe()->off == 4096 && core_fake_sqe()->addr == UINT64_C(5)
											     << 30);
		complete(&target_file, &io, -EOPNOTSUPP);
		assert_int_equal(core.error, -EOPNOTSUPP);
	}
}

static void test_a_flush_is_a_data_sync(void **state)
{
	struct io io = { .op = IO_FLUSH };

	submit(&target_file, &io);
	assert_int_equal(core_fake_sqe()->opcode, IORING_OP_FSYNC);
	assert_int_equal(core_fake_sqe()->fsync_flags, IORING_FSYNC_DATASYNC);
	complete(&target_file, &io, 0);
	assert_int_equal(core.nr_done, 1);
	assert_false(target_memory.io_ops & 1 << IO_FLUSH);
}

static void test_a_backing_file_must_be_large_enough(void **state)
{
	auto_close int fd = memfd_create("test", MFD_CLOEXEC);
	struct target t = { .dev_bytes = 8192, .fds = &fd };

	assert_int_equal(ftruncate(fd, 8191), 0);
	assert_int_equal(target_file.open(&t, NULL), -ENOSPC);
	assert_int_equal(ftruncate(fd, 8192), 0);
	assert_int_equal(target_file.open(&t, NULL), 0);
}

static void test_null_answers_at_once_with_zeroes(void **state)
{
	char buf[512];
	struct io io = { .op = IO_READ, .len = sizeof(buf), .buf = buf };
	struct target t = { .ops = &target_null };

	memset(buf, 'x', sizeof(buf));
	core_fake_begin(NULL);
	target_null.submit(&t, NULL, &io);
	assert_int_equal(core.nr_done, 1);
	for (size_t i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_transfer_uses_its_registered_buffer),
		cmocka_unit_test(test_a_short_transfer_goes_on_where_it_stopped),
		cmocka_unit_test(test_an_early_end_is_an_error),
		cmocka_unit_test(test_space_operations),
		cmocka_unit_test(test_a_flush_is_a_data_sync),
		cmocka_unit_test(test_a_backing_file_must_be_large_enough),
		cmocka_unit_test(test_null_answers_at_once_with_zeroes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
