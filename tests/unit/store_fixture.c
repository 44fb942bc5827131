/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/store_fixture.h"

#include <dirent.h>
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
#include "oci-hook/store/examine.h"
#include "tests/unit/policy_of.h"

const struct probing probing = { .program = PROBE_BUILT, .lock_fd = -1 };

int store_fixture_begin(void **state)
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

int store_fixture_end(void **state)
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

struct volume a_volume(const char *name, uint64_t bytes)
{
	struct volume v = { .size_bytes = bytes, .owner_uid = 1000, .created = 7 };

	assert_int_equal(text_copy(v.name, sizeof(v.name), name), 0);
	return v;
}

int make(const struct fixture *f, size_t pool, const struct volume *v, int from_fd, uint64_t bytes,
	 struct err *e)
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

void must_make(const struct fixture *f, size_t pool, const char *name, uint64_t bytes)
{
	struct volume v = a_volume(name, bytes);
	struct err e = { "" };

	if (make(f, pool, &v, -1, 0, &e) < 0)
		fail_msg("%s", e.text);
}

int place_data(const struct place *p)
{
	int fd = openat(p->dir_fd, VOLUME_DATA, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

unsigned int nr_entries(const struct fixture *f, size_t pool)
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

int an_image(const struct fixture *f, uint64_t bytes)
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

void must_be_image(int fd, uint64_t bytes)
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

bool have_ext4(void)
{
	return access("/usr/sbin/mkfs.ext4", X_OK) == 0 || access("/sbin/mkfs.ext4", X_OK) == 0;
}

bool is_ext4(int fd)
{
	char magic[2];

	assert_int_equal(pread(fd, magic, 2, 1024 + 56), 2);
	return !memcmp(magic, "\x53\xef", 2);
}

void must_find(const struct fixture *f, const char *name, struct place *ret)
{
	struct err e;

	if (pools_find(&f->pools, name, LOCK_EX, ret, &e) < 0)
		fail_msg("%s", e.text);
}

enum store_content content_of(const struct place *p)
{
	struct store_found found;
	struct err e;

	if (examine_look(p, &probing, &found, &e) < 0)
		fail_msg("%s", e.text);
	return found.content;
}
