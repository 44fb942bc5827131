/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The volume plug-in with a store of few volumes and a helper that mounts them: what it asks for
 * and answers, and who uses what.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/clock.h"
#include "oci-hook/volume-plugin/kept.h"
#include "tests/unit/plugin_world.h"

static void test_a_volume_is_made_once(void **state)
{
	static const char data[] = "{\"Name\":\"data\",\"Opts\":{\"size\":\"64M\"}}";

	for (int i = 0; i < 2; i++) {
		WORKS("Create", data);
		assert_int_equal(world.changed, 1);
	}
	assert_int_equal(row_find("data")->volume.filesystem, FILESYSTEM_EXT4);
	FAILS("of 64M only", "Create", "{\"Name\":\"data\",\"Opts\":{\"size\":\"1G\"}}");
	FAILS("in pool default", "Create",
	      "{\"Name\":\"data\",\"Opts\":{\"size\":\"1M\",\"pool\":\"fast\"}}");
	FAILS("no such copy", "Create", "{\"Name\":\"data\",\"Opts\":{\"clone\":\"other\"}}");
	FAILS("another access", "Create",
	      "{\"Name\":\"data\",\"Opts\":{\"size\":\"1M\",\"access\":\"ro\"}}");
	FAILS("file system", "Create",
	      "{\"Name\":\"data\",\"Opts\":{\"size\":\"1M\",\"fs\":\"xfs\"}}");
	row_add("roots")->others = true;
	FAILS("choose another name", "Create", "{\"Name\":\"roots\",\"Opts\":{\"size\":\"1M\"}}");
	FAILS("there is no volume roots", "Get", "{\"Name\":\"roots\"}");
	WORKS("Remove", "{\"Name\":\"roots\"}");
	assert_non_null(row_find("roots"));
	WORKS("List", "");
	assert_int_equal(json_object_array_length(json_object_object_get(reply, "Volumes")), 1);
	for (int i = 0; i < 2; i++)
		WORKS("Remove", "{\"Name\":\"data\"}");
	assert_null(row_find("data"));
}

/* The store ended behind it. */
static void test_what_was_made_unheard_is_as_it_was_asked_for(void **state)
{
	static const char data[] =
		"{\"Name\":\"data\",\"Opts\":{\"size\":\"64M\",\"access\":\"ro\"}}";

	world.quiet = true;
	FAILS("closed the connection", "Create", data);
	WORKS("Create", data);
	WORKS("Mount", "{\"Name\":\"data\",\"ID\":\"1\"}");
	assert_true(row_find("data")->read_only);
	WORKS("Unmount", "{\"Name\":\"data\",\"ID\":\"1\"}");
	WORKS("Remove", data);
	/* And it is forgotten with what was not made after all. */
	world.quiet = true;
	FAILS("closed the connection", "Create", data);
	*row_find("data") = (struct row){ 0 };
	WORKS("Remove", data);
	assert_int_equal(faccessat(plugin.kept_fd, "data", F_OK, AT_SYMLINK_NOFOLLOW), -1);
}

static void test_copies_and_snapshots(void **state)
{
	static const char then[] = "{\"Name\":\"then\",\"Opts\":{\"snapshot-of\":\"data\"}}";
	struct kept kept;

	WORKS("Create",
	      "{\"Name\":\"data\",\"Opts\":{\"from\":\"/proc/self/exe\",\"fs\":\"xfs\"}}");
	assert_true(world.image);
	assert_int_equal(row_find("data")->volume.filesystem, 0);
	FAILS("cannot look at the image", "Create",
	      "{\"Name\":\"none\",\"Opts\":{\"from\":\"/none.such\"}}");
	FAILS("no regular file", "Create", "{\"Name\":\"none\",\"Opts\":{\"from\":\"/dev/null\"}}");
	FAILS("there is no volume gone", "Create",
	      "{\"Name\":\"x\",\"Opts\":{\"clone\":\"gone\"}}");
	for (int i = 0; i < 2; i++)
		WORKS("Create", then);
	WORKS("Create", "{\"Name\":\"copy\",\"Opts\":{\"snapshot\":\"then\"}}");
	WORKS("Mount", "{\"Name\":\"then\",\"ID\":\"1\"}");
	assert_true(row_find("then")->read_only);
	assert_int_equal(row_find("then")->filesystem, FILESYSTEM_XFS);
	WORKS("Mount", "{\"Name\":\"copy\",\"ID\":\"1\"}");
	assert_false(row_find("copy")->read_only);
	assert_int_equal(row_find("copy")->filesystem, FILESYSTEM_XFS);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = { "then", "copy", "data" };
		char body[64];

		snprintf(body, sizeof(body), "{\"Name\":\"%s\",\"ID\":\"1\"}", names[i]);
		WORKS("Unmount", body);
		WORKS("Remove", body);
		assert_int_equal(kept_read(plugin.kept_fd, names[i], &kept, NULL), 0);
		assert_true(!kept.read_only && !kept.filesystem);
	}
}

static void test_a_mount_lasts_as_long_as_its_uses(void **state)
{
	static const char a[] = "{\"Name\":\"data\",\"ID\":\"a\"}";
	static const char b[] = "{\"Name\":\"data\",\"ID\":\"b\"}";
	char path[WIRE_PATH_SIZE];

	FAILS("create it first", "Mount", a);
	WORKS("Unmount", a);
	row_add("data");
	for (int i = 0; i < 2; i++) {
		WORKS("Mount", a);
		snprintf(path, sizeof(path), "%.200s/data", plugin.dir);
		assert_string_equal(said("Mountpoint"), path);
		assert_int_equal(nr_uses("data"), 1);
	}
	WORKS("Mount", b);
	assert_int_equal(nr_uses("data"), 2);
	FAILS("in use, 2 times", "Remove", a);
	WORKS("Unmount", "{\"Name\":\"data\",\"ID\":\"c\"}");
	for (int i = 0; i < 2; i++)
		WORKS("Unmount", a);
	assert_true(row_find("data")->mount && nr_uses("data") == 1);
	for (int i = 0; i < 2; i++)
		WORKS("Unmount", b);
	assert_true(!row_find("data")->mount && !row_find("data")->attached);
	assert_int_equal(access(path, F_OK), -1);
	WORKS("Remove", a);
}

/* By root, or by the helper's end: the uses were of that mount. */
static void test_uses_end_with_their_mount(void **state)
{
	static const char a[] = "{\"Name\":\"data\",\"ID\":\"a\"}";

	row_add("data");
	WORKS("Mount", a);
	row_find("data")->mount = 0;
	WORKS("Mount", "{\"Name\":\"data\",\"ID\":\"b\"}");
	assert_int_equal(nr_uses("data"), 1);
	WORKS("Unmount", a); /* of a mount that is no more */
	assert_int_equal(nr_uses("data"), 1);
	row_find("data")->mount = 0;
	WORKS("Remove", a);
	assert_null(row_find("data"));
}

static void test_a_mount_that_is_held_is_nobodys_use(void **state)
{
	static const char a[] = "{\"Name\":\"data\",\"ID\":\"a\"}";

	row_add("data");
	WORKS("Mount", a);
	set(&world.used, true);
	WORKS("Unmount", a);
	assert_int_equal(nr_uses("data"), 0);
	FAILS("in use: cwd of pid 7", "Remove", a);
	set(&world.used, false);
	world.unknown = true;
	FAILS("still being unmounted", "Remove", a);
	world.unknown = false;
	calls_sweep(&plugin);
	for (int i = 0; i < 200 && row_find("data")->mount; i++)
		clock_sleep_ms(10);
	assert_true(!row_find("data")->mount);
	WORKS("Remove", a);
}

/* As a container's that is about to end. */
static void test_what_is_held_is_unmounted_once_it_is_not(void **state)
{
	static const char a[] = "{\"Name\":\"data\",\"ID\":\"a\"}";

	row_add("data");
	WORKS("Mount", a);
	set(&world.used, true);
	WORKS("Unmount", a);
	assert_true(row_find("data")->mount);
	WORKS("Mount", a); /* which does not wait for that */
	assert_int_equal(nr_uses("data"), 1);
	WORKS("Unmount", a);
	set(&world.used, false);
	for (int i = 0; i < PATIENCE_MS / 10 && row_find("data")->mount; i++)
		clock_sleep_ms(10);
	assert_true(!row_find("data")->mount);
	WORKS("Remove", a);
}

/* An engine that heard of it would take the volume for mounted, for ever. */
static void test_a_crowd_at_the_helper_is_not_the_engines_business(void **state)
{
	static const char a[] = "{\"Name\":\"data\",\"ID\":\"a\"}";

	row_add("data");
	WORKS("Mount", a);
	set(&world.crowd, true);
	WORKS("Unmount", a);
	assert_int_equal(nr_uses("data"), 0);
	set(&world.crowd, false);
	for (int i = 0; i < PATIENCE_MS / 10 && row_find("data")->mount; i++)
		clock_sleep_ms(10);
	assert_true(!row_find("data")->mount);
	WORKS("Remove", a);
}

static void test_a_sweep_leaves_what_is_used(void **state)
{
	row_add("data");
	WORKS("Mount", "{\"Name\":\"data\",\"ID\":\"a\"}");
	calls_sweep(&plugin);
	clock_sleep_ms(50);
	assert_true(row_find("data")->mount);
	WORKS("Unmount", "{\"Name\":\"data\",\"ID\":\"a\"}");
}

static void test_who_does_not_answer_loses_nothing(void **state)
{
	static const char a[] = "{\"Name\":\"data\",\"ID\":\"a\"}";

	row_add("data");
	WORKS("Mount", a);
	world.helper_gone = true;
	FAILS("cannot reach the helper", "Unmount", a);
	FAILS("cannot reach the helper", "Remove", a);
	FAILS("cannot reach the helper", "Mount", "{\"Name\":\"data\",\"ID\":\"b\"}");
	WORKS("Get", a);
	WORKS("List", "");
	world.helper_gone = false;
	assert_int_equal(nr_uses("data"), 1);
	world.store_gone = true;
	FAILS("cannot reach the store", "Get", a);
	FAILS("cannot reach the store", "Mount", a);
	WORKS("Unmount", a);
	assert_true(!row_find("data")->mount && row_find("data")->attached);
	FAILS("cannot reach the store", "Remove", a);
	world.store_gone = false;
	WORKS("Remove", a);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, plugin_world_begin, plugin_world_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_volume_is_made_once),
		TEST(test_what_was_made_unheard_is_as_it_was_asked_for),
		TEST(test_copies_and_snapshots),
		TEST(test_a_mount_lasts_as_long_as_its_uses),
		TEST(test_uses_end_with_their_mount),
		TEST(test_a_mount_that_is_held_is_nobodys_use),
		TEST(test_what_is_held_is_unmounted_once_it_is_not),
		TEST(test_a_crowd_at_the_helper_is_not_the_engines_business),
		TEST(test_a_sweep_leaves_what_is_used),
		TEST(test_who_does_not_answer_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
