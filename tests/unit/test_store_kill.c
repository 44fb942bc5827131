/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever is done to a volume is done again and again by a process that is killed before its
 * first step, before its second, and so on: what is there afterwards is the old or the new, and
 * after a sweep nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "tests/unit/store_fixture.h"

/* A call that is not seen is no step, and nothing is tested there. */
static void test_each_call_is_a_step(void **state)
{
	int flags = steps_left < 0 ? O_RDONLY | O_CLOEXEC : 0; /* not known before */
	off64_t at = 0;
	char byte = 0;

#define MUST_BE_STEP(call)                                                                         \
	do {                                                                                       \
		fails_with = EXFULL;                                                               \
		steps_left = 0;                                                                    \
		errno = 0;                                                                         \
		assert_int_equal(call, -1);                                                        \
		assert_int_equal(errno, EXFULL);                                                   \
		assert_int_equal(steps_left, -1);                                                  \
		fails_with = 0;                                                                    \
	} while (0)
	MUST_BE_STEP(mkdirat(-1, "a", 0700));
	MUST_BE_STEP(openat(-1, "a", O_RDONLY | O_CLOEXEC));
	MUST_BE_STEP(openat(-1, "a", flags));
	MUST_BE_STEP(openat(-1, "a", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	MUST_BE_STEP(ftruncate(-1, 0));
	MUST_BE_STEP(fsync(-1));
	MUST_BE_STEP(renameat(-1, "a", -1, "b"));
	MUST_BE_STEP(renameat2(-1, "a", -1, "b", RENAME_NOREPLACE));
	MUST_BE_STEP(unlinkat(-1, "a", 0));
	MUST_BE_STEP(copy_file_range(-1, &at, -1, &at, 1, 0));
	MUST_BE_STEP(pwrite(-1, &byte, 1, 0));
	MUST_BE_STEP(write(-1, &byte, 1));
#undef MUST_BE_STEP
}

static bool there(const struct fixture *f, const char *name, struct place *ret)
{
	struct err e;
	int r = pools_find(&f->pools, name, LOCK_EX, ret, &e);

	if (r < 0 && r != -ENOENT)
		fail_msg("%s", e.text);
	return r == 0;
}

static void run_make(const struct fixture *f)
{
	auto_close int image = open("image", O_RDONLY | O_CLOEXEC);
	struct volume v = a_volume("a", 8 * MIB);
	struct err e;

	if (make(f, 0, &v, image, 8 * MIB, &e) < 0)
		_exit(1);
}

static void test_killed_while_it_is_made(void **state)
{
	struct fixture *f = *state;
	bool ended = false;

	close(an_image(f, 8 * MIB));
	assert_int_equal(chdir(f->dir), 0);
	for (int n = 0; !ended; n++) {
		auto_place struct place p = PLACE_INIT;
		auto_close int fd = -1;
		struct err e;

		assert_true(n < STEPS_MAX);
		ended = run_killed(f, n, run_make);
		pools_sweep(&f->pools);
		if (there(f, "a", &p)) {
			fd = place_data(&p);
			must_be_image(fd, 8 * MIB);
			assert_int_equal(change_remove(&f->pools, &p, false, NULL, &e), 0);
		} else {
			assert_false(ended);
		}
		assert_int_equal(nr_entries(f, 0), 0);
	}
	assert_int_equal(chdir("/"), 0);
}

static void run_format(const struct fixture *f)
{
	auto_place struct place p = PLACE_INIT;
	struct err e;

	must_find(f, "a", &p);
	if (change_format(&p, FILESYSTEM_EXT4, &probing, &e) < 0)
		_exit(1);
}

/* What is there is blank, or a file system, or on record as neither. */
static void test_killed_while_it_is_formatted(void **state)
{
	struct fixture *f = *state;
	unsigned int seen[3] = { 0 };
	bool ended = false;

	if (!have_ext4())
		skip();
	for (int n = 0; !ended; n++) {
		auto_place struct place p = PLACE_INIT;
		struct err e = { "" };

		assert_true(n < STEPS_MAX);
		must_make(f, 0, "a", 8 * MIB);
		ended = run_killed(f, n, run_format);
		must_find(f, "a", &p);
		seen[p.volume.filesystem ? 2 : p.volume.formatting ? 1 : 0]++;
		if (p.volume.filesystem)
			assert_int_equal(content_of(&p), STORE_CONTENT_USED);
		else if (!p.volume.formatting)
			assert_int_equal(content_of(&p), STORE_CONTENT_BLANK);
		assert_true(!ended || p.volume.filesystem);
		if (!p.volume.filesystem && change_format(&p, FILESYSTEM_EXT4, &probing, &e) < 0)
			fail_msg("step %d: %s", n, e.text);
		assert_int_equal(change_remove(&f->pools, &p, false, NULL, &e), 0);
	}
	assert_true(seen[0] && seen[1] && seen[2]);
}

static void run_grow(const struct fixture *f)
{
	auto_place struct place p = PLACE_INIT;
	struct err e;

	if (pools_find(&f->pools, "a", LOCK_EX, &p, &e) < 0 ||
	    change_grow(&p, p.volume.size_bytes * 4, &e) < 0)
		_exit(1);
}

static void test_killed_while_it_grows(void **state)
{
	struct fixture *f = *state;
	bool ended = false;

	for (int n = 0; !ended; n++) {
		auto_place struct place p = PLACE_INIT;
		auto_close int fd = -1;
		struct stat st;
		struct err e;

		assert_true(n < STEPS_MAX);
		must_make(f, 0, "a", MIB);
		ended = run_killed(f, n, run_grow);
		pools_sweep(&f->pools);
		assert_true(there(f, "a", &p));
		assert_true(p.volume.size_bytes == 4 * MIB ||
			    (p.volume.size_bytes == MIB && !ended));
		fd = place_data(&p);
		assert_int_equal(fstat(fd, &st), 0);
		assert_true((uint64_t)st.st_size >= p.volume.size_bytes);
		/* And the next one does what it is asked, which may be less than the killed one. */
		if (p.volume.size_bytes == MIB)
			assert_int_equal(change_grow(&p, 2 * MIB, &e), 0);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_size, p.volume.size_bytes);
		assert_int_equal(change_remove(&f->pools, &p, false, NULL, &e), 0);
		assert_int_equal(nr_entries(f, 0), 0);
	}
}

static void run_remove(const struct fixture *f)
{
	auto_place struct place p = PLACE_INIT;
	struct err e;

	if (pools_find(&f->pools, "a", LOCK_EX, &p, &e) < 0 ||
	    change_remove(&f->pools, &p, false, NULL, &e) < 0)
		_exit(1);
}

static void run_wipe(const struct fixture *f)
{
	auto_place struct place p = PLACE_INIT;
	struct err e;

	if (pools_find(&f->pools, "a", LOCK_EX, &p, &e) < 0 ||
	    change_remove(&f->pools, &p, true, NULL, &e) < 0)
		_exit(1);
}

/* The data is watched through a descriptor that was open before. */
static void killed_while_it_is_removed(struct fixture *f, bool wipe)
{
	bool ended = false;

	for (int n = 0; !ended; n++) {
		auto_place struct place p = PLACE_INIT, q = PLACE_INIT;
		auto_close int fd = -1;
		struct err e;
		char at[6];

		assert_true(n < STEPS_MAX);
		must_make(f, 0, "a", MIB);
		assert_int_equal(pools_find(&f->pools, "a", 0, &p, &e), 0);
		fd = place_data(&p);
		assert_int_equal(pwrite(fd, "secret", 6, 4096), 6);
		ended = run_killed(f, n, wipe ? run_wipe : run_remove);
		pools_sweep(&f->pools);
		assert_int_equal(pread(fd, at, 6, 4096), 6);
		if (there(f, "a", &q)) {
			assert_false(ended);
			assert_memory_equal(at, "secret", 6);
			assert_int_equal(change_remove(&f->pools, &q, wipe, NULL, &e), 0);
			assert_int_equal(pread(fd, at, 6, 4096), 6);
		}
		assert_int_equal(!memcmp(at, "\0\0\0\0\0\0", 6), wipe);
		assert_int_equal(nr_entries(f, 0), 0);
	}
}

static void test_killed_while_it_is_removed(void **state)
{
	killed_while_it_is_removed(*state, false);
}

static void test_killed_while_it_is_wiped(void **state)
{
	killed_while_it_is_removed(*state, true);
}

/* A step that fails in place of a process that dies: the words, and nothing left. */
static void test_a_full_disk_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	auto_close int image = an_image(f, 8 * MIB);
	struct volume v = a_volume("a", 8 * MIB);
	int r = -1;

	for (int n = 0; r < 0; n++) {
		struct err e = { "" };
		auto_place struct place p = PLACE_INIT;

		assert_true(n < STEPS_MAX);
		fails_with = ENOSPC;
		steps_left = n;
		r = make(f, 0, &v, image, 8 * MIB, &e);
		steps_left = -1;
		fails_with = 0;
		if (r < 0) {
			assert_true(*e.text);
			/* It failed after it had its name: then it is whole. */
			if (there(f, "a", &p))
				assert_non_null(strstr(e.text, "volume a is made, but"));
			else
				assert_int_equal(nr_entries(f, 0), 0);
		}
		if (p.dir_fd >= 0)
			assert_int_equal(change_remove(&f->pools, &p, false, NULL, &e), 0);
	}
}

static void must_make_secret(const struct fixture *f, int *ret_fd)
{
	auto_place struct place p = PLACE_INIT;

	must_make(f, 0, "a", MIB);
	must_find(f, "a", &p);
	*ret_fd = place_data(&p);
	assert_int_equal(pwrite(*ret_fd, "secret", 6, 4096), 6);
}

static bool is_wiped(int fd)
{
	char at[6];

	assert_int_equal(pread(fd, at, 6, 4096), 6);
	return !memcmp(at, "\0\0\0\0\0\0", 6);
}

/* Whichever step it is that fails: what was not wiped is there for the next sweep. */
static void test_a_wipe_that_fails_is_not_done(void **state)
{
	struct fixture *f = *state;
	int r = -1;

	for (int n = 0; r < 0; n++) {
		auto_place struct place p = PLACE_INIT, q = PLACE_INIT;
		auto_close int fd = -1;
		struct err e = { "" };

		assert_true(n < STEPS_MAX);
		must_make_secret(f, &fd);
		must_find(f, "a", &p);
		fails_with = ENFILE;
		steps_left = n;
		r = change_remove(&f->pools, &p, true, NULL, &e);
		assert_int_equal(r < 0, steps_left < 0);
		steps_left = -1;
		fails_with = 0;
		place_close(&p);
		assert_true(is_wiped(fd) || (r < 0 && *e.text && nr_entries(f, 0) == 1));
		pools_sweep(&f->pools);
		if (there(f, "a", &q))
			assert_int_equal(change_remove(&f->pools, &q, true, NULL, &e), 0);
		assert_true(is_wiped(fd));
		assert_int_equal(nr_entries(f, 0), 0);
	}
}

static void test_a_sweep_that_fails_to_wipe_leaves_it(void **state)
{
	struct fixture *f = *state;
	bool failed = true;

	for (int n = 0; failed; n++) {
		auto_close int fd = -1;

		assert_true(n < STEPS_MAX);
		must_make_secret(f, &fd);
		assert_int_equal(renameat(f->pools.fds[0], "a", f->pools.fds[0], POOLS_WIPE "1"),
				 0);
		fails_with = ENFILE;
		steps_left = n;
		pools_sweep(&f->pools);
		failed = steps_left < 0;
		steps_left = -1;
		fails_with = 0;
		assert_true(is_wiped(fd) || nr_entries(f, 0) == 1);
		pools_sweep(&f->pools);
		assert_true(is_wiped(fd));
		assert_int_equal(nr_entries(f, 0), 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, store_fixture_begin, store_fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_call_is_a_step),
		TEST(test_killed_while_it_is_made),
		TEST(test_killed_while_it_is_formatted),
		TEST(test_killed_while_it_grows),
		TEST(test_killed_while_it_is_removed),
		TEST(test_killed_while_it_is_wiped),
		TEST(test_a_full_disk_leaves_nothing),
		TEST(test_a_wipe_that_fails_is_not_done),
		TEST(test_a_sweep_that_fails_to_wipe_leaves_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
