/* SPDX-License-Identifier: Apache-2.0 */
/* Our ublk_abi.h against the header of the system, as far as that one goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/ublk_abi.h"
#include "tests/unit/ublk_abi_system.h"

#define ROW(expression) { #expression, (long long)(expression) },
static const struct ublk_abi_row ours[] = {
#include "tests/unit/ublk_abi_rows.h"
	{ NULL, 0 },
};

static const struct ublk_abi_row *our_row(const char *what)
{
	const struct ublk_abi_row *row;

	for (row = ours; row->what; row++) {
		if (!strcmp(row->what, what))
			return row;
	}
	return NULL;
}

static void test_the_system_says_the_same(void **state)
{
	const struct ublk_abi_row *row, *mine;

	for (row = ublk_abi_system; row->what; row++) {
		mine = our_row(row->what);
		assert_non_null(mine);
		if (mine->value != row->value)
			fail_msg("%s: %lld, the system says %lld", row->what, mine->value,
				 row->value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_system_says_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
