/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/store_steps.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define KILLED 99 /* the exit status of who was */

int steps_left = -1;
int fails_with;
void (*step_open)(const char *name, bool after);

bool step_take(void)
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
		return step_take() ? __real_##name passed : -1;                                    \
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

static void open_tell(const char *name, bool after)
{
	int saved = errno;

	if (step_open)
		step_open(name, after);
	errno = saved;
}

int __real___openat64_2(int fd, const char *name, int flags);
int __wrap___openat64_2(int fd, const char *name, int flags);
int __wrap___openat64_2(int fd, const char *name, int flags)
{
	int r;

	open_tell(name, false);
	r = step_take() ? __real___openat64_2(fd, name, flags) : -1;
	open_tell(name, true);
	return r;
}

int __real_openat64(int fd, const char *name, int flags, ...);
int __wrap_openat64(int fd, const char *name, int flags, ...);
int __wrap_openat64(int fd, const char *name, int flags, ...)
{
	va_list ap;
	mode_t mode;
	int r;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	open_tell(name, false);
	r = step_take() ? __real_openat64(fd, name, flags, mode) : -1;
	open_tell(name, true);
	return r;
}

bool run_killed(const struct fixture *f, int n, void (*run)(const struct fixture *f))
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
