/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"

static const struct {
	const char *text;
	int r;
	uint64_t bytes;
} sizes[] = {
	{ "0", 0, 0 },
	{ "512", 0, 512 },
	{ "1k", 0, 1024 },
	{ "64M", 0, 64 << 20 },
	{ "64MiB", 0, 64 << 20 },
	{ "15E", 0, UINT64_C(15) << 60 },
	{ "16E", -ERANGE, 0 },
	{ "18446744073709551615", 0, UINT64_MAX },
	{ "18446744073709551616", -ERANGE, 0 },
	{ "", -EINVAL, 0 },
	{ "-1", -EINVAL, 0 },
	{ " 1", -EINVAL, 0 },
	{ "1 ", -EINVAL, 0 },
	{ "0x10", -EINVAL, 0 },
	{ "1.5G", -EINVAL, 0 },
	{ "1MB", -EINVAL, 0 },
	{ "M", -EINVAL, 0 },
};

static void test_sizes_parse_exactly(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t bytes = 42;

		assert_int_equal(num_parse_size(sizes[i].text, &bytes), sizes[i].r);
		assert_true(bytes == (sizes[i].r ? 42 : sizes[i].bytes));
	}
}

static void test_numbers_keep_their_limit(void **state)
{
	uint64_t n = 42;

	assert_int_equal(num_parse_u64("16", 16, &n), 0);
	assert_int_equal(n, 16);
	assert_int_equal(num_parse_u64("17", 16, &n), -ERANGE);
	assert_int_equal(num_parse_u64("1K", 16, &n), -EINVAL);
	assert_int_equal(n, 16);
}

static void test_modes_are_octal(void **state)
{
	uint32_t mode = 0;

	assert_int_equal(num_parse_mode("0660", &mode), 0);
	assert_int_equal(mode, 0660);
	assert_int_equal(num_parse_mode("888", &mode), -EINVAL);
	assert_int_equal(num_parse_mode("4755", &mode), -ERANGE);
}

static void test_sizes_print_in_the_largest_exact_unit(void **state)
{
	char buf[NUM_SIZE_TEXT];

	assert_string_equal(num_format_size(64 << 20, buf), "64M");
	assert_string_equal(num_format_size(1536 << 10, buf), "1536K");
	assert_string_equal(num_format_size(513, buf), "513");
	assert_string_equal(num_format_size(0, buf), "0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes_parse_exactly),
		cmocka_unit_test(test_numbers_keep_their_limit),
		cmocka_unit_test(test_modes_are_octal),
		cmocka_unit_test(test_sizes_print_in_the_largest_exact_unit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
