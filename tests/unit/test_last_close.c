/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/last_close.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 3000

/* Does everybody who can write to this pipe go away? */
static int pipe_ends(int fd)
{
	struct pollfd poll_fd = { .fd = fd };

	return poll(&poll_fd, 1, PATIENCE_MS) == 1 && poll_fd.revents & POLLHUP;
}

static void test_keeps_until_end(void **state)
{
	struct pollfd poll_fd;
	int ends[2];
	pid_t holder;

	assert_int_equal(pipe(ends), 0);
	holder = last_close_begin();
	assert_true(holder > 0);
	close(ends[1]);
	poll_fd = (struct pollfd){ .fd = ends[0] };
	assert_int_equal(poll(&poll_fd, 1, 50), 0);
	last_close_end(holder);
	assert_true(pipe_ends(ends[0]));
	assert_int_equal(waitpid(holder, NULL, 0), holder);
	close(ends[0]);
}

/* A helper that is killed in the middle leaves no copy of its sockets behind. */
static void test_dies_with_its_parent(void **state)
{
	int ends[2], started[2];
	char byte = 0;
	pid_t parent;

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(pipe(started), 0);
	parent = fork();
	assert_true(parent >= 0);
	if (parent == 0) {
		byte = last_close_begin() > 0;
		if (write(started[1], &byte, 1) == 1)
			pause();
		_exit(EXIT_FAILURE);
	}
	close(ends[1]);
	assert_int_equal(read(started[0], &byte, 1), 1);
	assert_true(byte);
	kill(parent, SIGKILL);
	assert_int_equal(waitpid(parent, NULL, 0), parent);
	assert_true(pipe_ends(ends[0]));
	close(ends[0]);
	close(started[0]);
	close(started[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keeps_until_end),
		cmocka_unit_test(test_dies_with_its_parent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
