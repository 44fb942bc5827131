/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "driver/base/landlock.h"

/* What a process can do after it; a bit each. */
enum still {
	STILL_READS = 1 << 0,
	STILL_MAKES = 1 << 1,
	STILL_NAMES = 1 << 2,
	STILL_USES = 1 << 3, /* what was open */
	STILL_FAILED = 1 << 4,
};

static bool opens(const char *path, int flags)
{
	auto_close int fd = open(path, flags | O_CLOEXEC, 0600);

	return fd >= 0;
}

/* In a child, since there is no way back. */
static int still(const char *dir, const char *file)
{
	auto_close int open_fd = open(file, O_RDWR | O_CLOEXEC);
	char made[64], byte = 'x';
	struct err e;
	int status;
	pid_t pid;

	snprintf(made, sizeof(made), "%s/made", dir);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || landlock_enter(&e) < 0)
			_exit(STILL_FAILED);
		_exit((opens(file, O_RDONLY) ? STILL_READS : 0) |
		      (opens(made, O_RDWR | O_CREAT) ? STILL_MAKES : 0) |
		      (opens(dir, O_PATH | O_DIRECTORY) ? STILL_NAMES : 0) |
		      (write(open_fd, &byte, 1) == 1 ? STILL_USES : 0));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	unlink(made);
	return WEXITSTATUS(status);
}

static void test_no_file_by_its_path(void **state)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	char dir[] = "/tmp/test-landlock.XXXXXX", file[64];
	int can, all = STILL_READS | STILL_MAKES | STILL_NAMES | STILL_USES;

	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/file", dir);
	assert_true(opens(file, O_RDWR | O_CREAT));
	can = still(dir, file);
	unlink(file);
	rmdir(dir);
	/* A kernel without it forbids nothing. */
	assert_int_equal(can, version < 1 ? all : STILL_NAMES | STILL_USES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_file_by_its_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
