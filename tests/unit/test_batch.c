/* SPDX-License-Identifier: Apache-2.0 */
/* How commands travel many at a time. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/kernel_fake.h"

/* What the kernel writes: tags into one of the buffers it was offered. */
static struct answer deliver(uint16_t delivery, const uint16_t *tags, unsigned int nr)
{
	void *buf = (void *)(uintptr_t)kernel.deliveries->bufs[delivery].addr;

	memcpy(buf, tags, nr * sizeof(*tags));
	return (struct answer){ RING_FETCH, 0, (int)(nr * sizeof(*tags)),
				IORING_CQE_F_BUFFER | IORING_CQE_F_MORE |
					(uint32_t)delivery << IORING_CQE_BUFFER_SHIFT };
}

static const struct answer gone = { RING_FETCH, 0, UBLK_IO_RES_ABORT, 0 };

static void begin_batch(uint32_t flags)
{
	struct io_uring_sqe *sqe;

	begin(START_BATCH | flags);
	sqe = submitted(2);
	assert_int_equal(sqe[0].cmd_op, UBLK_U_IO_PREP_IO_CMDS);
	assert_int_equal(batch_of(&sqe[0]).nr_elem, DEPTH);
	assert_int_equal(sqe[1].cmd_op, UBLK_U_IO_FETCH_IO_CMDS);
	assert_int_equal(sqe[1].flags, IOSQE_BUFFER_SELECT);
	assert_int_equal(TURN({ RING_PREPARE, 0, 0 }), 0);
	submitted(0);
}

static void test_a_batch_is_committed_at_once(void **state)
{
	const uint16_t tags[] = { 3, 0 };
	const struct ublk_elem_header *elems;
	struct io_uring_sqe *sqe;

	begin_batch(START_ZERO_COPY);
	assert_int_equal(TURN(deliver(0, tags, 2)), 0);
	sqe = submitted(2);
	assert_int_equal(sqe[0].buf_index, 3);
	assert_int_equal(sqe[1].buf_index, 0);
	assert_int_equal(TURN({ RING_TARGET, 0, IO_BYTES }, { RING_TARGET, 3, -EIO }), 0);
	sqe = submitted(1);
	assert_int_equal(sqe->cmd_op, UBLK_U_IO_COMMIT_IO_CMDS);
	assert_int_equal(batch_of(sqe).nr_elem, 2);
	assert_int_equal(batch_of(sqe).elem_bytes, sizeof(*elems));
	elems = (const void *)(uintptr_t)sqe->addr;
	assert_int_equal(elems[0].tag, 0);
	assert_int_equal(elems[0].result, IO_BYTES);
	assert_int_equal(elems[1].tag, 3);
	assert_int_equal(elems[1].buf_index, 3);
	assert_int_equal(elems[1].result, -EIO);
	assert_int_equal(TURN({ RING_COMMIT, 0, 2 * sizeof(*elems) }), 0);
	submitted(0);
	end();
}

static void test_with_buffers_their_addresses_go_along(void **state)
{
	const uint16_t tags[] = { 2 };
	struct io_uring_sqe *sqe;
	uint64_t elem[2];

	begin_batch(0);
	assert_int_equal(TURN(deliver(1, tags, 1)), 0);
	sqe = submitted(1);
	assert_true(sqe->addr == (uintptr_t)kernel.q.buffers + 2 * IO_BYTES);
	assert_int_equal(TURN({ RING_TARGET, 2, IO_BYTES }), 0);
	sqe = submitted(1);
	assert_int_equal(batch_of(sqe).elem_bytes, sizeof(elem));
	assert_int_equal(batch_of(sqe).flags, UBLK_BATCH_F_HAS_BUF_ADDR);
	memcpy(elem, (const void *)(uintptr_t)sqe->addr, sizeof(elem));
	assert_true(elem[1] == (uintptr_t)kernel.q.buffers + 2 * IO_BYTES);
	end();
}

static void test_results_wait_for_the_commit_before_them(void **state)
{
	const uint16_t first[] = { 0 }, second[] = { 1 };

	begin_batch(START_ZERO_COPY);
	assert_int_equal(TURN(deliver(0, first, 1), deliver(1, second, 1)), 0);
	submitted(2);
	assert_int_equal(TURN({ RING_TARGET, 0, IO_BYTES }), 0);
	submitted(1);
	assert_int_equal(TURN({ RING_TARGET, 1, IO_BYTES }), 0);
	submitted(0);
	assert_int_equal(TURN({ RING_COMMIT, 0, 8 }), 0);
	assert_int_equal(batch_of(submitted(1)).nr_elem, 1);
	end();
}

static void test_a_stopped_queue_commits_what_it_has(void **state)
{
	const uint16_t tags[] = { 1 };

	begin_batch(START_ZERO_COPY);
	assert_int_equal(TURN(deliver(0, tags, 1), gone), 0);
	submitted(1);
	assert_int_equal(kernel.q.live, 1);
	assert_int_equal(TURN({ RING_TARGET, 1, IO_BYTES }), 0);
	submitted(1);
	assert_int_equal(kernel.q.live, 1);
	assert_int_equal(TURN({ RING_COMMIT, 0, 8 }), 0);
	assert_int_equal(kernel.q.live, 0);
	end();
}

static void test_a_fetch_that_ended_is_made_again(void **state)
{
	begin_batch(START_ZERO_COPY);
	assert_int_equal(TURN({ RING_FETCH, 0, -ENOBUFS, 0 }), 0);
	assert_int_equal(submitted(1)->cmd_op, UBLK_U_IO_FETCH_IO_CMDS);
	assert_int_equal(kernel.q.live, 1);
	end();
}

static void test_what_the_driver_refuses_ends_the_worker(void **state)
{
	const uint16_t tags[] = { 1 }, strange[] = { DEPTH };

	begin(START_BATCH | START_ZERO_COPY);
	assert_int_equal(TURN({ RING_PREPARE, 0, -EINVAL }), -EINVAL);
	end();
	begin_batch(START_ZERO_COPY);
	assert_int_equal(TURN({ RING_FETCH, 0, -EINVAL, 0 }), -EINVAL);
	end();
	begin_batch(START_ZERO_COPY);
	assert_int_equal(TURN(deliver(0, strange, 1)), -EPROTO);
	end();
	for (int result = -EBUSY; result <= 0; result += EBUSY) {
		begin_batch(START_ZERO_COPY);
		assert_int_equal(TURN(deliver(0, tags, 1)), 0);
		assert_int_equal(TURN({ RING_TARGET, 1, IO_BYTES }), 0);
		assert_int_equal(TURN({ RING_COMMIT, 0, result }), result ? result : -EPROTO);
		end();
	}
}

/* Each buffer is offered again once its tags were read, so the kernel never runs out. */
static void test_deliveries_go_round(void **state)
{
	const uint16_t tags[] = { 0 };

	begin_batch(START_ZERO_COPY);
	for (unsigned int i = 0; i < 10 * DEPTH; i++) {
		uint16_t tail = kernel.deliveries->tail;

		assert_int_equal(TURN(deliver((uint16_t)(i % DEPTH), tags, 1)), 0);
		assert_int_equal((uint16_t)(kernel.deliveries->tail - tail), 1);
		assert_int_equal(TURN({ RING_TARGET, 0, IO_BYTES }), 0);
		assert_int_equal(TURN({ RING_COMMIT, 0, 8 }), 0);
		kernel.nr_log = 0;
	}
	assert_int_equal(kernel.q.live, 1);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_batch_is_committed_at_once),
		cmocka_unit_test(test_with_buffers_their_addresses_go_along),
		cmocka_unit_test(test_results_wait_for_the_commit_before_them),
		cmocka_unit_test(test_a_stopped_queue_commits_what_it_has),
		cmocka_unit_test(test_a_fetch_that_ended_is_made_again),
		cmocka_unit_test(test_what_the_driver_refuses_ends_the_worker),
		cmocka_unit_test(test_deliveries_go_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
