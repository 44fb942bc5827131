/* SPDX-License-Identifier: Apache-2.0 */
/* What rules write of paths, cgroups and addresses, and what it covers. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "policy/address.h"
#include "policy/pattern.h"

struct row {
	const char *pattern;
	const char *text;
	bool fits;
};

static void rows_hold(const struct row *rows, size_t nr,
		      bool (*fits)(const char *pattern, const char *text))
{
	for (size_t i = 0; i < nr; i++) {
		if (fits(rows[i].pattern, rows[i].text) != rows[i].fits)
			fail_msg("%s %s %s", rows[i].pattern, rows[i].fits ? "misses" : "covers",
				 rows[i].text);
	}
}

static void test_paths_are_clean_or_not(void **state)
{
	static const char *const ok[] = {
		"/", "/a", "/a/", "/a/b", "/...", "/.a/..b/a./", "/a b/*"
	};
	static const char *const not_ok[] = { "",      "a",	"a/b",	 "//",	  "//a",
					      "/a//",  "/a//b", "/.",	 "/..",	  "/./a",
					      "/../a", "/a/.",	"/a/..", "/a/./", "/a/../b" };
	char long_path[PATH_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(ok); i++) {
		if (!pattern_path_ok(ok[i]))
			fail_msg("%s is refused", ok[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(not_ok); i++) {
		if (pattern_path_ok(not_ok[i]))
			fail_msg("%s is taken", not_ok[i]);
	}
	memset(long_path, 'a', sizeof(long_path));
	long_path[0] = '/';
	long_path[PATH_MAX] = '\0';
	assert_false(pattern_path_ok(long_path));
	long_path[PATH_MAX - 1] = '\0';
	assert_true(pattern_path_ok(long_path));
}

static void test_paths_are_covered(void **state)
{
	static const struct row rows[] = {
		{ "/a", "/a", true },	   { "/a", "/ab", false },     { "/a", "/a/", false },
		{ "/a", "/a/b", false },   { "/a/", "/a/b", true },    { "/a/", "/a/b/c", true },
		{ "/a/", "/a", false },	   { "/a/", "/a/", false },    { "/a/", "/ab/c", false },
		{ "/", "/a", true },	   { "/", "/", false },	       { "/a/", "/a/../b", false },
		{ "/a/", "/a//b", false }, { "/a/", "a/b", false },    { "/a/", "", false },
		{ "/*", "/a", false },	   { "/a*/", "/ab/c", false },
	};

	rows_hold(rows, ARRAY_SIZE(rows), pattern_path_fits);
}

static void test_cgroups_are_covered(void **state)
{
	static const struct row rows[] = {
		{ "/a", "/a", true },
		{ "/a", "/a/b", false },
		{ "/a/b", "/a", false },
		{ "/a/", "/a/b/c", true },
		{ "/a/", "/a", false },
		{ "/a/", "/a/", false },
		{ "/", "/a", true },
		{ "/", "/", false },
		{ "/*", "/a", true },
		{ "/*", "/", true },
		{ "/*", "/a/b", false },
		{ "/*/", "/a/b", true },
		{ "/*/", "/a", false },
		{ "/*/b", "/a/b", true },
		{ "/*/b", "/a/c/b", false },
		{ "/a*", "/a", true },
		{ "/a*", "/abc", true },
		{ "/a*c", "/abc", true },
		{ "/a*c", "/abcd", false },
		{ "/a*c", "/abcbc", true },
		{ "/a*c", "/ab/c", false },
		{ "/a**c", "/ac", true },
		{ "/a*b*c/d", "/aXbYbZc/d", true },
		{ "/a*b*c/d", "/aXbYbZ/d", false },
		{ "/a*/b*", "/ab/bc", true },
		{ "/a*/b*", "/ab/cb", false },
		{ "/x/libpod-*.scope", "/x/libpod-12ab.scope", true },
		{ "/x/libpod-*.scope", "/x/libpod-12ab.scope/container", false },
		{ "/x/libpod-*.scope/", "/x/libpod-12ab.scope/container", true },
		{ "/x/libpod-*.scope", "/x/libpod-a/b.scope", false },
		{ "/ci*.slice/", "/ci.slice.evil/x", false },
		{ "/ci.slice/", "/evil/ci.slice/x", false },
		{ "/ci.slice/", "/ci.slice/../evil", false },
		{ "/ci.slice/", "ci.slice/x", false },
		{ "/a*a*a*a*a*a*a*a*a*b", "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
	};

	rows_hold(rows, ARRAY_SIZE(rows), pattern_cgroup_fits);
}

static void test_addresses_are_covered(void **state)
{
	static const struct row rows[] = {
		{ "unix:/run/a", "unix:/run/a", true },
		{ "unix:/run/a", "unix:/run/b", false },
		{ "unix:/run/", "unix:/run/b/c", true },
		{ "unix:/run/", "unix:/run/", false },
		{ "unix:/run/", "unix:/run/../a", false },
		{ "unix:/run/", "tcp:run:1", false },
		{ "exec:/usr/libexec/a", "exec:/usr/libexec/a", true },
		{ "exec:/usr/libexec/a", "exec:/usr/libexec/ab", false },
		{ "exec:/usr/libexec/a", "exec:/usr/libexec/a/", false },
		{ "exec:/usr/libexec/a", "unix:/usr/libexec/a", false },
		{ "exec:/usr/libexec/", "exec:/usr/libexec/a", false },
		{ "exec:/usr/../home/a", "exec:/usr/../home/a", false },
		{ "exec:/home/a", "exec:/home/a", false },
		{ "exec:/usr/*", "exec:/usr/*", false },
		{ "exec:/usr/", "exec:/usr/", false },
		{ "exec:", "exec:", false },
		{ "tcp:disks:10809", "tcp:disks:10809", true },
		{ "tcp:disks:10809", "tcp:DISKS:10809", true },
		{ "tcp:disks:10809", "tcp:disks:10810", false },
		{ "tcp:disks:10809", "tcp:disks.evil.org:10809", false },
		{ "tcp:disks:10809", "tcp:evil:10809", false },
		{ "tcp:disks:10809", "unix:/disks", false },
		{ "tcp:disks:10-20", "tcp:disks:9", false },
		{ "tcp:disks:10-20", "tcp:disks:10", true },
		{ "tcp:disks:10-20", "tcp:disks:20", true },
		{ "tcp:disks:10-20", "tcp:disks:21", false },
		{ "tcp:disks:10-20", "tcp:disks:10-20", false },
		{ "tcp:10.1.2.3:1", "tcp:10.1.2.3:1", true },
		{ "tcp:10.1.2.3:1", "tcp:10.1.2.4:1", false },
		{ "tcp:10.1.2.3/32:1", "tcp:10.1.2.3:1", true },
		{ "tcp:10.1.2.3:1", "tcp:10.1.2.3/32:1", false },
		{ "tcp:10.1.0.0/16:1", "tcp:10.1.255.255:1", true },
		{ "tcp:10.1.0.0/16:1", "tcp:10.2.0.0:1", false },
		{ "tcp:10.1.0.0/17:1", "tcp:10.1.127.1:1", true },
		{ "tcp:10.1.0.0/17:1", "tcp:10.1.128.1:1", false },
		{ "tcp:10.1.0.0/16:1", "tcp:10.1.0.0/16:1", false },
		{ "tcp:10.1.0.0/16:1", "tcp:10.1:1", false },
		{ "tcp:10.1.0.0/16:1", "tcp:disks:1", false },
		{ "tcp:0.0.0.0/0:1", "tcp:255.1.2.3:1", true },
		{ "tcp:0.0.0.0/0:1", "tcp:[::1]:1", false },
		{ "tcp:0.0.0.0/0:1", "tcp:localhost:1", false },
		{ "tcp:[::]/0:1", "tcp:10.1.2.3:1", false },
		{ "tcp:[::]/0:1", "tcp:[::ffff:10.1.2.3]:1", false },
		{ "tcp:[::]/0:1", "tcp:[fe80::1%eth0]:1", false },
		{ "tcp:[2001:db8::]/32:1", "tcp:[2001:DB8:1::7]:1", true },
		{ "tcp:[2001:db8::]/32:1", "tcp:[2001:db9::]:1", false },
		{ "tcp:[::1]:1", "tcp:[0:0:0:0:0:0:0:1]:1", true },
		{ "tcp:disks:1", "", false },
		{ "tcp:disks:1", "tcp:", false },
		{ "tcp:disks:1", "tcp:disks", false },
		{ "tcp:disks:1", "tcp:disks:", false },
		{ "tcp:disks:1", "tcp:disks:0", false },
		{ "tcp:disks:1", "tcp:disks:1 ", false },
		{ "tcp:disks:1", "tcp:disks:65537", false },
		{ "tcp:disks:1", "disks:1", false },
		{ "disks:1", "disks:1", false }, /* no pattern covers nothing */
	};

	rows_hold(rows, ARRAY_SIZE(rows), address_fits);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths_are_clean_or_not),
		cmocka_unit_test(test_paths_are_covered),
		cmocka_unit_test(test_cgroups_are_covered),
		cmocka_unit_test(test_addresses_are_covered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
