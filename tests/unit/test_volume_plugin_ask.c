/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the volume plug-in makes of requests, and what it notes down.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "oci-hook/volume-plugin/ask.h"
#include "oci-hook/volume-plugin/kept.h"
#include "oci-hook/volume-plugin/uses.h"
#include "tests/unit/plugin_world.h"

#define ASK_CREATE (ASK_NAME | ASK_OPTIONS)

static void test_a_request_says_what_is_wanted(void **state)
{
	static const char create[] = " {\"Name\":\"pg-data\",\"Opts\":{\"size\":\"10G\",\"pool\":"
				     "\"fast\",\"fs\":\"xfs\","
				     "\"access\":\"ro\"},\"New\":[{}]} \n";
	static const char mount[] = "{\"Name\":\"a\",\"ID\":\"b0b1\"}";
	struct ask ask, same;
	struct err e;

	assert_int_equal(ask_parse(&ask, create, strlen(create), ASK_CREATE, &e), 0);
	assert_string_equal(ask.volume, "pg-data");
	assert_string_equal(ask.options.pool, "fast");
	assert_int_equal(ask.options.size_bytes, 10 * GIB);
	assert_int_equal(ask.options.filesystem, FILESYSTEM_XFS);
	assert_true(ask.options.read_only && !ask.options.snapshot && !*ask.options.from);
	memset(&same, 0xff, sizeof(same));
	assert_int_equal(ask_parse(&same, create, strlen(create), ASK_CREATE, &e), 0);
	assert_memory_equal(&ask, &same, sizeof(ask));
	assert_int_equal(ask_parse(&ask, mount, strlen(mount), ASK_NAME | ASK_ID, &e), 0);
	assert_string_equal(ask.id, "b0b1");
	assert_int_equal(ask_parse(&ask, mount, strlen(mount), ASK_NAME, &e), 0);
	assert_string_equal(ask.id, "");
}

static void test_what_is_no_request_is_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "", "ends too early" },
		{ "{\"Name\":\"a\"", "ends too early" },
		{ "null", "ends too early" },
		{ "[]", "no JSON object" },
		{ "{}", "Name, which says which volume" },
		{ "{\"Name\":7}", "Name, which says which volume" },
		{ "{\"Name\":\"a\\u0000b\"}", "Name, which says which volume" },
		{ "{\"Name\":\"../etc\"}", "is no name for a volume" },
		{ "{\"Name\":\".uses\"}", "is no name for a volume" },
		{ "{\"Name\":\"\"}", "is no name for a volume" },
		{ "{\"Name\":\"a\",\"Opts\":[]}", "Opts is no object" },
		{ "{\"Name\":\"a\"}", "the volume needs a size" },
		{ "{\"Name\":\"a\",\"Opts\":null}", "the volume needs a size" },
		{ "{\"Name\":\"a\",\"Opts\":{\"size\":64}}", "option size is no text" },
		{ "{\"Name\":\"a\",\"Opts\":{\"size\":\"0\"}}", "is not a size" },
		{ "{\"Name\":\"a\",\"Opts\":{\"Size\":\"1G\"}}", "option Size is not known" },
		{ "{\"Name\":\"a\",\"Opts\":{\"size\":\"1G\",\"pool\":\"a b\"}}",
		  "no name of a pool" },
		{ "{\"Name\":\"a\",\"Opts\":{\"size\":\"1G\",\"fs\":\"\"}}", "is none of: ext4" },
		{ "{\"Name\":\"a\",\"Opts\":{\"size\":\"1G\",\"access\":\"no\"}}",
		  "neither rw nor ro" },
		{ "{\"Name\":\"a\",\"Opts\":{\"from\":\"image\"}}", "no path from the root" },
		{ "{\"Name\":\"a\",\"Opts\":{\"clone\":\"/b\"}}", "is no name for a volume" },
		{ "{\"Name\":\"a\",\"Opts\":{\"clone\":\"b\",\"snapshot\":\"c\"}}", "is enough" },
		{ "{\"Name\":\"a\",\"Opts\":{\"clone\":\"b\",\"from\":\"/c\"}}", "is enough" },
		{ "{\"Name\":\"a\",\"Opts\":{\"clone\":\"b\",\"fs\":\"xfs\"}}",
		  "option fs is for" },
		{ "{\"Name\":\"a\",\"Opts\":{\"snapshot-of\":\"b\",\"size\":\"1G\"}}",
		  "leave size out" },
		{ "{\"Name\":\"a\",\"Opts\":{\"snapshot-of\":\"b\",\"access\":\"rw\"}}",
		  "leave access out" },
	};
	char id[ASK_ID_MAX + 32];
	struct ask ask;
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int r = ask_parse(&ask, rows[i].text, strlen(rows[i].text), ASK_CREATE, &e);

		if (r != -EINVAL || !strstr(e.text, rows[i].why))
			fail_msg("%s: %d %s", rows[i].text, r, r < 0 ? e.text : "");
		REFUSED(rows[i].why, "Create", rows[i].text);
	}
	for (int size = ASK_ID_MAX; size <= ASK_ID_MAX + 1; size++) {
		snprintf(id, sizeof(id), "{\"Name\":\"a\",\"ID\":\"%0*d\"}", size, 7);
		assert_int_equal(ask_parse(&ask, id, strlen(id), ASK_NAME | ASK_ID, &e),
				 size > ASK_ID_MAX ? -EINVAL : 0);
	}
	REFUSED("ID, which says who", "Mount", "{\"Name\":\"a\"}");
	REFUSED("ID, which says who", "Mount", "{\"Name\":\"a\",\"ID\":\"../../b\"}");
	assert_int_equal(ask_parse(&ask, id, ASK_TEXT_MAX + 1, ASK_NAME, &e), -E2BIG);
	calls_(404, "no such call", "Explode", "{}");
	assert_int_equal(world.changed, 0);
}

static void test_messages_are_clean(void **state)
{
	REFUSED("", "Create", "{\"Name\":\"\\u001b[2J\\n\\u202e\\\"\"}");
	for (const char *p = said("Err"); *p; p++)
		assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
}

static void test_uses_are_counted_by_mount(void **state)
{
	char id[16];
	struct err e;

	assert_int_equal(uses_count(plugin.uses_fd, "v", 1, &e), 0);
	assert_int_equal(uses_drop(plugin.uses_fd, "v", 1, "a", &e), 0);
	for (int i = 0; i < USES_MAX; i++) {
		snprintf(id, sizeof(id), "%d", i / 2 + (i & 1) * USES_MAX);
		assert_int_equal(uses_add(plugin.uses_fd, "v", 1, id, &e), 0);
	}
	assert_int_equal(uses_count(plugin.uses_fd, "v", 1, &e), USES_MAX);
	assert_int_equal(uses_add(plugin.uses_fd, "v", 1, "more", &e), -EUSERS);
	assert_int_equal(uses_drop(plugin.uses_fd, "v", 1, "0", &e), 0);
	assert_int_equal(uses_count(plugin.uses_fd, "v", 1, &e), USES_MAX - 1);
	assert_int_equal(uses_add(plugin.uses_fd, "v", 0x1000000000000001, "a", &e), 0);
	assert_int_equal(uses_count(plugin.uses_fd, "v", 0x1000000000000001, &e), 1);
	assert_int_equal(uses_count(plugin.uses_fd, "v", 1, &e), 0);
	assert_int_equal(uses_clear(plugin.uses_fd, "v", &e), 0);
	assert_int_equal(uses_clear(plugin.uses_fd, "v", &e), 0);
}

static void test_what_is_kept_is_whole_or_refused(void **state)
{
	static const char *const others[] = {
		"", "r", "ro", "rx,", "ro,ntfs", "ro,ext4,", "rw,EXT4"
	};
	const struct kept plain = { 0 }, both = { true, FILESYSTEM_BTRFS };
	struct kept kept;
	struct err e;

	assert_int_equal(kept_read(plugin.kept_fd, "v", &kept, &e), 0);
	assert_int_equal(kept_write(plugin.kept_fd, "v", &both, &e), 0);
	assert_int_equal(kept_read(plugin.kept_fd, "v", &kept, &e), 0);
	assert_true(kept.read_only && kept.filesystem == FILESYSTEM_BTRFS);
	assert_int_equal(kept_write(plugin.kept_fd, "v", &plain, &e), 0);
	assert_int_equal(kept_read(plugin.kept_fd, "v", &kept, &e), 0);
	assert_true(!kept.read_only && !kept.filesystem);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (*others[i])
			assert_int_equal(symlinkat(others[i], plugin.kept_fd, "v"), 0);
		else
			close(openat(plugin.kept_fd, "v", O_CREAT | O_WRONLY, 0600));
		if (kept_read(plugin.kept_fd, "v", &kept, &e) != -EUCLEAN)
			fail_msg("\"%s\" is taken", others[i]);
		kept_remove(plugin.kept_fd, "v");
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, plugin_world_begin, plugin_world_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_request_says_what_is_wanted),
		TEST(test_what_is_no_request_is_refused),
		TEST(test_messages_are_clean),
		TEST(test_uses_are_counted_by_mount),
		TEST(test_what_is_kept_is_whole_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
