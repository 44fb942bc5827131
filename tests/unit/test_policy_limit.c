/* SPDX-License-Identifier: Apache-2.0 */
/* How much a rule gives, and of what kind. */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "targets/catalog.h"
#include "tests/unit/policy_case.h"

static const struct policy_case cases[] = {
	{ "all limits just reached are allowed", { SCRATCH }, "scratch" },
	{ "a read-only claim fits access rw", { SCRATCH, .read_only = true }, "scratch" },
	{ "a target that is not in the list",
	  { SCRATCH, .target = TARGET_NULL },
	  NULL,
	  "rule \"scratch\": target null is not in its list" },
	{ "one byte over the size",
	  { SCRATCH, .size_bytes = GIB + 1 },
	  NULL,
	  "rule \"scratch\": size 1073741825 is over its 1G" },
	{ "twice the size",
	  { SCRATCH, .size_bytes = 2 * GIB },
	  NULL,
	  "rule \"scratch\": size 2G is over its 1G" },
	{ "the largest size there is",
	  { SCRATCH, .size_bytes = UINT64_MAX },
	  NULL,
	  "rule \"scratch\": size 18446744073709551615 is over its 1G" },
	{ "one queue too many",
	  { SCRATCH, .nr_queues = 3 },
	  NULL,
	  "rule \"scratch\": 3 queues are over its 2" },
	{ "one tag too deep",
	  { SCRATCH, .depth = 33 },
	  NULL,
	  "rule \"scratch\": depth 33 is over its 32" },
	{ "one device too many in the container",
	  { SCRATCH, .devices_in_container = 4 },
	  NULL,
	  "rule \"scratch\": the container has 4 devices already, of its 4" },
	{ "one device too many in all",
	  { SCRATCH, .devices_in_all = 10 },
	  NULL,
	  "rule \"scratch\": there are 10 devices already, of its 10" },
	{ "of two faults the first in order is named",
	  { SCRATCH, .size_bytes = 2 * GIB, .depth = 33 },
	  NULL,
	  "rule \"scratch\": size 2G is over its 1G" },
	{ "access ro gives no writable device",
	  { IMAGE, .read_only = false },
	  NULL,
	  "rule \"images\": access rw is asked for, and it gives ro" },
	{ "the host rule gives root a host device",
	  { SCRATCH, .uid = 0, .host = true, .devices_in_container = 0 },
	  "host" },
	{ "a host device has no container to count in",
	  { SCRATCH, .uid = 0, .host = true, .devices_in_container = 1000 },
	  "host" },
	{ "a create where there are too many",
	  { MADE, .devices_in_all = 2 },
	  NULL,
	  "rule \"store\": there are 2 devices already, of its 2" },
	{ "a create where they are too large together",
	  { MADE, .bytes_in_all = 3 * GIB },
	  NULL,
	  "rule \"store\": all devices have 3G already, and 1G more are over its 3G" },
	{ "zero copy where it is given", { VOLUME, .zero_copy = true }, "volumes" },
	{ "zero copy where it is not",
	  { SCRATCH, .zero_copy = true },
	  NULL,
	  "rule \"scratch\": zero copy is asked for, and it does not give it" },
	{ "bytes up to the container's limit",
	  { VOLUME, .bytes_in_container = 2 * GIB },
	  "volumes" },
	{ "one byte more",
	  { VOLUME, .bytes_in_container = 2 * GIB + 1 },
	  NULL,
	  "rule \"volumes\": the container's devices have 2147483649 already, and 1G more are over "
	  "its 3G" },
	{ "more than the limit already",
	  { VOLUME, .bytes_in_container = 4 * GIB },
	  NULL,
	  "rule \"volumes\": the container's devices have 4G already, and 1G more are over its "
	  "3G" },
	{ "so many bytes that the sum wraps",
	  { VOLUME, .bytes_in_container = UINT64_MAX },
	  NULL,
	  "rule \"volumes\": the container's devices have 18446744073709551615 already, and 1G "
	  "more are over its 3G" },
	{ "bytes up to the limit of all", { VOLUME, .bytes_in_all = 7 * GIB }, "volumes" },
	{ "one byte more in all",
	  { VOLUME, .bytes_in_all = 7 * GIB + 1 },
	  NULL,
	  "rule \"volumes\": all devices have 7516192769 already, and 1G more are over its 8G" },
	{ "more than the limit of all already",
	  { VOLUME, .bytes_in_all = UINT64_MAX },
	  NULL,
	  "rule \"volumes\": all devices have 18446744073709551615 already, and 1G more are over "
	  "its 8G" },
	{ "no limit of bytes where none is written",
	  { SCRATCH, .bytes_in_container = UINT64_MAX, .bytes_in_all = UINT64_MAX },
	  "scratch" },
	{ "the host rule has no limit of bytes in a container",
	  { SCRATCH, .uid = 0, .host = true, .bytes_in_container = UINT64_MAX },
	  "host" },
};

static void test_how_much_is_given_is_as_the_table_says(void **state)
{
	static_assert(ARRAY_SIZE(cases) >= 25, "the table shrank");
	policy_case_check(cases, ARRAY_SIZE(cases));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(
		test_how_much_is_given_is_as_the_table_says) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
