/* SPDX-License-Identifier: Apache-2.0 */
/* Target fault against a core that only remembers what it was asked. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/time_types.h>

#include "driver/base/cleanup.h"
#include "targets/registry.h"
#include "tests/fake/core_fake.h"

static struct target open_with(struct target_fault fault)
{
	auto_close int fd = memfd_create("test", MFD_CLOEXEC);
	struct target t = { .ops = &target_fault,
			    .dev_bytes = 4096,
			    .piece_bytes = 65536,
			    .fault = fault,
			    .fds = &fd };

	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(target_fault.open(&t, NULL), 0);
	core_fake_begin(NULL);
	return t;
}

/* Of nr reads at off, how many fail at once. */
static unsigned int failures(struct target *t, uint64_t off, unsigned int nr)
{
	unsigned int before = core.nr_done;

	for (unsigned int i = 0; i < nr; i++) {
		struct io io = { .op = IO_READ, .off = off, .len = 4096 };

		target_fault.submit(t, NULL, &io);
		core_fake_drop();
	}
	return core.nr_done - before;
}

static void test_without_faults_it_is_a_file(void **state)
{
	struct target t = open_with((struct target_fault){ 0 });
	struct io io = { .op = IO_READ, .len = 4096 };

	target_fault.submit(&t, NULL, &io);
	assert_int_equal(core_fake_sqe()->opcode, IORING_OP_READ_FIXED);
	core_fake_complete(&t, &io, 4096);
	assert_int_equal(core.nr_done, 1);
	assert_int_equal(core.error, 0);
	free(t.priv);
}

static void test_a_delay_comes_before_the_operation(void **state)
{
	struct target t = open_with((struct target_fault){ .delay_us = 1500000 });
	struct io io = { .op = IO_FLUSH };
	struct __kernel_timespec *delay;

	target_fault.submit(&t, NULL, &io);
	assert_int_equal(core_fake_sqe()->opcode, IORING_OP_TIMEOUT);
	assert_int_equal(core_fake_sqe()->len, 1);
	delay = (struct __kernel_timespec *)(uintptr_t)core_fake_sqe()->addr;
	assert_true(delay->tv_sec == 1 && delay->tv_nsec == 500000000);
	core_fake_complete(&t, &io, -ETIME);
	assert_int_equal(core_fake_sqe()->opcode, IORING_OP_FSYNC);
	assert_int_equal(core.nr_done, 0);
	core_fake_complete(&t, &io, 0);
	assert_int_equal(core.nr_done, 1);
	assert_int_equal(core.error, 0);
	free(t.priv);
}

static void test_a_range_fails_and_its_neighbours_do_not(void **state)
{
	struct target t = open_with(
		(struct target_fault){ .error_ppm = 1000000, .error_off = 8192, .error_len = 512 });
	struct io flush = { .op = IO_FLUSH };

	assert_int_equal(failures(&t, 4096, 1), 0);
	assert_int_equal(failures(&t, 8192, 1), 1);
	assert_int_equal(core.error, -EIO);
	assert_int_equal(failures(&t, 8704, 1), 0);
	target_fault.submit(&t, NULL, &flush);
	assert_int_equal(core.nr_done, 1);
	free(t.priv);
}

static void test_a_ratio_is_kept_and_repeats(void **state)
{
	struct target a = open_with((struct target_fault){ .error_ppm = 10000 });
	struct target b;
	unsigned int n = failures(&a, 0, 100000);

	print_message("  %u of 100000 failed\n", n);
	assert_true(n > 900 && n < 1100);
	b = open_with((struct target_fault){ .error_ppm = 10000 });
	assert_int_equal(failures(&b, 0, 100000), n);
	free(a.priv);
	free(b.priv);
}

static void test_what_is_slow_can_fail_too(void **state)
{
	struct target t = open_with((struct target_fault){ .delay_us = 1, .error_ppm = 1000000 });
	struct io io = { .op = IO_WRITE, .len = 4096 };

	target_fault.submit(&t, NULL, &io);
	assert_int_equal(core.nr_done, 0);
	core_fake_complete(&t, &io, -ETIME);
	assert_int_equal(core.nr_sqes, 1);
	assert_int_equal(core.nr_done, 1);
	assert_int_equal(core.error, -EIO);
	free(t.priv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_faults_it_is_a_file),
		cmocka_unit_test(test_a_delay_comes_before_the_operation),
		cmocka_unit_test(test_a_range_fails_and_its_neighbours_do_not),
		cmocka_unit_test(test_a_ratio_is_kept_and_repeats),
		cmocka_unit_test(test_what_is_slow_can_fail_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
