/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File systems of volumes: made where nothing is, begun anew, checked, mended and grown.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "tests/unit/store_fixture.h"

/* A file system is made where nothing was written, and nowhere else. */
static void test_only_what_is_empty_is_formatted(void **state)
{
	struct fixture *f = *state;
	struct volume v = a_volume("a", 8 * MIB);
	struct err e = { "" };

	if (!have_ext4())
		skip();
	v.filesystem = FILESYSTEM_EXT4;
	for (int used = 0; used < 2; used++) {
		auto_making struct making m = MAKING_INIT;
		int r;

		assert_int_equal(making_begin(&m, &f->pools, 1, &v, &e), 0);
		if (used)
			assert_int_equal(pwrite(m.data_fd, "x", 1, 7 * MIB), 1);
		r = making_format(&m, &probing, &e);
		if (r != (used ? -EINVAL : 0))
			fail_msg("%d: %s", r, e.text);
		assert_int_equal(is_ext4(m.data_fd), !used);
	}
	v.size_bytes = 4096;
	{
		auto_making struct making m = MAKING_INIT;

		assert_int_equal(making_begin(&m, &f->pools, 1, &v, &e), 0);
		assert_true(making_format(&m, &probing, &e) < 0);
		assert_non_null(strstr(e.text, "mkfs.ext4: "));
	}
	assert_int_equal(nr_entries(f, 1), 0);
}

static void test_what_is_there_is_never_formatted(void **state)
{
	struct fixture *f = *state;
	auto_place struct place p = PLACE_INIT;
	auto_close int fd = -1;
	struct err e = { "" };

	if (!have_ext4())
		skip();
	must_make(f, 0, "a", 8 * MIB);
	must_find(f, "a", &p);
	fd = place_data(&p);
	assert_int_equal(pwrite(fd, "x", 1, 4 * MIB + 5), 1);
	assert_int_equal(change_format(&p, FILESYSTEM_EXT4, &probing, &e), -EEXIST);
	assert_non_null(strstr(e.text, "whether it is blank is not known"));
	assert_int_equal(p.volume.formatting, FILESYSTEM_NONE);
	assert_int_equal(pwrite(fd, "", 1, 4 * MIB + 5), 1);
	assert_int_equal(change_format(&p, FILESYSTEM_EXT4, &probing, &e), 0);
	assert_int_equal(change_format(&p, FILESYSTEM_EXT4, &probing, &e), -EEXIST);
	assert_string_equal(e.text, "there is ext4 in it: nothing is formatted");
}

static void test_a_format_that_fails_leaves_it_blank(void **state)
{
	struct fixture *f = *state;
	auto_place struct place p = PLACE_INIT;
	struct err e = { "" };

	if (!have_ext4())
		skip();
	must_make(f, 0, "a", MIB); /* too small for XFS */
	must_find(f, "a", &p);
	assert_true(change_format(&p, FILESYSTEM_XFS, &probing, &e) < 0);
	place_close(&p);
	must_find(f, "a", &p);
	assert_int_equal(p.volume.formatting, FILESYSTEM_NONE);
	assert_int_equal(p.volume.filesystem, FILESYSTEM_NONE);
	assert_int_equal(content_of(&p), STORE_CONTENT_BLANK);
}

/* A mkfs that writes something, and whose store is killed then. */
static void a_killer(const struct fixture *f, char path[64])
{
	FILE *script;

	snprintf(path, 64, "%s/killer", f->dir);
	script = fopen(path, "we");
	assert_non_null(script);
	fprintf(script,
		"#!/bin/sh\n[ $1 = mkfs ] || exec %s \"$@\"\n"
		"printf half >/proc/self/fd/3\nkill -KILL $PPID\nsleep 20\n",
		PROBE_BUILT);
	assert_int_equal(fclose(script), 0);
	assert_int_equal(chmod(path, 0700), 0);
}

static void test_what_was_half_made_is_begun_anew(void **state)
{
	struct fixture *f = *state;
	auto_place struct place p = PLACE_INIT;
	auto_close int fd = -1;
	char path[64], half[4];
	struct err e = { "" };
	int status;
	pid_t pid;

	if (!have_ext4())
		skip();
	a_killer(f, path);
	must_make(f, 0, "a", 8 * MIB);
	pid = fork();
	if (pid == 0) {
		const struct probing killer = { .program = path, .lock_fd = -1 };

		must_find(f, "a", &p);
		change_format(&p, FILESYSTEM_EXT4, &killer, &e);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	must_find(f, "a", &p);
	fd = place_data(&p);
	assert_int_equal(pread(fd, half, 4, 0), 4);
	assert_int_equal(p.volume.formatting, FILESYSTEM_EXT4);
	assert_int_equal(p.volume.filesystem, FILESYSTEM_NONE);
	assert_int_equal(content_of(&p), STORE_CONTENT_UNKNOWN);
	if (change_format(&p, FILESYSTEM_EXT4, &probing, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(p.volume.formatting, FILESYSTEM_NONE);
	assert_int_equal(p.volume.filesystem, FILESYSTEM_EXT4);
	assert_true(is_ext4(fd));
}

static void must_check(const struct place *p, bool read_only, enum store_verdict verdict)
{
	struct store_found found;
	struct err e = { "" };

	if (examine_check(p, read_only, &probing, &found, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(found.verdict, verdict);
}

static uint64_t ext4_bytes(int fd)
{
	uint32_t blocks, log;

	assert_int_equal(pread(fd, &blocks, 4, 1024 + 4), 4);
	assert_int_equal(pread(fd, &log, 4, 1024 + 24), 4);
	return (uint64_t)blocks << (10 + log);
}

static void test_a_file_system_is_checked_mended_and_grown(void **state)
{
	struct fixture *f = *state;
	auto_place struct place p = PLACE_INIT;
	struct store_found found;
	auto_close int fd = -1;
	struct err e = { "" };
	char command[128];

	if (!have_ext4())
		skip();
	must_make(f, 1, "a", 8 * MIB);
	must_find(f, "a", &p);
	assert_int_equal(examine_check(&p, false, &probing, &found, &e), -EINVAL);
	assert_non_null(strstr(e.text, "it is blank"));
	assert_int_equal(change_format(&p, FILESYSTEM_EXT4, &probing, &e), 0);
	must_check(&p, true, STORE_CLEAN);
	fd = place_data(&p);
	/* A count of links is wrong: that is safe to mend. */
	snprintf(command, sizeof(command),
		 "debugfs -w -R 'set_inode_field <2> links_count 9' %s/1/a/data 2>/dev/null",
		 f->dir);
	assert_int_equal(system(command), 0);
	must_check(&p, true, STORE_DAMAGED);
	must_check(&p, false, STORE_MENDED);
	assert_int_equal(change_grow(&p, 16 * MIB, &e), 0);
	if (examine_grow(&p, &probing, &e) < 0)
		fail_msg("%s", e.text);
	must_check(&p, true, STORE_CLEAN);
	assert_int_equal(ext4_bytes(fd), 16 * MIB);
}

static void must_be_as_large(int fd, uint64_t bytes)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, bytes);
	assert_int_equal(ext4_bytes(fd), bytes);
}

/* What a growth that was killed made of the data is not the volume's size. */
static void test_a_file_system_is_as_large_as_its_volume(void **state)
{
	static const uint64_t larger[] = { 8 * MIB, 16 * MIB };
	struct fixture *f = *state;
	auto_place struct place p = PLACE_INIT;
	auto_close int fd = -1;
	struct err e = { "" };

	if (!have_ext4())
		skip();
	must_make(f, 1, "a", 8 * MIB);
	must_find(f, "a", &p);
	fd = place_data(&p);
	assert_int_equal(ftruncate(fd, 64 * MIB), 0);
	if (change_format(&p, FILESYSTEM_EXT4, &probing, &e) < 0)
		fail_msg("%s", e.text);
	must_be_as_large(fd, 8 * MIB);
	/* The same size once more, and a larger one, but not as large as it was to be. */
	for (size_t i = 0; i < ARRAY_SIZE(larger); i++) {
		assert_int_equal(ftruncate(fd, 64 * MIB), 0);
		if (change_grow(&p, larger[i], &e) < 0 || examine_grow(&p, &probing, &e) < 0)
			fail_msg("%s", e.text);
		assert_int_equal(p.volume.size_bytes, larger[i]);
		must_be_as_large(fd, larger[i]);
		must_check(&p, true, STORE_CLEAN);
	}
}

static void test_what_is_behind_a_size_is_not_cut_off(void **state)
{
	struct fixture *f = *state;
	auto_place struct place p = PLACE_INIT;
	auto_close int fd = -1;
	struct err e = { "" };
	struct stat st;
	char at = 0;

	must_make(f, 1, "a", 8 * MIB);
	must_find(f, "a", &p);
	fd = place_data(&p);
	assert_int_equal(ftruncate(fd, 64 * MIB), 0);
	assert_int_equal(pwrite(fd, "x", 1, 32 * MIB), 1);
	assert_int_equal(change_format(&p, FILESYSTEM_EXT4, &probing, &e), -EINVAL);
	assert_int_equal(change_grow(&p, 16 * MIB, &e), -EINVAL);
	assert_string_equal(e.text, "the data has 67108864 bytes, and something is behind the "
				    "first 16777216: nothing is cut off");
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 64 * MIB);
	assert_int_equal(p.volume.size_bytes, 8 * MIB);
	assert_int_equal(change_grow(&p, 64 * MIB, &e), 0);
	assert_int_equal(pread(fd, &at, 1, 32 * MIB), 1);
	assert_int_equal(at, 'x');
}

/* What a copy is of stays as it was. */
static void test_a_larger_copy_has_a_larger_file_system(void **state)
{
	struct fixture *f = *state;
	auto_place struct place p = PLACE_INIT;
	auto_making struct making m = MAKING_INIT;
	struct volume v = a_volume("b", 16 * MIB);
	auto_close int fd = -1;
	struct err e = { "" };

	if (!have_ext4())
		skip();
	must_make(f, 1, "a", 8 * MIB);
	must_find(f, "a", &p);
	fd = place_data(&p);
	assert_int_equal(change_format(&p, FILESYSTEM_EXT4, &probing, &e), 0);
	v.filesystem = FILESYSTEM_EXT4;
	assert_int_equal(making_begin(&m, &f->pools, 1, &v, &e), 0);
	assert_int_equal(making_fill(&m, fd, 8 * MIB, NULL, &e), 0);
	if (examine_grow_data(m.data_fd, &m.volume, &probing, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(ext4_bytes(m.data_fd), 16 * MIB);
	assert_int_equal(ext4_bytes(fd), 8 * MIB);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, store_fixture_begin, store_fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_only_what_is_empty_is_formatted),
		TEST(test_what_is_there_is_never_formatted),
		TEST(test_a_format_that_fails_leaves_it_blank),
		TEST(test_what_was_half_made_is_begun_anew),
		TEST(test_a_file_system_is_checked_mended_and_grown),
		TEST(test_a_file_system_is_as_large_as_its_volume),
		TEST(test_what_is_behind_a_size_is_not_cut_off),
		TEST(test_a_larger_copy_has_a_larger_file_system),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
