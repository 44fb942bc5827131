/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/holders.h"

/* A number no device has. */
#define NO_MAJOR 4095
#define NO_MINOR 1048575

static void test_nobody_holds_what_does_not_exist(void **state)
{
	char text[64] = "before";

	assert_int_equal(holders_find(NO_MAJOR, NO_MINOR, -1, text, sizeof(text), NULL), 0);
	assert_string_equal(text, "");
}

static void test_a_mounted_file_system_is_found(void **state)
{
	char text[512], small[16];
	struct stat st;
	int r;

	/* Whatever is the root here has a number in the list of mounts. */
	assert_int_equal(stat("/", &st), 0);
	r = holders_find(major(st.st_dev), minor(st.st_dev), -1, text, sizeof(text), NULL);
	if (!r)
		skip(); /* btrfs: it has another number there */
	assert_true(r > 0);
	assert_non_null(strstr(text, "mounted at / by pid "));
	assert_int_equal(holders_find(major(st.st_dev), minor(st.st_dev), -1, small, sizeof(small),
				      NULL),
			 r);
	assert_true(strlen(small) < sizeof(small));
	assert_int_equal(strncmp(text, small, strlen(small)), 0);
}

/* Workers are many, and of none of them is a descriptor left. */
static void test_a_mount_namespace_can_be_left_out(void **state)
{
	auto_close int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	struct stat st;
	char text[512];
	int r;

	assert_true(own >= 0);
	assert_int_equal(stat("/proc", &st), 0); /* "/" is no mount in a chroot */
	r = holders_find(major(st.st_dev), minor(st.st_dev), -1, text, sizeof(text), NULL);
	if (!r)
		skip();
	/* Whoever else there is in another namespace may have it mounted too. */
	assert_true(holders_find(major(st.st_dev), minor(st.st_dev), own, text, sizeof(text),
				 NULL) < r);
}

static void test_probing_something_that_is_not_there(void **state)
{
	struct err e = { "" };

	assert_int_equal(holders_probe_busy("/nonexistent", &e), -ENOENT);
	assert_non_null(strstr(e.text, "/nonexistent"));
	assert_int_equal(holders_probe_busy("/dev/null", &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_holds_what_does_not_exist),
		cmocka_unit_test(test_a_mounted_file_system_is_found),
		cmocka_unit_test(test_a_mount_namespace_can_be_left_out),
		cmocka_unit_test(test_probing_something_that_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
