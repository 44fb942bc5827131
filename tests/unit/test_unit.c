/* SPDX-License-Identifier: Apache-2.0 */
/* Which cgroups are a unit's of systemd's, and which only look like it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/unit.h"

static const struct {
	const char *cgroup;
	const char *unit; /* NULL: there is none */
} rows[] = {
	{ "/system.slice/runc-c1.scope", "runc-c1.scope" },
	{ "/machine.slice/libpod-0123.scope/container", "libpod-0123.scope" },
	{ "/a.slice/a-b.slice/c.service", "c.service" },
	{ "/init.scope", "init.scope" },
	{ "/system.slice/a\\x2db@c:1_2.service", "a\\x2db@c:1_2.service" },

	{ "", NULL },
	{ "/", NULL },
	{ "/system.slice", NULL },
	{ "/.scope", NULL },
	{ "/ublk-oci-test/c1", NULL },
	/* Made by others below a unit: of a service that was handed it, or of a user's systemd. */
	{ "/system.slice/c.service/container1", NULL },
	{ "/system.slice/c.service/d.scope", NULL },
	{ "/system.slice/c.scope/container/more", NULL },
	{ "/user.slice/user-1000.slice/user@1000.service/user.slice/c.scope", NULL },
	{ "/eng/c.scope", NULL },
	/* No name of a unit, or one that systemctl would take for something else. */
	{ "/system.slice/-c.scope", NULL },
	{ "/system.slice/_c.scope", NULL },
	{ "/system.slice/a b.scope", NULL },
	{ "/system.slice/a*.scope", NULL },
	{ "/system.slice//c.scope", NULL },
	{ "/../c.scope", NULL },
	{ "system.slice/c.scope", NULL },
};

static void test_a_unit_is_told_from_what_looks_like_one(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char unit[UNIT_NAME_SIZE] = "";

		if (unit_of_cgroup(rows[i].cgroup, unit) != !!rows[i].unit)
			fail_msg("%s", rows[i].cgroup);
		assert_string_equal(unit, rows[i].unit ? rows[i].unit : "");
	}
}

static void test_a_name_that_is_too_long_is_none(void **state)
{
	char cgroup[2 * UNIT_NAME_SIZE] = "/", unit[UNIT_NAME_SIZE];

	memset(cgroup + 1, 'a', UNIT_NAME_SIZE - 7);
	strcat(cgroup, ".scope");
	assert_true(unit_of_cgroup(cgroup, unit));
	assert_int_equal(strlen(unit), UNIT_NAME_SIZE - 1);
	strcpy(cgroup + UNIT_NAME_SIZE - 6, "a.scope");
	assert_false(unit_of_cgroup(cgroup, unit));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_unit_is_told_from_what_looks_like_one),
		cmocka_unit_test(test_a_name_that_is_too_long_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
