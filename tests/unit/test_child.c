/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/clock.h"
#include "driver/privileged/child.h"

static int work_count(void *arg, struct err *e)
{
	++*(int *)arg;
	return 0;
}

static int work_fail(void *arg, struct err *e)
{
	return err_set(e, ENOENT, "%s is gone", (const char *)arg);
}

static int work_positive(void *arg, struct err *e)
{
	return 42;
}

static int work_sleep(void *arg, struct err *e)
{
	++*(int *)arg;
	return pause();
}

static int work_exit(void *arg, struct err *e)
{
	_exit(0);
}

static int work_kill(void *arg, struct err *e)
{
	return kill(getpid(), SIGKILL);
}

static int work_nothing(void *arg, struct err *e)
{
	return 0;
}

/* Nothing may be left for the caller to wait for. */
static void assert_no_children(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void test_the_result_and_the_reason_come_back(void **state)
{
	char cat[] = "the cat";
	struct err e = { "" };
	int n = 0;

	assert_int_equal(child_run(work_count, &n, 5000, &e), 0);
	assert_int_equal(child_run(work_positive, NULL, 5000, &e), 42);
	assert_int_equal(child_run(work_fail, cat, 5000, &e), -ENOENT);
	assert_string_equal(e.text, "the cat is gone");
	assert_int_equal(child_run(work_fail, cat, -1, NULL), -ENOENT);
	assert_no_children();
}

static void test_memory_is_shared_only_when_asked_for(void **state)
{
	int *shared = child_share(sizeof(*shared)), own = 0;

	assert_non_null(shared);
	assert_int_equal(child_run(work_count, shared, 5000, NULL), 0);
	assert_int_equal(child_run(work_count, &own, 5000, NULL), 0);
	assert_int_equal(*shared, 1);
	assert_int_equal(own, 0);
	child_unshare(shared, sizeof(*shared));
	child_unshare(NULL, 0);
}

static void test_a_child_that_hangs_is_killed_at_the_deadline(void **state)
{
	int *shared = child_share(sizeof(*shared));
	int64_t began_ms = clock_now_ms();
	struct err e = { "" };

	assert_int_equal(child_run(work_sleep, shared, 300, &e), -ETIMEDOUT);
	assert_string_equal(e.text, "no answer within 300 ms");
	assert_true(clock_now_ms() - began_ms >= 300);
	assert_int_equal(*shared, 1);
	assert_no_children();
	child_unshare(shared, sizeof(*shared));
}

static void test_a_child_that_dies_is_an_error(void **state)
{
	struct err e = { "" };

	assert_int_equal(child_run(work_exit, NULL, 5000, &e), -EIO);
	assert_int_equal(child_run(work_kill, NULL, 5000, &e), -EIO);
	assert_string_equal(e.text, "a child died without an answer (signal 9)");
	assert_no_children();
}

static int work_orphan(void *arg, struct err *e)
{
	/* The caller of this one is killed while it waits. */
	return child_run(work_sleep, arg, 1500, e);
}

static void test_an_orphan_ends_soon_after_the_deadline(void **state)
{
	int *shared = child_share(sizeof(*shared)), pipe_fds[2];
	char byte;

	/* The orphan holds the other end until it is gone. */
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(child_run(work_orphan, shared, 1000, NULL), -ETIMEDOUT);
	close(pipe_fds[1]);
	assert_int_equal(*shared, 1);
	assert_int_equal(read(pipe_fds[0], &byte, 1), 0);
	close(pipe_fds[0]);
	child_unshare(shared, sizeof(*shared));
}

static void test_blocked_and_ignored_signals_change_nothing(void **state)
{
	sigset_t all, before;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	assert_int_equal(child_run(work_nothing, NULL, 5000, NULL), 0);
	sigprocmask(SIG_SETMASK, &before, NULL);
	signal(SIGCHLD, SIG_IGN);
	assert_int_equal(child_run(work_nothing, NULL, 5000, NULL), 0);
	signal(SIGCHLD, SIG_DFL);
	assert_no_children();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_result_and_the_reason_come_back),
		cmocka_unit_test(test_memory_is_shared_only_when_asked_for),
		cmocka_unit_test(test_a_child_that_hangs_is_killed_at_the_deadline),
		cmocka_unit_test(test_a_child_that_dies_is_an_error),
		cmocka_unit_test(test_an_orphan_ends_soon_after_the_deadline),
		cmocka_unit_test(test_blocked_and_ignored_signals_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
