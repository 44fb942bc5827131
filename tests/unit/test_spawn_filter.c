/* SPDX-License-Identifier: Apache-2.0 */
/* The system call filters of a worker and of the keeper, each worn by a child of this test. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/spawn.h"
#include "driver/worker/sandbox.h"

#define PASSED 42

struct program {
	uint64_t filter[START_FILTER_MAX];
	uint16_t nr;
};

static int make_worker(void **state)
{
	static struct program p;

	*state = &p;
	return spawn_filter_make(SPAWN_WORKER, p.filter, &p.nr, NULL);
}

static int make_keeper(void **state)
{
	static struct program p;

	*state = &p;
	return spawn_filter_make(SPAWN_KEEPER, p.filter, &p.nr, NULL);
}

/* How a child ends that makes this call: its wait status. */
static int end_of_call(const struct program *p, long number)
{
	int status = 0;
	pid_t pid;

	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no core file of a child that is killed */
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (sandbox_seal(p->filter, p->nr, NULL) < 0)
			_exit(1);
		syscall(number, -1, -1, 0, 0, 0, 0);
		syscall(SYS_exit_group, PASSED);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* Made with strange arguments, these return. */
static const long worker_calls[] = { SYS_io_uring_enter, SYS_futex, SYS_clock_gettime, 0 };
static const long keeper_calls[] = {
#ifdef SYS_poll
	SYS_poll,
#endif
	SYS_ppoll, SYS_accept4, SYS_recvmsg, SYS_sendmsg, SYS_close, SYS_clock_gettime, 0
};

static bool is_in(const long *numbers, long number)
{
	for (; *numbers; numbers++) {
		if (*numbers == number)
			return true;
	}
	return false;
}

/*
 * Not tried: these are permitted too, and the two calls (uretprobe, uprobe on x86-64)
 * that newer kernels exempt from every filter and that do nothing without a
 * probe set by root.
 */
static const long not_tried[] = {
	SYS_restart_syscall,
	SYS_rt_sigreturn,
	SYS_exit_group,
#ifdef __x86_64__
	335,
	336,
#endif
	0,
};

static void assert_permits(const struct program *p, const long *calls)
{
	for (long number = 0; number < 470; number++) {
		int status;

		if (is_in(not_tried, number))
			continue;
		status = end_of_call(p, number);
		if (is_in(calls, number) ? !WIFEXITED(status) || WEXITSTATUS(status) != PASSED
					 : !WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("system call %ld ended with status %#x", number, status);
	}
}

static void test_worker(void **state)
{
	assert_permits(*state, worker_calls);
}

static void test_keeper(void **state)
{
	assert_permits(*state, keeper_calls);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_worker, make_worker),
		cmocka_unit_test_setup(test_keeper, make_keeper),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
