/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's ring on the kernel this runs on, without ublk. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/worker/ring.h"

static const uint8_t ring_ops[] = { IORING_OP_FSYNC, 0 };

/* A restricted ring whose channel is the writing end of a pipe. */
static int open_ring(struct io_uring *u, int pipe_fds[2])
{
	int files[2];
	int r;

	r = ring_open(u, 8, NULL);
	if (r < 0)
		return r;
	assert_int_equal(pipe(pipe_fds), 0);
	files[RING_FILE_CHAR] = pipe_fds[0];
	files[RING_FILE_CHANNEL] = pipe_fds[1];
	assert_int_equal(io_uring_register_files(u, files, 2), 0);
	assert_int_equal(ring_restrict(u, ring_ops, NULL), 0);
	assert_int_equal(ring_enable(u, NULL), 0);
	return 0;
}

static void close_ring(struct io_uring *u, int pipe_fds[2])
{
	io_uring_queue_exit(u);
	close_fdp(&pipe_fds[0]);
	close_fdp(&pipe_fds[1]);
}

static int answer(struct io_uring *u)
{
	struct io_uring_cqe *cqe = NULL;
	int r;

	assert_int_equal(io_uring_submit_and_wait(u, 1), 1);
	assert_int_equal(io_uring_peek_cqe(u, &cqe), 0);
	r = cqe->res;
	io_uring_cqe_seen(u, cqe);
	return r;
}

/* Not every place that builds has io_uring; those that have it show this. */
#define OPEN_RING_OR_SKIP(u, pipe_fds)                                                             \
	do {                                                                                       \
		if (open_ring(u, pipe_fds) < 0)                                                    \
			skip();                                                                    \
	} while (0)

static void test_words_go_through_the_ring(void **state)
{
	struct io_uring u;
	int pipe_fds[2];
	char buf[8] = "";

	OPEN_RING_OR_SKIP(&u, pipe_fds);
	ring_say(&u, "word", 4);
	assert_int_equal(answer(&u), 4);
	assert_int_equal(read(pipe_fds[0], buf, sizeof(buf)), 4);
	assert_string_equal(buf, "word");
	close_ring(&u, pipe_fds);
}

static void test_other_operations_are_refused(void **state)
{
	static const uint8_t refused[] = { IORING_OP_NOP, IORING_OP_OPENAT, IORING_OP_READ,
					   IORING_OP_CLOSE };
	struct io_uring u;
	int pipe_fds[2];

	OPEN_RING_OR_SKIP(&u, pipe_fds);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		ring_sqe(&u, RING_FILE_CHANNEL, 0)->opcode = refused[i];
		assert_int_equal(answer(&u), -EACCES);
	}
	/* Permitted: that it fails is the pipe's doing. */
	ring_sqe(&u, RING_FILE_CHANNEL, 0)->opcode = IORING_OP_FSYNC;
	assert_int_equal(answer(&u), -EINVAL);
	close_ring(&u, pipe_fds);
}

static void test_plain_descriptors_are_refused(void **state)
{
	struct io_uring_sqe *sqe;
	struct io_uring u;
	int pipe_fds[2];

	OPEN_RING_OR_SKIP(&u, pipe_fds);
	sqe = ring_sqe(&u, RING_FILE_CHANNEL, 0);
	sqe->opcode = IORING_OP_WRITE;
	sqe->fd = pipe_fds[1];
	sqe->flags = 0;
	assert_int_equal(answer(&u), -EACCES);
	close_ring(&u, pipe_fds);
}

static void test_nothing_more_can_be_registered(void **state)
{
	struct io_uring u;
	int pipe_fds[2];

	OPEN_RING_OR_SKIP(&u, pipe_fds);
	assert_int_equal(io_uring_unregister_files(&u), -EACCES);
	close_ring(&u, pipe_fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_go_through_the_ring),
		cmocka_unit_test(test_other_operations_are_refused),
		cmocka_unit_test(test_plain_descriptors_are_refused),
		cmocka_unit_test(test_nothing_more_can_be_registered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
