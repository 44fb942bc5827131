/* SPDX-License-Identifier: Apache-2.0 */
/* What a tool that its data has taken over can still do. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "oci-hook/probe.h"
#include "oci-hook/probe/shut.h"

#define DATA_BYTES 8192

enum can {
	CAN_USE_DATA = 1 << 0,
	CAN_OPEN_DATA = 1 << 1,
	CAN_READ_OTHERS = 1 << 2,
	CAN_GROW = 1 << 3,
	CAN_TALK = 1 << 4,
	CAN_FORK = 1 << 5,
	CAN_KILL = 1 << 6,
	CAN_UNLINK = 1 << 7,
};

static bool can_open(const char *path, int flags)
{
	auto_close int fd = open(path, flags | O_CLOEXEC);

	return fd >= 0;
}

static bool can_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid > 0;
}

static unsigned int can_now(const char *path)
{
	char byte = 'x';
	struct rlimit any = { RLIM_INFINITY, RLIM_INFINITY };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	setrlimit(RLIMIT_FSIZE, &any); /* says that it did, and did nothing */
	return (pread(PROBE_DATA_FD, &byte, 1, 0) == 1 ? CAN_USE_DATA : 0u) |
	       (can_open("/proc/self/fd/3", O_RDWR) ? CAN_OPEN_DATA : 0u) |
	       (can_open(path, O_RDONLY) ? CAN_READ_OTHERS : 0u) |
	       (pwrite(PROBE_DATA_FD, &byte, 1, DATA_BYTES) == 1 ? CAN_GROW : 0u) |
	       (fd >= 0 ? CAN_TALK : 0u) | (can_fork() ? CAN_FORK : 0u) |
	       (kill(getppid(), 0) == 0 ? CAN_KILL : 0u) | (unlink(path) == 0 ? CAN_UNLINK : 0u);
}

/* In a child, since there is no way back. */
static unsigned int can_in(bool tool)
{
	char data[] = "/tmp/test_shut-XXXXXX", other[] = "/tmp/test_shut-XXXXXX";
	auto_close int data_fd = mkstemp(data), other_fd = mkstemp(other);
	int pair[2], status;
	unsigned int can = ~0u;
	pid_t pid;

	assert_true(data_fd >= 0 && other_fd >= 0);
	assert_int_equal(ftruncate(data_fd, DATA_BYTES), 0);
	assert_int_equal(pipe(pair), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int out_fd = fcntl(pair[1], F_DUPFD, 10);
		struct err e = { "" };

		if (fcntl(data_fd, F_DUPFD, 10) < 0 || dup2(data_fd, PROBE_DATA_FD) < 0 ||
		    shut_in(tool, &e) < 0) {
			fprintf(stderr, "%s\n", e.text);
			_exit(1);
		}
		can = can_now(other);
		_exit(write(out_fd, &can, sizeof(can)) != sizeof(can));
	}
	close(pair[1]);
	assert_int_equal(read(pair[0], &can, sizeof(can)), sizeof(can));
	close(pair[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	unlink(data);
	unlink(other);
	return can;
}

static bool have_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

static void test_a_look_reads_the_data_and_nothing_else(void **state)
{
	assert_int_equal(can_in(false), CAN_USE_DATA);
}

static void test_a_tool_has_its_data_and_the_system(void **state)
{
	unsigned int wanted = CAN_USE_DATA | CAN_OPEN_DATA;

	if (!have_landlock())
		wanted |= CAN_READ_OTHERS;
	assert_int_equal(can_in(true), wanted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_look_reads_the_data_and_nothing_else),
		cmocka_unit_test(test_a_tool_has_its_data_and_the_system),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
