/* SPDX-License-Identifier: Apache-2.0 */
/* Which directory of the host is taken for the one that was handed in, and whose it may be. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/host_dir.h"

/* DIR/a/b, and beside it DIR/a/c, DIR/a/link -> b and the file DIR/a/file. */
struct place {
	char dir[32];
	int fd;
};

static int place_begin(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	int fd;

	*state = p;
	strcpy(p->dir, "/tmp/host_dir.XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	p->fd = open(p->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = p->fd < 0 || mkdirat(p->fd, "a", 0700) < 0 || mkdirat(p->fd, "a/b", 0700) < 0 ||
			     mkdirat(p->fd, "a/c", 0700) < 0 || symlinkat("b", p->fd, "a/link") < 0
		     ? -1
		     : openat(p->fd, "a/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? -1 : close(fd);
}

static int place_end(void **state)
{
	struct place *p = *state;
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", p->dir);
	close_fdp(&p->fd);
	free(p);
	return system(command);
}

static struct host_dir identity(int root_fd, const char *path)
{
	struct statx stx;

	assert_int_equal(statx(root_fd, path, AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_MNT_ID, &stx),
			 0);
	return (struct host_dir){ .dev = makedev(stx.stx_dev_major, stx.stx_dev_minor),
				  .inode = stx.stx_ino,
				  .mount = stx.stx_mnt_id };
}

static void test_the_same_directory_is_opened(void **state)
{
	const struct place *p = *state;
	struct host_dir want = identity(p->fd, "a/b");
	auto_close int fd = host_dir_open(p->fd, HOST_DIRECTORY, "/a/b", &want, getuid(), NULL);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_ino, want.inode);
}

static void test_another_directory_is_not(void **state)
{
	const struct place *p = *state;
	const struct host_dir want = identity(p->fd, "a/b");
	struct host_dir wrong[] = { want, want, want };
	struct err e;

	wrong[0].inode++;
	wrong[1].dev++;
	wrong[2].mount++; /* the same, by another way */
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(host_dir_open(p->fd, HOST_DIRECTORY, "/a/b", &wrong[i], 0, &e),
				 -ESTALE);
	assert_int_equal(host_dir_open(p->fd, HOST_DIRECTORY, "/a/c", &want, 0, &e), -ESTALE);
	assert_string_equal(e.text, "/a/c is another directory by now");
}

static void test_what_leads_there_is_walked(void **state)
{
	const struct place *p = *state;
	const struct host_dir want = identity(p->fd, "a/b");
	struct err e;

	assert_int_equal(host_dir_open(p->fd, HOST_DIRECTORY, "/a/link", &want, 0, &e), -ELOOP);
	assert_int_equal(host_dir_open(p->fd, HOST_DIRECTORY, "/a/c/../b", &want, 0, &e), -EINVAL);
	assert_int_equal(host_dir_open(p->fd, HOST_DIRECTORY, "/a/file", &want, 0, &e), -ENOTDIR);
	assert_int_equal(host_dir_open(p->fd, HOST_DIRECTORY, "/a/none", &want, 0, &e), -ENOENT);
}

static void test_it_is_roots_or_whose_the_mount_is(void **state)
{
	struct err e;

	assert_int_equal(host_dir_check_owner("/a", 1000, 0, &e), 0);
	assert_int_equal(host_dir_check_owner("/a", 0, 1000, &e), 0);
	assert_int_equal(host_dir_check_owner("/a", 1000, 1000, &e), 0);
	assert_int_equal(host_dir_check_owner("/a", 1001, 1000, &e), -EPERM);
	assert_string_equal(e.text, "/a belongs to uid 1001, not to root or uid 1000");
}

/* Only root enters other namespaces; anybody is told what is no directory. */
static void test_what_is_no_directory_is_said(void **state)
{
	auto_close int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct host_place found;
	struct err e;

	assert_int_equal(host_dir_look(&found, HOST_DIRECTORY, fd, -1, 5000, &e), -ENOTDIR);
	assert_string_equal(e.text, "what came to mount on is no directory");
}

/* What is said of a directory that was opened in this mount namespace. Answers 0 when all is well.
 */
static int look_here(const struct place *p)
{
	struct host_place found;
	char path[64];
	int ns_fd, fd, r;

	if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return 2;
	ns_fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	/* Opened in another one it is not found here. */
	fd = openat(p->fd, "a/link", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (host_dir_look(&found, HOST_DIRECTORY, fd, ns_fd, 5000, NULL) != -ESTALE)
		return 3;
	snprintf(path, sizeof(path), "%s/a/link", p->dir);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = host_dir_look(&found, HOST_DIRECTORY, fd, ns_fd, 5000, NULL);
	snprintf(path, sizeof(path), "%s/a/b", p->dir);
	if (r < 0 || strcmp(found.path, path) != 0 || found.owner_uid != getuid())
		return 4;
	if (renameat(p->fd, "a/b", p->fd, "a/d") < 0)
		return 5;
	r = host_dir_look(&found, HOST_DIRECTORY, fd, ns_fd, 5000, NULL);
	snprintf(path, sizeof(path), "%s/a/d", p->dir);
	if (r < 0 || strcmp(found.path, path) != 0)
		return 6;
	if (renameat(p->fd, "a/d", p->fd, "a/d e") < 0 ||
	    host_dir_look(&found, HOST_DIRECTORY, fd, ns_fd, 5000, NULL) != -EINVAL)
		return 7;
	if (unlinkat(p->fd, "a/d e", AT_REMOVEDIR) < 0 ||
	    host_dir_look(&found, HOST_DIRECTORY, fd, ns_fd, 5000, NULL) != -EINVAL)
		return 8;
	return 0;
}

static void test_it_is_found_where_the_kernel_says(void **state)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(look_here(*state));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 2)
		skip(); /* nobody may have a namespace here */
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, place_begin, place_end)

/* A file that is to become a device: empty, and of whoever asks. */
static void test_a_file_is_taken_empty(void **state)
{
	struct place *p = *state;
	auto_close int made = openat(p->fd, "a/empty", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	const struct host_dir want = identity(p->fd, "a/empty"), dir = identity(p->fd, "a/b");
	struct err e;
	int fd;

	assert_true(made >= 0);
	fd = host_dir_open(p->fd, HOST_FILE, "/a/empty", &want, getuid(), &e);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(host_dir_open(p->fd, HOST_DIRECTORY, "/a/empty", &want, 0, &e), -ENOTDIR);
	assert_int_equal(host_dir_open(p->fd, HOST_FILE, "/a/b", &dir, 0, &e), -EINVAL);
	assert_int_equal(host_dir_open(p->fd, HOST_FILE, "/a/empty", &dir, 0, &e), -ESTALE);
	assert_int_equal(write(made, "x", 1), 1);
	assert_int_equal(host_dir_open(p->fd, HOST_FILE, "/a/empty", &want, 0, &e), -ENOTEMPTY);
	assert_int_equal(unlinkat(p->fd, "a/empty", 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_same_directory_is_opened),
		TEST(test_another_directory_is_not),
		TEST(test_what_leads_there_is_walked),
		TEST(test_it_is_roots_or_whose_the_mount_is),
		TEST(test_what_is_no_directory_is_said),
		TEST(test_it_is_found_where_the_kernel_says),
		TEST(test_a_file_is_taken_empty),
	};

	return cmocka_run_group_tests_name("host_dir", tests, NULL, NULL);
}
