/* SPDX-License-Identifier: Apache-2.0 */
/* How a worker is told to send its commands, by profile and kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "driver/base/ublk_abi.h"
#include "driver/privileged/datapath.h"
#include "driver/wire/start.h"
#include "targets/catalog.h"

static void test_commits_are_linked_where_the_kernel_copies_them(void **state)
{
	struct record rec = { .kernel_features = UBLK_F_PER_IO_DAEMON };

	assert_int_equal(datapath_start_flags(&rec), START_LINK);
	rec.kernel_flags = UBLK_F_QUIESCE;
	assert_int_equal(datapath_start_flags(&rec), START_LINK | START_QUIESCE);
	rec.kernel_flags = 0;
	rec.flags = WIRE_THROUGHPUT;
	assert_int_equal(datapath_start_flags(&rec), 0);
	rec.flags = 0;
	rec.kernel_features = ~UBLK_F_PER_IO_DAEMON;
	assert_int_equal(datapath_start_flags(&rec), 0);
}

static void test_who_asks_for_more_queues_gets_threads(void **state)
{
	struct record rec = { .target = TARGET_FILE, .nr_queues = 2 };

	assert_false(datapath_threads(&rec));
	rec.asked_queues = 2;
	assert_false(datapath_threads(&rec));
	rec.asked_queues = 3; /* and the machine has two processors */
	assert_true(datapath_threads(&rec));
	assert_int_equal(datapath_start_flags(&rec), START_THREADS);
	rec.nr_queues = 1;
	assert_false(datapath_threads(&rec));
	rec.nr_queues = 3;
	rec.target = TARGET_NBD;
	assert_false(datapath_threads(&rec));
	assert_int_equal(datapath_start_flags(&rec), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_asks_for_more_queues_gets_threads),
		cmocka_unit_test(test_commits_are_linked_where_the_kernel_copies_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
