/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/iolimit.h"

static const struct {
	struct wire_io io;
	const char *line;
} rows[] = {
	{ { 0, 0, 0, 0 }, "259:3 rbps=max wbps=max riops=max wiops=max" },
	{ { 1, 0, 0, 0 }, "259:3 rbps=1 wbps=max riops=max wiops=max" },
	{ { 0, 4 << 20, 0, 0 }, "259:3 rbps=max wbps=4194304 riops=max wiops=max" },
	{ { 1, 2, 3, 4 }, "259:3 rbps=1 wbps=2 riops=3 wiops=4" },
	{ { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX },
	  "259:3 rbps=18446744073709551615 wbps=18446744073709551615 "
	  "riops=18446744073709551615 wiops=18446744073709551615" },
};

static void test_a_line_names_every_limit(void **state)
{
	char line[IOLIMIT_LINE_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		iolimit_line(line, 259, 3, &rows[i].io);
		assert_string_equal(line, rows[i].line);
	}
	iolimit_line(line, UINT32_MAX, UINT32_MAX, &rows[ARRAY_SIZE(rows) - 1].io);
	assert_int_equal(strncmp(line, "4294967295:4294967295 ", 22), 0);
	assert_int_equal(strcmp(line + strlen(line) - 6, "551615"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_line_names_every_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
