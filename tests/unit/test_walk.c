/* SPDX-License-Identifier: Apache-2.0 */
/* Where a walk ends, and what it refuses on its way. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/walk.h"

/*
 * A directory to walk in, at DIR:
 *
 *   a/b/file   a/fifo   a/dir -> b   a/last -> b/file   a/out -> DIR
 */
struct place {
	char dir[64];
	int fd;
};

static int place_fill(int fd)
{
	auto_close int file_fd = -1;

	if (mkdirat(fd, "a", 0700) < 0 || mkdirat(fd, "a/b", 0700) < 0 ||
	    mkfifoat(fd, "a/fifo", 0600) < 0 || symlinkat("b", fd, "a/dir") < 0 ||
	    symlinkat("b/file", fd, "a/last") < 0)
		return -1;
	file_fd = openat(fd, "a/b/file", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return file_fd < 0 ? -1 : 0;
}

static int place_begin(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	if (!p)
		return -1;
	*state = p;
	strcpy(p->dir, "/tmp/test_walk.XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	p->fd = open(p->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (p->fd < 0 || place_fill(p->fd) < 0)
		return -1;
	return symlinkat(p->dir, p->fd, "a/out");
}

static int place_end(void **state)
{
	struct place *p = *state;
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", p->dir);
	close_fdp(&p->fd);
	free(p);
	return system(command);
}

static const struct {
	const char *path;
	unsigned int rules;
	int r; /* 0: it comes to what openat() comes to */
} walks[] = {
	{ "a", 0, 0 },
	{ "a", WALK_DIRECTORY | WALK_ONE_MOUNT, 0 },
	{ "a/b", WALK_DIRECTORY | WALK_ONE_MOUNT, 0 },
	{ "a/b/file", WALK_ONE_MOUNT, 0 },
	{ "a/fifo", 0, 0 }, /* it is not opened, nor waited for */
	{ "a/b/file", WALK_DIRECTORY, -ENOTDIR },
	{ "a/b/file/x", 0, -ENOTDIR },
	{ "a/fifo/x", 0, -ENOTDIR },
	{ "none", 0, -ENOENT },
	{ "a/none/b", 0, -ENOENT },
	/* links: first, in the middle, last, also where a directory is asked for */
	{ "a/dir/file", 0, -ELOOP },
	{ "a/dir", 0, -ELOOP },
	{ "a/dir", WALK_DIRECTORY, -ELOOP },
	{ "a/last", 0, -ELOOP },
	{ "a/out/a", 0, -ELOOP },
	/* what is no path of names */
	{ "", 0, -EINVAL },
	{ "/", 0, -EINVAL },
	{ "/a", 0, -EINVAL },
	{ "a/", 0, -EINVAL },
	{ "a//b", 0, -EINVAL },
	{ ".", 0, -EINVAL },
	{ "..", 0, -EINVAL },
	{ "a/.", 0, -EINVAL },
	{ "a/..", 0, -EINVAL },
	{ "a/../a", 0, -EINVAL },
	{ "a/./b", 0, -EINVAL },
};

static void assert_same_file(int a_fd, int b_fd)
{
	struct stat a, b;

	assert_int_equal(fstat(a_fd, &a), 0);
	assert_int_equal(fstat(b_fd, &b), 0);
	assert_int_equal(a.st_dev, b.st_dev);
	assert_int_equal(a.st_ino, b.st_ino);
}

static void test_a_walk_ends_as_the_table_says(void **state)
{
	const struct place *p = *state;

	for (size_t i = 0; i < ARRAY_SIZE(walks); i++) {
		auto_close int fd = walk_down(p->fd, walks[i].path, walks[i].rules);
		auto_close int same_fd = -1;

		if ((fd < 0 ? fd : 0) != walks[i].r)
			fail_msg("'%s' with %u: %d", walks[i].path, walks[i].rules, fd);
		if (fd < 0)
			continue;
		assert_true(fcntl(fd, F_GETFL) & O_PATH);
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		same_fd = openat(p->fd, walks[i].path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		assert_same_file(fd, same_fd);
	}
}

static void test_a_name_may_be_as_long_as_names_are(void **state)
{
	const struct place *p = *state;
	char name[NAME_MAX + 4] = "a/";
	auto_close int fd = -1;

	memset(name + 2, 'x', NAME_MAX);
	assert_int_equal(mkdirat(p->fd, name, 0700), 0);
	fd = walk_down(p->fd, name, WALK_DIRECTORY);
	assert_true(fd >= 0);
	name[2 + NAME_MAX] = 'x';
	assert_int_equal(walk_down(p->fd, name, 0), -ENAMETOOLONG);
}

static void test_links_of_proc_are_links(void **state)
{
	auto_close int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char path[48];

	snprintf(path, sizeof(path), "%d/root/etc", (int)getpid());
	assert_int_equal(walk_down(proc_fd, path, 0), -ELOOP);
	snprintf(path, sizeof(path), "%d/fd/%d", (int)getpid(), proc_fd);
	assert_int_equal(walk_down(proc_fd, path, 0), -ELOOP);
	assert_int_equal(walk_down(proc_fd, "self/stat", 0), -ELOOP);
}

static void test_another_file_system_is_another_mount(void **state)
{
	auto_close int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_close int proc_fd = walk_down(root_fd, "proc", WALK_DIRECTORY);
	char path[32];

	assert_true(proc_fd >= 0);
	assert_int_equal(walk_down(root_fd, "proc", WALK_ONE_MOUNT), -EXDEV);
	/* Also on the way. */
	snprintf(path, sizeof(path), "proc/%d/fd", (int)getpid());
	assert_int_equal(walk_down(root_fd, path, WALK_ONE_MOUNT), -EXDEV);
	assert_int_equal(walk_up(proc_fd), -EXDEV);
}

static void test_up_is_the_directory_above(void **state)
{
	const struct place *p = *state;
	auto_close int below_fd = walk_down(p->fd, "a", 0);
	auto_close int deep_fd = walk_down(p->fd, "a/b", 0);
	auto_close int file_fd = walk_down(p->fd, "a/b/file", 0);
	auto_close int up_fd = walk_up(deep_fd);

	assert_true(up_fd >= 0);
	assert_same_file(up_fd, below_fd);
	assert_int_equal(walk_up(file_fd), -ENOTDIR);
}

/* Of the same file system, so that its device number is no help. Answers 0 when all is well. */
static int bound_walk(const struct place *p)
{
	char from[80], to[80];
	int down, up, free_fd, bound_fd;

	snprintf(from, sizeof(from), "%s/a/b", p->dir);
	snprintf(to, sizeof(to), "%s/bound", p->dir);
	if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return 2;
	if (mkdir(to, 0700) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(from, to, NULL, MS_BIND, NULL) < 0)
		return 2;
	/* p->fd was opened in another mount namespace, where nothing is bound. */
	free_fd = open(p->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	bound_fd = walk_down(free_fd, "bound", WALK_DIRECTORY);
	down = walk_down(free_fd, "bound/file", WALK_ONE_MOUNT);
	up = walk_up(bound_fd);
	return bound_fd >= 0 && down == -EXDEV && up == -EXDEV ? 0 : 1;
}

static void test_a_bind_mount_is_another_mount(void **state)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(bound_walk(*state));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 2)
		skip(); /* nobody may mount here */
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_walk_ends_as_the_table_says, place_begin,
						place_end),
		cmocka_unit_test_setup_teardown(test_a_name_may_be_as_long_as_names_are,
						place_begin, place_end),
		cmocka_unit_test(test_links_of_proc_are_links),
		cmocka_unit_test(test_another_file_system_is_another_mount),
		cmocka_unit_test_setup_teardown(test_up_is_the_directory_above, place_begin,
						place_end),
		cmocka_unit_test_setup_teardown(test_a_bind_mount_is_another_mount, place_begin,
						place_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
