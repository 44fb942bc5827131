/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes on disk. Whatever is done to one is done again and again by a process that is killed
 * before its first step, before its second, and so on: what is there afterwards is the old or the
 * new, and after a sweep nothing else.
 */
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
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "oci-hook/store/caller.h"
#include "oci-hook/store/change.h"
#include "oci-hook/store/examine.h"
#include "tests/unit/policy_of.h"

#define MIB (UINT64_C(1) << 20)
#define KILLED 99
#define STEPS_MAX 200

/* --- a process that is killed -------------------------------------------------------------- */

static int steps_left = -1; /* -1: for ever */
static int fails_with;	    /* instead of being killed, the step fails */

static bool step(void)
{
	if (steps_left < 0)
		return true;
	if (steps_left-- > 0)
		return true;
	if (!fails_with)
		_exit(KILLED);
	errno = fails_with;
	return false;
}

#define WRAP(type, name, declared, passed)                                                         \
	type __real_##name declared;                                                               \
	type __wrap_##name declared;                                                               \
	type __wrap_##name declared                                                                \
	{                                                                                          \
		return step() ? __real_##name passed : -1;                                         \
	}

/* _FILE_OFFSET_BITS=64 gives some calls other names, and hardening one of them a third. */
WRAP(int, mkdirat, (int fd, const char *name, mode_t mode), (fd, name, mode))
WRAP(int, ftruncate64, (int fd, off_t size), (fd, size))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, renameat, (int from_fd, const char *from, int to_fd, const char *to),
     (from_fd, from, to_fd, to))
WRAP(int, renameat2, (int from_fd, const char *from, int to_fd, const char *to, unsigned int flags),
     (from_fd, from, to_fd, to, flags))
WRAP(int, unlinkat, (int fd, const char *name, int flags), (fd, name, flags))
WRAP(ssize_t, copy_file_range,
     (int from_fd, off64_t *from, int to_fd, off64_t *to, size_t size, unsigned int flags),
     (from_fd, from, to_fd, to, size, flags))
WRAP(ssize_t, pwrite64, (int fd, const void *at, size_t size, off_t offset), (fd, at, size, offset))
WRAP(ssize_t, write, (int fd, const void *at, size_t size), (fd, at, size))

WRAP(int, __openat64_2, (int fd, const char *name, int flags), (fd, name, flags))

int __real_openat64(int fd, const char *name, int flags, ...);
int __wrap_openat64(int fd, const char *name, int flags, ...);
int __wrap_openat64(int fd, const char *name, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return step() ? __real_openat64(fd, name, flags, mode) : -1;
}

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

/* --- two pools ----------------------------------------------------------------------------- */

struct fixture {
	char dir[32];
	struct policy *policy;
	struct pools pools;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char text[512], path[64];
	struct err e = { "" };

	assert_non_null(f);
	strcpy(f->dir, "/tmp/test_store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%d", f->dir, i);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	snprintf(
		text, sizeof(text),
		"{ \"version\": 1, \"worker_ids\": { \"first\": 910000, \"count\": 1 }, \"rules\": "
		"[], \"pools\": [ { \"name\": \"first\", \"path\": \"%s/0\", \"capacity\": "
		"\"10M\", \"overcommit_percent\": 200 }, { \"name\": \"second\", \"path\": "
		"\"%s/1\" } ] }",
		f->dir, f->dir);
	f->policy = policy_of(text);
	if (pools_open(&f->pools, f->policy, &e) < 0)
		fail_msg("%s", e.text);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[64];

	pools_close(&f->pools);
	policy_free(f->policy);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static struct volume a_volume(const char *name, uint64_t bytes)
{
	struct volume v = { .size_bytes = bytes, .owner_uid = 1000, .created = 7 };

	assert_int_equal(text_copy(v.name, sizeof(v.name), name), 0);
	return v;
}

static int make(const struct fixture *f, size_t pool, const struct volume *v, int from_fd,
		uint64_t bytes, struct err *e)
{
	auto_making struct making m = MAKING_INIT;
	int r;

	r = pools_lock(&f->pools, e);
	if (r < 0)
		return r;
	r = making_begin(&m, &f->pools, pool, v, e);
	pools_unlock(&f->pools);
	if (r == 0 && from_fd >= 0)
		r = making_fill(&m, from_fd, bytes, NULL, e);
	return r < 0 ? r : making_finish(&m, e);
}

static void must_make(const struct fixture *f, size_t pool, const char *name, uint64_t bytes)
{
	struct volume v = a_volume(name, bytes);
	struct err e = { "" };

	if (make(f, pool, &v, -1, 0, &e) < 0)
		fail_msg("%s", e.text);
}

static int place_data(const struct place *p)
{
	int fd = openat(p->dir_fd, VOLUME_DATA, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static unsigned int nr_entries(const struct fixture *f, size_t pool)
{
	char path[64];
	auto_closedir DIR *dir = NULL;
	unsigned int nr = 0;
	struct dirent *d;

	snprintf(path, sizeof(path), "%s/%zu", f->dir, pool);
	dir = opendir(path);
	assert_non_null(dir);
	while ((d = readdir(dir)))
		nr += strcmp(d->d_name, ".") && strcmp(d->d_name, "..");
	return nr;
}

/* An image with holes: bytes at its begin, in its middle, at its end. */
static int an_image(const struct fixture *f, uint64_t bytes)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/image", f->dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	assert_int_equal(pwrite(fd, "begin", 5, 0), 5);
	assert_int_equal(pwrite(fd, "middle", 6, (off_t)(bytes / 2)), 6);
	assert_int_equal(pwrite(fd, "end", 3, (off_t)bytes - 3), 3);
	return fd;
}

static void must_be_image(int fd, uint64_t bytes)
{
	char at[8] = "";
	struct stat st;

	assert_int_equal(pread(fd, at, 5, 0), 5);
	assert_memory_equal(at, "begin", 5);
	assert_int_equal(pread(fd, at, 6, (off_t)(bytes / 2)), 6);
	assert_memory_equal(at, "middle", 6);
	assert_int_equal(pread(fd, at, 3, (off_t)bytes - 3), 3);
	assert_memory_equal(at, "end", 3);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true((uint64_t)st.st_blocks * 512 < bytes / 2); /* the holes are holes */
}

/* --- what a record says -------------------------------------------------------------------- */

static void test_a_record_is_read_as_it_was_written(void **state)
{
	struct volume v = a_volume("pg-data", 3 * MIB), got;
	char text[VOLUME_TEXT_MAX];
	struct err e;
	size_t size;

	v.snapshot = true;
	v.filesystem = FILESYSTEM_XFS;
	v.formatting = FILESYSTEM_BTRFS;
	strcpy(v.origin, "base");
	strcpy(v.found, "LVM2_member");
	size = volume_format(&v, text);
	assert_int_equal(volume_parse(&got, text, size, &e), 0);
	assert_memory_equal(&got, &v, sizeof(v));
	for (size_t n = 0; n < size; n++)
		assert_int_equal(volume_parse(&got, text, n, &e), -EINVAL);
}

static void test_another_text_is_no_record(void **state)
{
	static const char *const changes[][2] = {
		{ "\"version\": 1", "\"version\": 2" },
		{ "\"version\": 1", "\"version\": 01" },
		{ "pg-data", "../data" },
		{ "pg-data", "" },
		{ "3145728", "3145729" },
		{ "3145728", "0" },
		{ "3145728", "-4096" },
		{ "3145728", "\"3145728\"" },
		{ "1000", "4294967295" },
		{ "\"kind\": \"volume\"", "\"kind\": \"Volume\"" },
		{ "\"origin\": \"\"", "\"origin\": \"/\"" },
		{ "\"created\": 7", "\"created\": 7, \"created\": 7" },
		{ "\"created\": 7", "\"created\":  7" },
		{ "\"filesystem\": \"\"", "\"filesystem\": \"ntfs\"" },
		{ "\"filesystem\": \"\"", "\"filesystem\": null" },
		{ "\"filesystem\": \"\"", "\"filesystem\": \"\",\n\t\"formatting\": \"\"" },
		{ "\"filesystem\": \"\"", "\"filesystem\": \"\",\n\t\"formatting\": \"ntfs\"" },
		{ "\"filesystem\": \"\"", "\"filesystem\": \"\",\n\t\"found\": \"\"" },
		{ "\"filesystem\": \"\"", "\"filesystem\": \"\",\n\t\"found\": \"a\\\"b\"" },
		{ "\"filesystem\": \"\"",
		  "\"filesystem\": \"\",\n\t\"found\": \"gpt\",\n\t\"formatting\": \"ext4\"" },
		{ "\"created\": 7", "\"more\": 1,\n\t\"created\": 7" },
	};
	struct volume v = a_volume("pg-data", 3 * MIB), got;
	char text[VOLUME_TEXT_MAX], changed[VOLUME_TEXT_MAX];
	struct err e;

	volume_format(&v, text);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		const char *at = strstr(text, changes[i][0]);

		assert_non_null(at);
		snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(at - text), text,
			 changes[i][1], at + strlen(changes[i][0]));
		if (volume_parse(&got, changed, strlen(changed), &e) != -EINVAL)
			fail_msg("%s", changed);
	}
}

/* --- volumes ------------------------------------------------------------------------------- */

static void test_a_name_is_one_volume_in_all_pools(void **state)
{
	struct fixture *f = *state;
	struct volume v = a_volume("a", MIB);
	auto_place struct place p = PLACE_INIT;
	struct err e;

	must_make(f, 1, "a", MIB);
	assert_int_equal(make(f, 0, &v, -1, 0, &e), -EEXIST);
	assert_string_equal(e.text, "there is a volume a already, in pool second");
	assert_int_equal(nr_entries(f, 0), 0);
	assert_int_equal(pools_find(&f->pools, "a", LOCK_EX, &p, &e), 0);
	assert_int_equal(p.pool, 1);
	assert_int_equal(p.volume.owner_uid, 1000);
	assert_int_equal(pools_find(&f->pools, "b", 0, &p, &e), -ENOENT);
	assert_int_equal(pools_find(&f->pools, "../1/a", 0, &p, &e), -ENOENT);
	assert_int_equal(pools_find(&f->pools, ".", 0, &p, &e), -ENOENT);
}

static void test_what_is_worked_on_is_busy(void **state)
{
	struct fixture *f = *state;
	auto_place struct place p = PLACE_INIT, q = PLACE_INIT, s = PLACE_INIT;
	struct err e;

	must_make(f, 0, "a", MIB);
	assert_int_equal(pools_find(&f->pools, "a", LOCK_SH, &p, &e), 0);
	assert_int_equal(pools_find(&f->pools, "a", LOCK_SH, &s, &e), 0);
	assert_int_equal(pools_find(&f->pools, "a", LOCK_EX, &q, &e), -EBUSY);
	assert_string_equal(e.text, "somebody is working on volume a");
	assert_int_equal(pools_find(&f->pools, "a", 0, &q, &e), 0);
}

static void test_what_is_being_made_counts_and_has_its_name(void **state)
{
	struct fixture *f = *state;
	auto_making struct making m = MAKING_INIT, other = MAKING_INIT;
	struct volume v = a_volume("a", 15 * MIB);
	auto_place struct place p = PLACE_INIT;
	struct pools_sum sum;
	struct err e;

	assert_int_equal(making_begin(&m, &f->pools, 0, &v, &e), 0);
	assert_int_equal(pools_find(&f->pools, "a", 0, &p, &e), -ENOENT);
	assert_int_equal(making_begin(&other, &f->pools, 1, &v, &e), -EBUSY);
	assert_int_equal(pools_count(&f->pools, 0, NULL, &sum, &e), 0);
	assert_int_equal(sum.pool_bytes, 15 * MIB);
	assert_int_equal(sum.all_volumes, 1);
	pools_sweep(&f->pools);
	assert_int_equal(making_finish(&m, &e), 0);
	assert_int_equal(pools_find(&f->pools, "a", 0, &p, &e), 0);
}

static void test_a_pool_holds_what_its_overcommit_lets_it(void **state)
{
	struct fixture *f = *state;
	struct pools_sum sum;
	uint64_t room;
	struct err e;

	must_make(f, 0, "a", 15 * MIB);
	must_make(f, 1, "b", 50 * MIB);
	assert_int_equal(pools_count(&f->pools, 0, NULL, &sum, &e), 0);
	assert_int_equal(sum.pool_bytes, 15 * MIB);
	assert_int_equal(sum.all_bytes, 65 * MIB);
	assert_int_equal(pools_check_room(&f->pools, 0, &sum, 5 * MIB - 4096, &e), 0);
	assert_int_equal(pools_check_room(&f->pools, 0, &sum, 5 * MIB + 4096, &e), -ENOSPC);
	assert_non_null(strstr(e.text, "the volumes of pool first have 15M already"));
	assert_int_equal(pools_check_room(&f->pools, 0, &sum, UINT64_MAX, &e), -ENOSPC);
	assert_int_equal(pools_check_room(&f->pools, 1, &sum, UINT64_MAX, &e), 0);
	/* What is said to be left is what there is room for. */
	assert_int_equal(pools_room(&f->pools, 0, &sum, &room, &e), 0);
	assert_in_range(room, 4096, 5 * MIB - 4096);
	assert_int_equal(pools_check_room(&f->pools, 0, &sum, room, &e), 0);
	sum.pool_bytes = 30 * MIB;
	assert_int_equal(pools_room(&f->pools, 0, &sum, &room, &e), 0);
	assert_int_equal(room, 0);
	assert_int_equal(pools_room(&f->pools, 1, &sum, &room, &e), 0);
	assert_true(room && room % 4096 == 0);
	assert_int_equal(pools_count(&f->pools, 0, "a", &sum, &e), 0);
	assert_int_equal(sum.pool_bytes, 0);
}

/* The largest one is allowed, and one block more is not; what is there already counts. */
static void test_the_largest_volume_a_rule_allows(void **state)
{
	auto_policy struct policy *policy = policy_of(
		"{ \"version\": 1, \"worker_ids\": { \"first\": 910000, \"count\": 1 }, "
		"\"rules\": [ { \"id\": \"small\", \"principal\": { \"uid\": 7 }, \"may\": "
		"[ \"create\" ], \"targets\": [ \"file\" ], \"pools\": [ \"first\" ], "
		"\"max_size\": \"1M\", \"max_devices_per_container\": 1 }, { \"id\": \"large\", "
		"\"principal\": { \"uid\": 7 }, \"may\": [ \"create\" ], \"targets\": [ \"file\" "
		"], \"pools\": [ \"first\" ], \"max_size\": \"5G\", "
		"\"max_devices_per_container\": 1 } ] }");
	struct caller caller = { .uid = 7, .gids = { 7 }, .nr_gids = 1 };
	struct caller_act act = {
		.request = "create", .act = POLICY_CREATE, .volume = "v", .pool = "first"
	};
	struct err e;

	act.size_bytes = caller_largest(&caller, policy, &act);
	assert_int_equal(act.size_bytes, 5 * 1024 * MIB);
	assert_int_equal(caller_decide(&caller, policy, &act, &e), 0);
	act.size_bytes += 4096;
	assert_int_equal(caller_decide(&caller, policy, &act, &e), -EPERM);
	act.pool = "second";
	assert_int_equal(caller_largest(&caller, policy, &act), 0);
	act.pool = "first";
	act.act = POLICY_DELETE;
	assert_int_equal(caller_largest(&caller, policy, &act), 0);
	act.act = POLICY_CREATE;
	caller.uid = 8;
	assert_int_equal(caller_largest(&caller, policy, &act), 0);
}

static void test_a_copy_has_the_data_and_its_holes(void **state)
{
	struct fixture *f = *state;
	auto_close int image = an_image(f, 32 * MIB + 512), fd = -1, copy = -1;
	struct volume v = a_volume("a", 33 * MIB), w = a_volume("b", 33 * MIB);
	auto_place struct place p = PLACE_INIT, q = PLACE_INIT;
	struct err e = { "" };

	if (make(f, 1, &v, image, 32 * MIB + 512, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(pools_find(&f->pools, "a", 0, &p, &e), 0);
	fd = place_data(&p);
	must_be_image(fd, 32 * MIB + 512);
	assert_int_equal(make(f, 0, &w, fd, 33 * MIB, &e), 0);
	assert_int_equal(pools_find(&f->pools, "b", 0, &q, &e), 0);
	copy = place_data(&q);
	must_be_image(copy, 32 * MIB + 512);
}

/* Where the kernel cannot copy between the two: zeroes become holes by hand. */
static void test_a_copy_by_hand_has_holes_too(void **state)
{
	struct fixture *f = *state;
	auto_close int image = an_image(f, 8 * MIB), to = -1;
	char path[64];
	struct err e;

	snprintf(path, sizeof(path), "%s/to", f->dir);
	to = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(to, 8 * MIB), 0);
	fails_with = EXDEV;
	steps_left = 0;
	assert_int_equal(copy_data(image, to, 8 * MIB, NULL, &e), 0);
	steps_left = -1;
	fails_with = 0;
	must_be_image(to, 8 * MIB);
}

static int stop_at_once(void *arg, uint64_t done, uint64_t all)
{
	++*(int *)arg;
	return -ECANCELED;
}

static void test_a_copy_that_is_stopped_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	auto_close int image = an_image(f, 8 * MIB);
	struct volume v = a_volume("a", 8 * MIB);
	int asked = 0;
	const struct copy_watch watch = { stop_at_once, &asked };
	struct err e;

	{
		auto_making struct making m = MAKING_INIT;

		assert_int_equal(making_begin(&m, &f->pools, 0, &v, &e), 0);
		assert_int_equal(making_fill(&m, image, 8 * MIB, &watch, &e), -ECANCELED);
	}
	assert_int_equal(asked, 1);
	assert_int_equal(nr_entries(f, 0), 0);
}

/* --- file systems -------------------------------------------------------------------------- */

static const struct probing probing = { .program = PROBE_BUILT, .lock_fd = -1 };

static bool have_ext4(void)
{
	return access("/usr/sbin/mkfs.ext4", X_OK) == 0 || access("/sbin/mkfs.ext4", X_OK) == 0;
}

static bool is_ext4(int fd)
{
	char magic[2];

	assert_int_equal(pread(fd, magic, 2, 1024 + 56), 2);
	return !memcmp(magic, "\x53\xef", 2);
}

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

static void must_find(const struct fixture *f, const char *name, struct place *ret)
{
	struct err e;

	if (pools_find(&f->pools, name, LOCK_EX, ret, &e) < 0)
		fail_msg("%s", e.text);
}

static enum store_content content_of(const struct place *p)
{
	struct store_found found;
	struct err e;

	if (examine_look(p, &probing, &found, &e) < 0)
		fail_msg("%s", e.text);
	return found.content;
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

/* --- killed at each step ------------------------------------------------------------------- */

static bool there(const struct fixture *f, const char *name, struct place *ret)
{
	struct err e;
	int r = pools_find(&f->pools, name, LOCK_EX, ret, &e);

	if (r < 0 && r != -ENOENT)
		fail_msg("%s", e.text);
	return r == 0;
}

/* True when the process came to its end; false when it was killed at step n. */
static bool run_killed(const struct fixture *f, int n, void (*run)(const struct fixture *f))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct fixture own = *f;
		struct err e;

		/* Locks are of an open file: the parent's would be this one's. */
		if (pools_open(&own.pools, f->policy, &e) < 0)
			_exit(1);
		steps_left = n;
		run(&own);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == KILLED);
	return WEXITSTATUS(status) == 0;
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
	    change_grow(&p, p.volume.size_bytes * 2, &e) < 0)
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
		assert_true(p.volume.size_bytes == 2 * MIB ||
			    (p.volume.size_bytes == MIB && !ended));
		fd = place_data(&p);
		assert_int_equal(fstat(fd, &st), 0);
		assert_true((uint64_t)st.st_size >= p.volume.size_bytes);
		/* And the next one does it. */
		assert_int_equal(change_grow(&p, 2 * MIB, &e), 0);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_size, 2 * MIB);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_call_is_a_step),
		cmocka_unit_test(test_a_record_is_read_as_it_was_written),
		cmocka_unit_test(test_another_text_is_no_record),
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_a_name_is_one_volume_in_all_pools),
		TEST(test_what_is_worked_on_is_busy),
		TEST(test_what_is_being_made_counts_and_has_its_name),
		TEST(test_a_pool_holds_what_its_overcommit_lets_it),
		cmocka_unit_test(test_the_largest_volume_a_rule_allows),
		TEST(test_a_copy_has_the_data_and_its_holes),
		TEST(test_a_copy_by_hand_has_holes_too),
		TEST(test_a_copy_that_is_stopped_leaves_nothing),
		TEST(test_only_what_is_empty_is_formatted),
		TEST(test_what_is_there_is_never_formatted),
		TEST(test_a_format_that_fails_leaves_it_blank),
		TEST(test_what_was_half_made_is_begun_anew),
		TEST(test_a_file_system_is_checked_mended_and_grown),
		TEST(test_a_larger_copy_has_a_larger_file_system),
		TEST(test_killed_while_it_is_made),
		TEST(test_killed_while_it_is_formatted),
		TEST(test_killed_while_it_grows),
		TEST(test_killed_while_it_is_removed),
		TEST(test_killed_while_it_is_wiped),
		TEST(test_a_full_disk_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
