/* SPDX-License-Identifier: Apache-2.0 */
/* What of the journal reaches the disk, in which order, and what stays when it does not. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/journal.h"
#include "targets/catalog.h"

/* Each call by a letter: the file synced, renamed, unlinked, the directory synced. */
static struct {
	char seen[16];
	size_t nr;
	char fails; /* the letter of the call that does not work */
} calls;

static bool call_fails(char letter)
{
	assert_true(calls.nr < sizeof(calls.seen) - 1);
	calls.seen[calls.nr++] = letter;
	if (letter != calls.fails)
		return false;
	errno = EIO;
	return true;
}

int __wrap_fsync(int fd);
int __real_fsync(int fd);
int __wrap_fsync(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	/* What is renamed into place is whole by then. */
	if (S_ISREG(st.st_mode))
		assert_int_equal(st.st_size, sizeof(struct record));
	return call_fails(S_ISDIR(st.st_mode) ? 'd' : 'f') ? -1 : __real_fsync(fd);
}

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	return call_fails('r') ? -1 : __real_renameat(from_fd, from, to_fd, to);
}

int __wrap_unlinkat(int fd, const char *name, int flags);
int __real_unlinkat(int fd, const char *name, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags)
{
	return call_fails('u') ? -1 : __real_unlinkat(fd, name, flags);
}

struct fixture {
	char dir[32];
	int journal_fd;
};

static const struct record record = {
	.magic = RECORD_MAGIC,
	.version = RECORD_VERSION,
	.size = sizeof(struct record),
	.generation = (uint64_t)RECORD_GENERATION_MARK << 32 | 7,
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	memset(&calls, 0, sizeof(calls));
	strcpy(f->dir, "/tmp/journal.XXXXXX");
	*state = f;
	return mkdtemp(f->dir) ? journal_open(f->dir, &f->journal_fd, NULL) : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char path[64];

	calls.nr = 0;
	calls.fails = 0;
	journal_remove(f->journal_fd, record.generation, NULL);
	close(f->journal_fd);
	snprintf(path, sizeof(path), "%s/devices", f->dir);
	/* Fails when anything else was left behind. */
	if (rmdir(path) < 0 || rmdir(f->dir) < 0)
		return -1;
	free(f);
	return 0;
}

static unsigned int nr_files(const struct fixture *f)
{
	unsigned int nr = 0;
	char path[64];
	DIR *d;

	snprintf(path, sizeof(path), "%s/devices", f->dir);
	d = opendir(path);
	assert_non_null(d);
	for (struct dirent *entry = readdir(d); entry; entry = readdir(d))
		nr += entry->d_name[0] != '.';
	closedir(d);
	return nr;
}

static void test_a_record_is_durable_before_it_counts(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(journal_save(f->journal_fd, &record, NULL), 0);
	assert_string_equal(calls.seen, "frd");
}

static void test_a_removal_is_durable(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(journal_save(f->journal_fd, &record, NULL), 0);
	memset(&calls, 0, sizeof(calls));
	assert_int_equal(journal_remove(f->journal_fd, record.generation, NULL), 0);
	assert_string_equal(calls.seen, "ud");
}

static void test_what_is_not_there_is_removed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(journal_remove(f->journal_fd, record.generation, NULL), 0);
	assert_string_equal(calls.seen, "u");
}

static void test_what_cannot_be_saved_leaves_nothing(void **state)
{
	static const char steps[] = { 'f', 'r' };
	struct fixture *f = *state;
	struct err e;

	for (size_t i = 0; i < sizeof(steps); i++) {
		memset(&calls, 0, sizeof(calls));
		calls.fails = steps[i];
		assert_int_equal(journal_save(f->journal_fd, &record, &e), -EIO);
		assert_int_equal(nr_files(f), 0);
	}
}

static void test_a_directory_that_is_not_durable_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct err e;

	calls.fails = 'd';
	assert_int_equal(journal_save(f->journal_fd, &record, &e), -EIO);
	assert_int_equal(journal_remove(f->journal_fd, record.generation, &e), -EIO);
}

static int count(void *arg, const struct record *rec)
{
	assert_int_equal(rec->generation, record.generation);
	(*(unsigned int *)arg)++;
	return 0;
}

static unsigned int nr_loaded(const struct fixture *f)
{
	unsigned int nr = 0;

	memset(&calls, 0, sizeof(calls));
	assert_int_equal(journal_load(f->journal_fd, count, &nr, NULL), 0);
	return nr;
}

/* Of another version: kept, counted, and a record again for the one that reads it. */
static void test_what_cannot_be_read_waits_for_who_can(void **state)
{
	struct record whole = record, other = record;
	struct fixture *f = *state;
	char name[32], aside[40];
	auto_close int fd = -1;

	whole.state = WIRE_STATE_LIVE;
	whole.flags = WIRE_HOST;
	other.version++;
	snprintf(name, sizeof(name), "%016llx", (unsigned long long)record.generation);
	snprintf(aside, sizeof(aside), "%s.bad", name);

	assert_int_equal(journal_save(f->journal_fd, &other, NULL), 0);
	assert_int_equal(journal_nr_aside(f->journal_fd), 0);
	assert_int_equal(nr_loaded(f), 0);
	assert_int_equal(journal_nr_aside(f->journal_fd), 1);
	assert_int_equal(nr_loaded(f), 0);
	assert_int_equal(faccessat(f->journal_fd, aside, F_OK, 0), 0);

	fd = openat(f->journal_fd, aside, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write(fd, &whole, sizeof(whole)), sizeof(whole));
	assert_int_equal(nr_loaded(f), 1);
	assert_int_equal(journal_nr_aside(f->journal_fd), 0);
	assert_int_equal(faccessat(f->journal_fd, name, F_OK, 0), 0);
	assert_int_equal(nr_loaded(f), 1);
}

/* One that a person gave such a name is no record of a device. */
static void test_other_files_are_no_records(void **state)
{
	struct fixture *f = *state;
	auto_close int fd =
		openat(f->journal_fd, "notes.bad", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(nr_loaded(f), 0);
	assert_int_equal(journal_nr_aside(f->journal_fd), 0);
	assert_int_equal(journal_remove_stray(f->journal_fd, "notes.bad", NULL), 0);
}

/* What is mounted has a place, wherever that is; a device for the host has none. */
static void test_a_mount_on_record_has_a_place(void **state)
{
	static const struct {
		uint32_t flags, filesystem;
		const char *path;
		bool ok;
	} rows[] = {
		{ WIRE_HOST, FILESYSTEM_NONE, "", true },
		{ WIRE_HOST, FILESYSTEM_EXT4, "/srv/a", true },
		{ 0, FILESYSTEM_EXT4, "/srv/a", true },
		{ WIRE_HOST, FILESYSTEM_EXT4, "", false },
		{ WIRE_HOST, FILESYSTEM_EXT4, "/", false },
		{ WIRE_HOST, FILESYSTEM_EXT4, "/srv/../a", false },
		{ WIRE_HOST, FILESYSTEM_END, "/srv/a", false },
		{ 0, FILESYSTEM_NONE, "/srv/a", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct record rec = record;

		rec.state = WIRE_STATE_LIVE;
		rec.flags = rows[i].flags;
		rec.filesystem = rows[i].filesystem;
		strcpy(rec.path, rows[i].path);
		if (journal_record_ok(&rec) != rows[i].ok)
			fail_msg("row %zu", i);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_record_is_durable_before_it_counts),
		TEST(test_a_removal_is_durable),
		TEST(test_what_is_not_there_is_removed),
		TEST(test_what_cannot_be_saved_leaves_nothing),
		TEST(test_a_directory_that_is_not_durable_is_an_error),
		TEST(test_what_cannot_be_read_waits_for_who_can),
		TEST(test_other_files_are_no_records),
		TEST(test_a_mount_on_record_has_a_place),
	};

	return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
