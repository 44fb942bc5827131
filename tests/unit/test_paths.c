/* SPDX-License-Identifier: Apache-2.0 */
/* How data and commands travel, a request at a time. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/worker/queue.h"
#include "driver/worker/ring.h"
#include "driver/worker/stats.h"
#include "targets/registry.h"
#include "tests/fake/kernel_fake.h"

/* --- the commit behind its operation ------------------------------------------------------- */

static void test_a_request_that_comes_alone_is_linked_to_its_commit(void **state)
{
	struct io_uring_sqe *sqe;

	begin(START_LINK);
	submitted(DEPTH);
	assert_int_equal(TURN({ RING_BLOCK, 1, UBLK_IO_RES_OK }), 0);
	sqe = submitted(2);
	assert_int_equal(sqe[0].opcode, IORING_OP_READ_FIXED);
	assert_int_equal(sqe[0].flags, IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS);
	assert_int_equal(sqe[1].cmd_op, UBLK_U_IO_COMMIT_AND_FETCH_REQ);
	assert_int_equal(sqe[1].flags, 0);
	assert_int_equal(command_of(&sqe[1]).tag, 1);
	assert_int_equal(command_of(&sqe[1]).result, IO_BYTES);
	assert_int_equal(kernel.counts.ops[STATS_READ].ios, 1);
	assert_int_equal(kernel.counts.ops[STATS_READ].bytes, IO_BYTES);
	/* The next request on the tag is the next completion. */
	assert_int_equal(TURN({ RING_BLOCK, 1, UBLK_IO_RES_OK }), 0);
	submitted(2);
	end();
}

static void test_requests_that_come_together_are_not(void **state)
{
	struct io_uring_sqe *sqe;

	begin(START_LINK);
	submitted(DEPTH);
	assert_int_equal(TURN({ RING_BLOCK, 0, UBLK_IO_RES_OK }, { RING_BLOCK, 1, UBLK_IO_RES_OK }),
			 0);
	sqe = submitted(2);
	assert_int_equal(sqe[0].opcode, IORING_OP_READ_FIXED);
	assert_int_equal(sqe[0].flags, 0);
	assert_int_equal(sqe[1].opcode, IORING_OP_READ_FIXED);
	assert_int_equal(sqe[1].flags, 0);
	end();
}

static struct notice notice_of(const struct io_uring_sqe *sqe)
{
	struct notice m;

	assert_int_equal(sqe->opcode, IORING_OP_SEND);
	assert_int_equal(sqe->fd, RING_FILE_NOTICES);
	assert_int_equal(sqe->msg_flags, MSG_DONTWAIT | MSG_NOSIGNAL);
	assert_int_equal(sqe->len, sizeof(m));
	memcpy(&m, (const void *)(uintptr_t)sqe->addr, sizeof(m));
	assert_int_equal(m.magic, NOTICE_MAGIC);
	return m;
}

/* The tag comes with a request, which fails. */
static int fails(uint16_t tag, int error)
{
	int r = TURN({ RING_BLOCK, tag, UBLK_IO_RES_OK });

	submitted(1);
	return r < 0 ? r : TURN({ RING_TARGET, tag, error });
}

static void test_of_failures_the_first_of_a_kind_is_told(void **state)
{
	struct notice m;

	begin(0);
	submitted(DEPTH);
	kernel.q.report.under_way = false;
	assert_int_equal(fails(1, -ENOSPC), 0);
	m = notice_of(&submitted(2)[1]);
	assert_int_equal(m.op, STATS_READ);
	assert_int_equal(m.error, ENOSPC);
	assert_int_equal(m.off, 8 << 9);
	assert_int_equal(m.len, IO_BYTES);

	/* Another kind, while that one is under way; then when nobody took it; then again. */
	assert_int_equal(fails(2, -EIO), 0);
	submitted(1);
	assert_int_equal(TURN({ RING_NOTICE, 0, -ECONNREFUSED }), 0);
	submitted(0);
	assert_int_equal(fails(2, -EIO), 0);
	assert_int_equal(notice_of(&submitted(2)[1]).error, EIO);
	assert_int_equal(TURN({ RING_NOTICE, 0, sizeof(m) }), 0);
	assert_int_equal(fails(3, -EIO), 0);
	submitted(1);
	assert_int_equal(fails(1, -ENOSPC), 0);
	submitted(1);

	/* It may be told again after a while. */
	for (size_t i = 0; i < NOTICE_KINDS; i++)
		kernel.q.report.said.until_ms[i] = 1;
	assert_int_equal(fails(1, -ENOSPC), 0);
	assert_int_equal(notice_of(&submitted(2)[1]).error, ENOSPC);
	assert_int_equal(TURN({ RING_NOTICE, 0, sizeof(m) }), 0);

	/* No news: the target cannot do it, or it is no request. */
	assert_int_equal(fails(1, -EOPNOTSUPP), 0);
	submitted(1);
	kernel.descs[1].start_sector = 1 << 30;
	assert_int_equal(TURN({ RING_BLOCK, 1, UBLK_IO_RES_OK }), 0);
	submitted(1);
	end();
}

/* The device hears EIO, the log what it was. */
static void test_a_backing_that_got_shorter_is_told_apart(void **state)
{
	struct io_uring_sqe *sqe;

	begin(0);
	submitted(DEPTH);
	kernel.q.report.under_way = false;
	assert_int_equal(fails(1, 0), 0);
	sqe = submitted(2);
	assert_int_equal(command_of(sqe).result, -EIO);
	assert_int_equal(notice_of(&sqe[1]).error, ENXIO);
	end();
}

static void test_a_flush_and_a_refused_request_are_not_linked(void **state)
{
	struct io_uring_sqe *sqe;

	begin(START_LINK);
	submitted(DEPTH);
	kernel.descs[0].op_flags = UBLK_IO_OP_FLUSH;
	assert_int_equal(TURN({ RING_BLOCK, 0, UBLK_IO_RES_OK }), 0);
	sqe = submitted(1);
	assert_int_equal(sqe->opcode, IORING_OP_FSYNC);
	assert_int_equal(sqe->flags, 0);
	kernel.descs[1].start_sector = 1 << 30;
	assert_int_equal(TURN({ RING_BLOCK, 1, UBLK_IO_RES_OK }), 0);
	sqe = submitted(1);
	assert_int_equal(command_of(sqe).result, -EIO);
	end();
}

/* The kernel drops the commit: it may say so, or not. */
static void broken_link(bool said)
{
	const struct answer part = { RING_TARGET, 2, 512, 0 },
			    dropped = { RING_BLOCK, 2, -ECANCELED, 0 };
	struct io_uring_sqe *sqe;

	begin(START_LINK);
	submitted(DEPTH);
	assert_int_equal(TURN({ RING_BLOCK, 2, UBLK_IO_RES_OK }), 0);
	submitted(2);
	assert_int_equal(said ? TURN(part, dropped) : TURN(part), 0);
	sqe = submitted(1);
	assert_int_equal(sqe->opcode, IORING_OP_READ_FIXED);
	assert_int_equal(sqe->len, IO_BYTES - 512);
	assert_true(sqe->off == 2 * IO_BYTES + 512);
	assert_int_equal(sqe->flags, 0);
	assert_int_equal(TURN({ RING_TARGET, 2, IO_BYTES - 512 }), 0);
	sqe = submitted(1);
	assert_int_equal(sqe->cmd_op, UBLK_U_IO_COMMIT_AND_FETCH_REQ);
	assert_int_equal(command_of(sqe).result, IO_BYTES);
	assert_int_equal(kernel.counts.ops[STATS_READ].ios, 1);
	assert_int_equal(kernel.counts.ops[STATS_READ].bytes, IO_BYTES);
	end();
}

static void test_a_part_goes_on_without_the_link(void **state)
{
	broken_link(false);
	broken_link(true);
}

static void test_an_error_breaks_the_link_and_is_committed(void **state)
{
	begin(START_LINK);
	submitted(DEPTH);
	assert_int_equal(TURN({ RING_BLOCK, 0, UBLK_IO_RES_OK }), 0);
	submitted(2);
	assert_int_equal(TURN({ RING_TARGET, 0, -ENOSPC }), 0);
	assert_int_equal(command_of(submitted(1)).result, -ENOSPC);
	assert_int_equal(kernel.counts.ops[STATS_READ].ios, 1);
	assert_int_equal(kernel.counts.ops[STATS_READ].bytes, 0);
	assert_int_equal(kernel.counts.ops[STATS_READ].errors, 1);
	end();
}

static void test_a_dropped_commit_without_links_is_a_refusal(void **state)
{
	begin(0);
	submitted(DEPTH);
	assert_int_equal(TURN({ RING_BLOCK, 0, -ECANCELED }), -ECANCELED);
	end();
}

/* --- pieces -------------------------------------------------------------------------------- */

/* One request on tag 1, to a backing that takes so many bytes at once. */
static struct io_uring_sqe *begin_pieces(uint32_t piece_bytes, unsigned int nr)
{
	begin(START_LINK);
	kernel.target.piece_bytes = piece_bytes;
	submitted(DEPTH);
	assert_int_equal(TURN({ RING_BLOCK, 1, UBLK_IO_RES_OK }), 0);
	return submitted(nr);
}

static void assert_piece(const struct io_uring_sqe *sqe, unsigned int from, unsigned int len)
{
	assert_int_equal(sqe->opcode, IORING_OP_READ_FIXED);
	assert_int_equal(sqe->flags, 0);
	assert_true(sqe->off == IO_BYTES + from);
	assert_true(sqe->addr == (uintptr_t)kernel.q.buffers + IO_BYTES + from);
	assert_int_equal(sqe->len, len);
}

static void assert_committed(int result)
{
	struct io_uring_sqe *sqe = submitted(1);

	assert_int_equal(sqe->cmd_op, UBLK_U_IO_COMMIT_AND_FETCH_REQ);
	assert_int_equal(command_of(sqe).result, result);
	end();
}

static void test_what_the_backing_does_not_take_at_once_goes_in_pieces(void **state)
{
	const struct io_uring_sqe *sqe = begin_pieces(1536, 3);

	assert_piece(&sqe[0], 0, 1536);
	assert_piece(&sqe[1], 1536, 1536);
	assert_piece(&sqe[2], 3072, 1024);
	assert_int_equal(TURN({ RING_TARGET, 1, 1024 }, { RING_TARGET, 1, 1536 }), 0);
	submitted(0);
	assert_int_equal(TURN({ RING_TARGET, 1, 1536 }), 0);
	assert_committed(IO_BYTES);
}

static void test_many_pieces_do_not_all_go_at_once(void **state)
{
	const struct answer whole = { RING_TARGET, 1, 512 };
	const struct io_uring_sqe *sqe = begin_pieces(512, TARGET_PIECES_MAX);

	assert_piece(&sqe[3], 1536, 512);
	assert_int_equal(TURN(whole, whole, whole, whole), 0);
	sqe = submitted(TARGET_PIECES_MAX);
	assert_piece(&sqe[0], 2048, 512);
	assert_piece(&sqe[3], 3584, 512);
	assert_int_equal(TURN(whole, whole, whole, whole), 0);
	assert_committed(IO_BYTES);
}

/* Which piece it was is not known: all are moved again, one by one. */
static void pieces_again(int first)
{
	begin_pieces(2048, 2);
	assert_int_equal(TURN({ RING_TARGET, 1, first }, { RING_TARGET, 1, 2048 }), 0);
	assert_piece(submitted(1), 0, 2048);
	assert_int_equal(TURN({ RING_TARGET, 1, 512 }), 0);
	assert_piece(submitted(1), 512, 2048);
	assert_int_equal(TURN({ RING_TARGET, 1, 2048 }), 0);
	assert_piece(submitted(1), 2560, 1536);
}

static void test_a_piece_that_was_short_or_failed_is_tried_again(void **state)
{
	static const int firsts[] = { 512, 0, -EAGAIN };

	for (size_t i = 0; i < ARRAY_SIZE(firsts); i++) {
		pieces_again(firsts[i]);
		assert_int_equal(TURN({ RING_TARGET, 1, 1536 }), 0);
		assert_committed(IO_BYTES);
		pieces_again(firsts[i]);
		assert_int_equal(TURN({ RING_TARGET, 1, -ENOSPC }), 0);
		assert_committed(-ENOSPC);
		pieces_again(firsts[i]);
		assert_int_equal(TURN({ RING_TARGET, 1, 0 }), 0);
		assert_committed(-EIO);
	}
}

/* --- what is counted ------------------------------------------------------------------------- */

static uint64_t timed(void)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < STATS_BUCKETS; i++)
		sum += kernel.counts.latency[0][i];
	return sum;
}

static void test_of_those_that_come_alone_some_are_not_linked_but_timed(void **state)
{
	unsigned int linked = 0;

	begin(START_LINK);
	kernel.q.nr_alone = 0;
	submitted(DEPTH);
	for (unsigned int i = 0; i < 2 * STATS_SAMPLE; i++) {
		assert_int_equal(TURN({ RING_BLOCK, 0, UBLK_IO_RES_OK }), 0);
		linked += kernel.nr_log == 2;
		if (kernel.nr_log == 1) {
			assert_int_equal(kernel.log[0].flags, 0);
			kernel.nr_log = 0;
			assert_int_equal(TURN({ RING_TARGET, 0, IO_BYTES }), 0);
		}
		kernel.nr_log = 0;
	}
	assert_int_equal(linked, 2 * STATS_SAMPLE - 2);
	assert_int_equal(timed(), 2);
	assert_int_equal(kernel.counts.ops[STATS_READ].ios, 2 * STATS_SAMPLE);
	assert_int_equal(kernel.counts.ops[STATS_READ].bytes, 2 * STATS_SAMPLE * IO_BYTES);
	assert_int_equal(kernel.counts.taken, 2 * STATS_SAMPLE);
	end();
}

/* One look at the clock serves all that came in a wake, and none is taken when nobody asks. */
static void test_the_clock_is_read_once_in_a_wake(void **state)
{
	begin(0);
	submitted(DEPTH);
	assert_int_equal(TURN({ RING_BLOCK, 0, UBLK_IO_RES_OK }, { RING_BLOCK, 1, UBLK_IO_RES_OK }),
			 0);
	submitted(2);
	assert_true(kernel.q.ios[0].begun_ns != 0);
	assert_true(kernel.q.ios[0].begun_ns == kernel.q.ios[1].begun_ns);
	kernel.q.ios[0].begun_ns -= 5000000;
	assert_int_equal(TURN({ RING_TARGET, 0, IO_BYTES }, { RING_TARGET, 1, -EIO }), 0);
	submitted(2);
	assert_int_equal(timed(), 2);
	assert_in_range(kernel.counts.ops[STATS_READ].time_ns, 5000000, 2000000000);
	assert_int_equal(kernel.counts.ops[STATS_READ].ios, 2);
	assert_int_equal(kernel.counts.ops[STATS_READ].bytes, IO_BYTES);
	assert_int_equal(kernel.counts.ops[STATS_READ].errors, 1);
	assert_int_equal(TURN({ RING_UNREGISTER, 0, 0 }), 0);
	assert_true(kernel.wake_ns == 0);
	end();
}

static void test_write_zeroes_count_as_discards(void **state)
{
	begin(0);
	submitted(DEPTH);
	kernel.target.discard = true;
	kernel.descs[0].op_flags = UBLK_IO_OP_WRITE_ZEROES;
	kernel.descs[1].op_flags = UBLK_IO_OP_DISCARD;
	kernel.descs[2].op_flags = UBLK_IO_OP_FLUSH;
	kernel.descs[3].op_flags = UBLK_IO_OP_WRITE;
	for (uint16_t tag = 0; tag < DEPTH; tag++) {
		assert_int_equal(TURN({ RING_BLOCK, tag, UBLK_IO_RES_OK }), 0);
		submitted(1);
		assert_int_equal(TURN({ RING_TARGET, tag, tag == 3 ? (int)IO_BYTES : 0 }), 0);
		submitted(1);
	}
	assert_int_equal(kernel.counts.ops[STATS_DISCARD].ios, 2);
	assert_int_equal(kernel.counts.ops[STATS_DISCARD].bytes, 2 * IO_BYTES);
	assert_int_equal(kernel.counts.ops[STATS_FLUSH].ios, 1);
	assert_int_equal(kernel.counts.ops[STATS_WRITE].ios, 1);
	assert_int_equal(kernel.counts.ops[STATS_READ].ios, 0);
	assert_int_equal(timed(), 0);
	end();
}

/* --- zero copy --------------------------------------------------------------------------- */

static void test_zero_copy_names_slots_and_no_addresses(void **state)
{
	struct io_uring_sqe *sqe;

	begin(START_ZERO_COPY);
	assert_null(kernel.q.buffers);
	sqe = submitted(DEPTH);
	for (unsigned int tag = 0; tag < DEPTH; tag++) {
		assert_true(sqe[tag].addr == (tag | 1 << 16));
		assert_true(command_of(&sqe[tag]).addr == 0);
	}
	assert_int_equal(TURN({ RING_BLOCK, 3, UBLK_IO_RES_OK }), 0);
	sqe = submitted(1);
	assert_int_equal(sqe->buf_index, 3);
	assert_true(sqe->addr == 0);
	assert_int_equal(TURN({ RING_TARGET, 3, IO_BYTES / 2 }), 0);
	sqe = submitted(1);
	assert_true(sqe->addr == IO_BYTES / 2);
	assert_int_equal(TURN({ RING_TARGET, 3, IO_BYTES / 2 }), 0);
	sqe = submitted(1);
	assert_true(sqe->addr == (3 | 1 << 16));
	assert_int_equal(command_of(sqe).result, IO_BYTES);
	end();
}

static void test_pages_the_driver_could_not_register_are_registered(void **state)
{
	struct io_uring_sqe *sqe;

	begin(START_ZERO_COPY);
	submitted(DEPTH);
	kernel.descs[2].op_flags |= UBLK_IO_F_NEED_REG_BUF;
	assert_int_equal(TURN({ RING_BLOCK, 2, UBLK_IO_RES_OK }), 0);
	sqe = submitted(1);
	assert_int_equal(sqe->cmd_op, UBLK_U_IO_REGISTER_IO_BUF);
	assert_true(command_of(sqe).addr == 2);
	assert_int_equal(TURN({ RING_REGISTER, 2, 0 }), 0);
	assert_int_equal(submitted(1)->opcode, IORING_OP_READ_FIXED);
	assert_int_equal(TURN({ RING_TARGET, 2, IO_BYTES }), 0);
	sqe = submitted(2);
	assert_int_equal(sqe[0].cmd_op, UBLK_U_IO_UNREGISTER_IO_BUF);
	assert_true(command_of(&sqe[0]).addr == 2);
	assert_int_equal(sqe[1].cmd_op, UBLK_U_IO_COMMIT_AND_FETCH_REQ);
	assert_int_equal(TURN({ RING_UNREGISTER, 2, 0 }), 0);
	/* The next request on the tag is none of those. */
	kernel.descs[2].op_flags = UBLK_IO_OP_READ;
	assert_int_equal(TURN({ RING_BLOCK, 2, UBLK_IO_RES_OK }), 0);
	submitted(1);
	assert_int_equal(TURN({ RING_TARGET, 2, IO_BYTES }), 0);
	submitted(1);
	end();
}

static void test_pages_that_cannot_be_registered_are_an_error(void **state)
{
	begin(START_ZERO_COPY);
	submitted(DEPTH);
	kernel.descs[0].op_flags |= UBLK_IO_F_NEED_REG_BUF;
	assert_int_equal(TURN({ RING_BLOCK, 0, UBLK_IO_RES_OK }), 0);
	submitted(1);
	assert_int_equal(TURN({ RING_REGISTER, 0, -ENOMEM }), 0);
	assert_int_equal(command_of(submitted(1)).result, -EIO);
	assert_int_equal(kernel.counts.by_hand, 1);
	assert_int_equal(kernel.counts.unregistered, 1);
	assert_int_equal(kernel.counts.ops[STATS_READ].errors, 1);
	end();
}

static void test_by_hand_the_driver_finds_no_slot(void **state)
{
	begin(START_ZERO_COPY | START_BY_HAND);
	assert_true(submitted(DEPTH)[1].addr == (UINT16_MAX | 1 << 16));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_request_that_comes_alone_is_linked_to_its_commit),
		cmocka_unit_test(test_requests_that_come_together_are_not),
		cmocka_unit_test(test_a_flush_and_a_refused_request_are_not_linked),
		cmocka_unit_test(test_a_part_goes_on_without_the_link),
		cmocka_unit_test(test_an_error_breaks_the_link_and_is_committed),
		cmocka_unit_test(test_a_dropped_commit_without_links_is_a_refusal),
		cmocka_unit_test(test_what_the_backing_does_not_take_at_once_goes_in_pieces),
		cmocka_unit_test(test_many_pieces_do_not_all_go_at_once),
		cmocka_unit_test(test_a_piece_that_was_short_or_failed_is_tried_again),
		cmocka_unit_test(test_of_those_that_come_alone_some_are_not_linked_but_timed),
		cmocka_unit_test(test_of_failures_the_first_of_a_kind_is_told),
		cmocka_unit_test(test_a_backing_that_got_shorter_is_told_apart),
		cmocka_unit_test(test_the_clock_is_read_once_in_a_wake),
		cmocka_unit_test(test_write_zeroes_count_as_discards),
		cmocka_unit_test(test_zero_copy_names_slots_and_no_addresses),
		cmocka_unit_test(test_pages_the_driver_could_not_register_are_registered),
		cmocka_unit_test(test_pages_that_cannot_be_registered_are_an_error),
		cmocka_unit_test(test_by_hand_the_driver_finds_no_slot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
