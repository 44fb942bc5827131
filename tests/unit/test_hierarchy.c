/* SPDX-License-Identifier: Apache-2.0 */
/* Which of version 1's cgroups filters devices, by /proc/PID/cgroup. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/hierarchy.h"

static const struct {
	const char *text;
	const char *path; /* NULL: there is none */
} rows[] = {
	{ "0::/a\n", NULL },
	{ "", NULL },
	{ "devices", NULL },
	{ "7:devices\n", NULL },
	{ "7:devices:a\n", NULL },
	{ "7:devices:/a/b\n0::/c\n", "/a/b" },
	{ "7:devices:/", "/" },
	{ "9:pids:/x\n8:cpu,devices,pids:/a:b\n0::/\n", "/a:b" },
	{ "9:devices2:/x\n8:mydevices:/y\n1:name=devices:/z\n", NULL },
	/* What a path says is no line. */
	{ "9:pids:/7:devices:/x\n3:devices:/y\n", "/y" },
	{ "9:pids\n7:devices:/y\n", "/y" },
	{ "9\n:devices:/y\n", "/y" },
};

static void test_the_devices_line_is_found(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[128];
		const char *path;

		strcpy(text, rows[i].text);
		path = hierarchy_parse_devices(text);
		if (!path != !rows[i].path || (path && strcmp(path, rows[i].path) != 0))
			fail_msg("row %zu: %s", i, path ? path : "none");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_devices_line_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
