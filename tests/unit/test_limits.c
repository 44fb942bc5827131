/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of io.max: whose they are, and what they say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "oci-hook/cli/limits.h"

static const struct {
	const char *line;
	bool ours; /* of 259:7 */
	struct wire_io io;
} rows[] = {
	{ "259:7 rbps=1 wbps=2 riops=3 wiops=4\n", true, { 1, 2, 3, 4 } },
	{ "259:7 rbps=max wbps=4194304 riops=max wiops=max\n", true, { 0, 4194304, 0, 0 } },
	{ "259:7 rbps=max wbps=max riops=max wiops=18446744073709551615\n",
	  true,
	  { 0, 0, 0, UINT64_MAX } },
	{ "259:7 later=5 wiops=6", true, { 0, 0, 0, 6 } },
	{ "259:70 rbps=1 wbps=2 riops=3 wiops=4\n", false, { 0 } },
	{ "25:7 rbps=1\n", false, { 0 } },
	{ "259:7\n", false, { 0 } },
	{ "", false, { 0 } },
};

static void test_only_the_device_s_own_line_counts(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct wire_io io = { 9, 9, 9, 9 };

		if (limits_parse(rows[i].line, 259, 7, &io) != rows[i].ours ||
		    memcmp(&io, &rows[i].io, sizeof(io)))
			fail_msg("%s", rows[i].line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_the_device_s_own_line_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
