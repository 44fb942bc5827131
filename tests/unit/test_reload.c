/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/reload.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"

static const char good[] = "{\"version\":1,\"worker_ids\":{\"first\":910000,\"count\":2},"
			   "\"rules\":[]}";
static const char bad[] = "{\"version\":1,\n \"rules\":7}";

static int seals_of(int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, good, strlen(good)), strlen(good));
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void test_a_sealed_text_becomes_a_policy(void **state)
{
	auto_policy struct policy *policy = NULL;
	auto_close int fd = -1;
	struct err e = { "" };

	assert_int_equal(reload_seal(good, strlen(good), &fd, &e), 0);
	assert_int_equal(reload_take(fd, &policy, &e), 0);
	assert_int_equal(policy_nr_rules(policy), 0);
	assert_int_equal(write(fd, "x", 1), -1);
}

static void test_a_bad_text_says_where(void **state)
{
	struct policy *policy = NULL;
	auto_close int fd = -1;
	struct err e = { "" };

	assert_int_equal(reload_seal(bad, strlen(bad), &fd, &e), 0);
	assert_true(reload_take(fd, &policy, &e) < 0);
	assert_null(policy);
	assert_non_null(strstr(e.text, "line 2"));
}

static void test_what_is_not_sealed_is_not_read(void **state)
{
	static const int missing[] = { F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE };
	const int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	struct policy *policy = NULL;
	int fds[2];

	for (size_t i = 0; i < ARRAY_SIZE(missing); i++) {
		auto_close int fd = seals_of(all & ~missing[i]);

		assert_int_equal(reload_take(fd, &policy, NULL), -EPERM);
	}
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(reload_take(fds[0], &policy, NULL), -EPERM);
	close(fds[0]);
	close(fds[1]);
	assert_null(policy);
}

static void test_a_text_too_large_is_not_read(void **state)
{
	auto_free char *text = calloc(1, POLICY_SIZE_MAX + 1);
	struct policy *policy = NULL;
	auto_close int fd = -1;

	assert_int_equal(reload_seal(text, POLICY_SIZE_MAX + 1, &fd, NULL), 0);
	assert_int_equal(reload_take(fd, &policy, NULL), -EFBIG);
}

/* A child asks for a reload it had prepared when this many had been made. */
static int ask(struct registry *reg, const char *text, uint64_t serial, struct op_change *change)
{
	struct registry_peer peer = { .uid = 0 };
	struct op op = { .registry = reg };
	int pair[2], status, r;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	pid = fork();
	if (pid == 0) {
		auto_close int fd = -1;

		op.ledger_fd = pair[1];
		r = reload_seal(text, strlen(text), &fd, NULL);
		if (r == 0)
			r = op_reload(&op, fd, &serial, NULL);
		_exit(r == -EAGAIN ? (int)serial : r == 0 ? 0 : 100);
	}
	for (r = -ETIMEDOUT; r == -ETIMEDOUT; clock_sleep_ms(1))
		r = op_answer(pair[0], reg, &peer, change);
	assert_int_equal(r, 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(pair[0]);
	close(pair[1]);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_an_older_reading_does_not_win(void **state)
{
	struct registry reg = { .policy_serial = 7 };
	struct op_change change = { 0 };

	assert_int_equal(ask(&reg, good, 6, &change), 7);
	assert_null(change.policy);
	assert_int_equal(ask(&reg, bad, 7, &change), 100);
	assert_null(change.policy);
	assert_int_equal(ask(&reg, good, 7, &change), 0);
	assert_non_null(change.policy);
	policy_free(change.policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_sealed_text_becomes_a_policy),
		cmocka_unit_test(test_a_bad_text_says_where),
		cmocka_unit_test(test_what_is_not_sealed_is_not_read),
		cmocka_unit_test(test_a_text_too_large_is_not_read),
		cmocka_unit_test(test_an_older_reading_does_not_win),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
