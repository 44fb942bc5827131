/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's ring on the kernel this runs on, without ublk. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/worker/ring.h"
#include "targets/catalog.h"
#include "targets/registry.h"

static const uint8_t some_ops[] = { IORING_OP_URING_CMD, IORING_OP_SEND, IORING_OP_FSYNC };

/* A restricted ring whose channel is one end of a pair of sockets. */
static int open_ring(struct io_uring *u, int pair[2])
{
	int files[2];
	int r;

	r = ring_open(u, 8, NULL);
	if (r < 0)
		return r;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	files[RING_FILE_CHAR] = pair[0];
	files[RING_FILE_CHANNEL] = pair[1];
	assert_int_equal(io_uring_register_files(u, files, 2), 0);
	assert_int_equal(ring_restrict(u, some_ops, ARRAY_SIZE(some_ops), 0, NULL), 0);
	assert_int_equal(ring_enable(u, NULL), 0);
	return 0;
}

static void close_ring(struct io_uring *u, int pair[2])
{
	io_uring_queue_exit(u);
	close_fdp(&pair[0]);
	close_fdp(&pair[1]);
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
#define OPEN_RING_OR_SKIP(u, pair)                                                                 \
	do {                                                                                       \
		if (open_ring(u, pair) < 0)                                                        \
			skip();                                                                    \
	} while (0)

static void test_words_go_through_the_ring(void **state)
{
	struct io_uring u;
	int pair[2];
	char buf[8] = "";

	OPEN_RING_OR_SKIP(&u, pair);
	ring_say(&u, "word", 4);
	assert_int_equal(answer(&u), 4);
	assert_int_equal(read(pair[0], buf, sizeof(buf)), 4);
	assert_string_equal(buf, "word");
	close_ring(&u, pair);
}

static void test_other_operations_are_refused(void **state)
{
	static const uint8_t refused[] = { IORING_OP_NOP, IORING_OP_OPENAT, IORING_OP_READ,
					   IORING_OP_WRITE, IORING_OP_CLOSE };
	struct io_uring u;
	int pair[2];

	OPEN_RING_OR_SKIP(&u, pair);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		ring_sqe(&u, RING_FILE_CHANNEL, 0)->opcode = refused[i];
		assert_int_equal(answer(&u), -EACCES);
	}
	/* Permitted: that it fails is the socket's doing. */
	ring_sqe(&u, RING_FILE_CHANNEL, 0)->opcode = IORING_OP_FSYNC;
	assert_int_equal(answer(&u), -EINVAL);
	close_ring(&u, pair);
}

static void test_plain_descriptors_are_refused(void **state)
{
	struct io_uring_sqe *sqe;
	struct io_uring u;
	int pair[2];

	OPEN_RING_OR_SKIP(&u, pair);
	sqe = ring_sqe(&u, RING_FILE_CHANNEL, 0);
	sqe->opcode = IORING_OP_SEND;
	sqe->fd = pair[1];
	sqe->flags = 0;
	assert_int_equal(answer(&u), -EACCES);
	close_ring(&u, pair);
}

static void test_nothing_more_can_be_registered(void **state)
{
	struct io_uring u;
	int pair[2];

	OPEN_RING_OR_SKIP(&u, pair);
	assert_int_equal(io_uring_unregister_files(&u), -EACCES);
	close_ring(&u, pair);
}

/* Every operation each kind of device has on its ring, in the order of the list. */
static const struct {
	const struct target_ops *target;
	bool read_only, discard;
	const char *ops;
} devices[] = {
	{ &target_null, false, false, "command send" },
	{ &target_null, false, true, "command send" },
	{ &target_null, true, false, "command send" },
	{ &target_null, true, true, "command send" },
	{ &target_memory, false, false, "command send read write" },
	{ &target_memory, false, true, "command send read write fallocate" },
	{ &target_memory, true, false, "command send read" },
	{ &target_memory, true, true, "command send read" },
	{ &target_file, false, false, "command send read write fsync" },
	{ &target_file, false, true, "command send read write fallocate fsync" },
	{ &target_file, true, false, "command send read" },
	{ &target_file, true, true, "command send read" },
	{ &target_fault, false, false, "command send read write fsync timeout" },
	{ &target_fault, false, true, "command send read write fallocate fsync timeout" },
	{ &target_fault, true, false, "command send read timeout" },
	{ &target_fault, true, true, "command send read timeout" },
	{ &target_cow, false, false, "command send read write fsync plain-read plain-write" },
	{ &target_cow, false, true,
	  "command send read write fallocate fsync plain-read plain-write" },
	{ &target_cow, true, false, "command send read" },
	{ &target_cow, true, true, "command send read" },
	{ &target_nbd, false, false, "command send receive timeout" },
	{ &target_nbd, false, true, "command send receive timeout" },
	{ &target_nbd, true, false, "command send receive timeout" },
	{ &target_nbd, true, true, "command send receive timeout" },
};

static const char *const op_names[] = {
	[IORING_OP_URING_CMD] = "command",   [IORING_OP_SEND] = "send",
	[IORING_OP_READ_FIXED] = "read",     [IORING_OP_WRITE_FIXED] = "write",
	[IORING_OP_FALLOCATE] = "fallocate", [IORING_OP_FSYNC] = "fsync",
	[IORING_OP_TIMEOUT] = "timeout",     [IORING_OP_READ] = "plain-read",
	[IORING_OP_WRITE] = "plain-write",   [IORING_OP_RECV] = "receive",
};

static void test_a_ring_has_what_its_device_needs_and_nothing_else(void **state)
{
	unsigned int nr_rows = 0;

	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		struct target t = { .ops = devices[i].target,
				    .read_only = devices[i].read_only,
				    .discard = devices[i].discard };
		uint8_t ops[RING_OPS_MAX];
		unsigned int n = ring_ops(&t, ops);
		char text[160] = "";

		for (unsigned int k = 0; k < n; k++) {
			assert_true(ops[k] < ARRAY_SIZE(op_names) && op_names[ops[k]]);
			strcat(strcat(text, k ? " " : ""), op_names[ops[k]]);
		}
		print_message("  %s%s%s: %s\n", t.ops->name, t.read_only ? ", read-only" : "",
			      t.discard ? ", discard" : "", text);
		assert_string_equal(text, devices[i].ops);
	}
	/* A target that comes to the worker comes to the table. */
	for (unsigned int id = TARGET_NONE; id < TARGET_END; id++)
		nr_rows += target_find(id) ? 4 : 0;
	assert_int_equal(nr_rows, ARRAY_SIZE(devices));
}

/* What a target says it serves with the ring is something it says it serves. */
static void test_no_ring_operation_is_listed_for_nothing(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		const struct target_ring_op *row = devices[i].target->ring_ops;
		const struct target all = { .ops = devices[i].target, .discard = true };

		for (; row && row->io_ops; row++)
			assert_true(row->opcode && row->io_ops < 1u << IO_OP_END);
		assert_int_equal(target_io_ops(&all), all.ops->io_ops);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_go_through_the_ring),
		cmocka_unit_test(test_other_operations_are_refused),
		cmocka_unit_test(test_plain_descriptors_are_refused),
		cmocka_unit_test(test_nothing_more_can_be_registered),
		cmocka_unit_test(test_a_ring_has_what_its_device_needs_and_nothing_else),
		cmocka_unit_test(test_no_ring_operation_is_listed_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
