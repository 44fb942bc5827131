/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of a backing file, and where it is found. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "driver/privileged/backing.h"
#include "driver/privileged/mountinfo.h"
#include "targets/catalog.h"

#define FILE_BYTES 8192

/* Whatever a checkout or /tmp is on; none of them can hang. */
static const char any_policy[] =
	"{\"version\":1,\"worker_ids\":{\"first\":910000,\"count\":10},\"rules\":[],"
	"\"filesystems\":[\"ext4\",\"xfs\",\"btrfs\",\"tmpfs\",\"overlay\",\"zfs\",\"9p\"]}";
static const char other_policy[] =
	"{\"version\":1,\"worker_ids\":{\"first\":910000,\"count\":10},\"rules\":[],"
	"\"filesystems\":[\"nosuchfs\"]}";

/* A directory with a file "x" in it. */
struct place {
	struct policy *policy;
	char dir[64]; /* with no link in it */
	char x[80];
};

static int place_begin(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	/* A mount of its own, so that the mount table has it in a chroot too. */
	char dir[] = "/dev/shm/test_backing.XXXXXX";
	auto_free char *real = NULL;
	auto_close int fd = -1;
	struct err e;

	real = mkdtemp(dir) ? realpath(dir, NULL) : NULL;
	if (!p || !real || text_copy(p->dir, sizeof(p->dir), real) < 0)
		return -1;
	snprintf(p->x, sizeof(p->x), "%s/x", p->dir);
	fd = open(p->x, O_RDWR | O_CREAT | O_EXCL, 0666);
	*state = p;
	return fd < 0 || ftruncate(fd, FILE_BYTES) < 0 ||
			       policy_parse(&p->policy, any_policy, strlen(any_policy),
					    &policy_names_system, &e) < 0
		       ? -1
		       : 0;
}

static int place_end(void **state)
{
	struct place *p = *state;
	char command[80];

	snprintf(command, sizeof(command), "rm -rf '%s'", p->dir);
	policy_free(p->policy);
	if (system(command))
		print_message("%s is left\n", p->dir);
	free(p);
	return 0;
}

static const char *place_path(const struct place *p, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", p->dir, name);
	return path;
}

static int look(const struct place *p, struct backing *b, int fd, bool read_only, struct err *e)
{
	return backing_examine(b, fd, read_only, p->policy, e);
}

static void test_the_facts(void **state)
{
	const struct place *p = *state;
	auto_backing struct backing b = BACKING_INIT;
	auto_close int fd = open(p->x, O_RDWR | O_CLOEXEC);
	struct stat st, fresh;
	struct err e;

	if (!geteuid())
		assert_int_equal(fchown(fd, 4711, 4712), 0);
	assert_int_equal(look(p, &b, fd, false, &e), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(fstat(b.fd, &fresh), 0);
	assert_int_not_equal(b.fd, fd);
	assert_int_equal(fresh.st_ino, st.st_ino);
	assert_int_equal(b.bytes, FILE_BYTES);
	assert_int_equal(b.owner_uid, geteuid() ? geteuid() : 4711);
	assert_int_equal(b.inode, st.st_ino);
	assert_int_equal(b.dev, st.st_dev);
	assert_string_equal(b.path, p->x);
	assert_false(b.block_device);
}

static void test_the_rights_of_the_descriptor(void **state)
{
	static const struct {
		int flags;
		bool read_only;
		int r;
	} rows[] = {
		{ O_RDWR, false, 0 },	      { O_RDWR, true, 0 },
		{ O_RDONLY, true, 0 },	      { O_RDONLY, false, -EACCES },
		{ O_WRONLY, false, -EACCES }, { O_WRONLY, true, -EACCES },
		{ O_PATH, true, -EACCES },    { O_PATH | O_RDWR, false, -EACCES },
	};
	const struct place *p = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_backing struct backing b = BACKING_INIT;
		auto_close int fd = open(p->x, rows[i].flags | O_CLOEXEC);
		struct err e;

		print_message("row %zu\n", i);
		assert_int_equal(look(p, &b, fd, rows[i].read_only, &e), rows[i].r);
		/* The fresh one can do no more than was asked for. */
		if (!rows[i].r)
			assert_int_equal(fcntl(b.fd, F_GETFL) & O_ACCMODE,
					 rows[i].read_only ? O_RDONLY : O_RDWR);
	}
}

static void test_what_is_no_backing_file(void **state)
{
	const struct place *p = *state;
	const int fds[] = {
		open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		mkfifo(place_path(p, "fifo"), 0600) ? -1 : open(place_path(p, "fifo"), O_RDWR),
		open("/dev/null", O_RDWR | O_CLOEXEC),
		open("/proc/self/status", O_RDONLY | O_CLOEXEC),
		memfd_create("x", MFD_CLOEXEC), /* on a mount that is in no namespace */
	};

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		auto_backing struct backing b = BACKING_INIT;
		struct err e;

		print_message("row %zu\n", i);
		assert_true(fds[i] >= 0);
		assert_true(look(p, &b, fds[i], true, &e) < 0);
		assert_int_equal(b.fd, -1);
		close(fds[i]);
	}
}

static void test_a_filesystem_that_is_not_listed(void **state)
{
	struct place *p = *state;
	auto_backing struct backing b = BACKING_INIT;
	auto_close int fd = open(p->x, O_RDWR | O_CLOEXEC);
	auto_policy struct policy *policy = NULL;
	struct err e;

	assert_int_equal(policy_parse(&policy, other_policy, strlen(other_policy),
				      &policy_names_system, &e),
			 0);
	assert_int_equal(backing_examine(&b, fd, false, policy, &e), -EPERM);
	assert_non_null(strstr(e.text, "filesystems"));
	assert_int_equal(b.fd, -1);
}

static void test_its_name_is_the_one_it_has_now(void **state)
{
	const struct place *p = *state;
	auto_backing struct backing renamed = BACKING_INIT, linked = BACKING_INIT;
	auto_close int fd = open(p->x, O_RDWR | O_CLOEXEC), link_fd = -1;
	struct err e;

	assert_int_equal(rename(p->x, place_path(p, "y")), 0);
	assert_int_equal(look(p, &renamed, fd, false, &e), 0);
	assert_string_equal(renamed.path, place_path(p, "y"));

	/* Of two names of one file the one it was opened by. */
	assert_int_equal(link(place_path(p, "y"), p->x), 0);
	link_fd = open(p->x, O_RDWR | O_CLOEXEC);
	assert_int_equal(look(p, &linked, link_fd, false, &e), 0);
	assert_string_equal(linked.path, p->x);
	assert_int_equal(linked.inode, renamed.inode);
}

static void test_links_and_dots_are_resolved(void **state)
{
	const struct place *p = *state;
	char crooked[160];

	assert_int_equal(mkdir(place_path(p, "d"), 0700), 0);
	assert_int_equal(symlink("../x", place_path(p, "d/link")), 0);
	for (int i = 0; i < 2; i++) {
		auto_backing struct backing b = BACKING_INIT;
		auto_close int fd = -1;
		struct err e;

		snprintf(crooked, sizeof(crooked), "%s/%s", p->dir, i ? "d/link" : "d/.././x");
		fd = open(crooked, O_RDWR | O_CLOEXEC);
		assert_int_equal(look(p, &b, fd, false, &e), 0);
		assert_string_equal(b.path, p->x);
	}
}

static void test_a_file_that_is_not_where_it_was(void **state)
{
	const struct place *p = *state;
	auto_close int fd = open(p->x, O_RDWR | O_CLOEXEC), other = -1;
	/* Unlinked; another at its name; another at the name the kernel shows now. */
	const char *const made[] = { NULL, "x", "x (deleted)" };
	struct err e;

	assert_int_equal(unlink(p->x), 0);
	for (size_t i = 0; i < ARRAY_SIZE(made); i++) {
		auto_backing struct backing b = BACKING_INIT;

		print_message("row %zu\n", i);
		if (made[i]) {
			other = open(place_path(p, made[i]), O_RDWR | O_CREAT | O_EXCL, 0600);
			assert_true(other >= 0);
			close_fdp(&other);
		}
		assert_int_equal(look(p, &b, fd, false, &e), -ESTALE);
	}
}

static void test_a_walk_follows_no_link(void **state)
{
	const struct place *p = *state;
	char magic[64];
	auto_close int dir_fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd;

	assert_int_equal(mkdir(place_path(p, "real"), 0700), 0);
	assert_int_equal(link(p->x, place_path(p, "real/x")), 0);
	assert_int_equal(symlink("real", place_path(p, "dir")), 0);
	assert_int_equal(symlink("x", place_path(p, "last")), 0);
	fd = backing_walk("/", place_path(p, "real/x"));
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(backing_walk("/", place_path(p, "dir/x")), -ELOOP);
	assert_int_equal(backing_walk("/", place_path(p, "last")), -ELOOP);
	snprintf(magic, sizeof(magic), "/proc/%d/fd/%d/x", (int)getpid(), dir_fd);
	assert_int_equal(backing_walk("/", magic), -ELOOP);
	assert_int_equal(backing_walk("/", place_path(p, "none")), -ENOENT);
	assert_int_equal(backing_walk("/", "x"), -EINVAL);
	assert_int_equal(backing_walk("/", ""), -EINVAL);
}

static void test_memory_has_its_size_for_ever(void **state)
{
	auto_backing struct backing b = BACKING_INIT;
	struct err e;

	assert_int_equal(backing_make(&b, TARGET_MEMORY, 65536, &e), 0);
	assert_int_equal(b.bytes, 65536);
	assert_int_equal(ftruncate(b.fd, 4096), -1);
	assert_int_equal(ftruncate(b.fd, 131072), -1);
}

/* What one mount says of itself is what the table of all says, where the kernel answers. */
static void test_the_type_of_a_mount(void **state)
{
	static const char *const paths[] = { "/", "/proc", "/dev/shm", "/sys" };
	unsigned int nr = 0;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		auto_mountinfo struct mountinfo m = MOUNTINFO_INIT;
		auto_close int fd = open(paths[i], O_PATH | O_CLOEXEC);
		struct mountinfo_entry entry = { .type = NULL };
		char type[64], small[2];
		struct statx stx;

		if (fd < 0 || mountinfo_type(fd, type, sizeof(type)) < 0)
			continue;
		assert_int_equal(statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx), 0);
		assert_int_equal(mountinfo_open(&m, AT_FDCWD, "/proc/self/mountinfo"), 0);
		while (mountinfo_next(&m, &entry) > 0 && entry.id != stx.stx_mnt_id)
			;
		if (entry.id != stx.stx_mnt_id)
			continue; /* the root of a chroot is in no table */
		assert_string_equal(type, entry.type);
		assert_int_equal(mountinfo_type(fd, small, sizeof(small)), -ENAMETOOLONG);
		nr++;
	}
	assert_true(mountinfo_type(-1, (char[4]){ "" }, 4) < 0);
	if (!nr)
		skip(); /* before 6.8 */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_type_of_a_mount),
		cmocka_unit_test_setup_teardown(test_the_facts, place_begin, place_end),
		cmocka_unit_test_setup_teardown(test_the_rights_of_the_descriptor, place_begin,
						place_end),
		cmocka_unit_test_setup_teardown(test_what_is_no_backing_file, place_begin,
						place_end),
		cmocka_unit_test_setup_teardown(test_a_filesystem_that_is_not_listed, place_begin,
						place_end),
		cmocka_unit_test_setup_teardown(test_its_name_is_the_one_it_has_now, place_begin,
						place_end),
		cmocka_unit_test_setup_teardown(test_links_and_dots_are_resolved, place_begin,
						place_end),
		cmocka_unit_test_setup_teardown(test_a_file_that_is_not_where_it_was, place_begin,
						place_end),
		cmocka_unit_test_setup_teardown(test_a_walk_follows_no_link, place_begin,
						place_end),
		cmocka_unit_test(test_memory_has_its_size_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
