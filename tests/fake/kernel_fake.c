/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/kernel_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "targets/registry.h"

struct kernel_fake kernel;

struct io_uring_sqe *ring_sqe(struct io_uring *u, enum ring_file file, uint64_t user_data)
{
	struct io_uring_sqe *sqe = &kernel.log[kernel.nr_log++];

	assert_true(kernel.nr_log <= ENTRIES);
	memset(sqe, 0, sizeof(*sqe));
	sqe->fd = (int)file;
	sqe->user_data = user_data;
	return sqe;
}

int io_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *reg,
			       unsigned int flags)
{
	kernel.deliveries = (void *)(uintptr_t)reg->ring_addr;
	return 0;
}

int io_uring_submit(struct io_uring *ring)
{
	return 0;
}

int io_uring_submit_and_wait(struct io_uring *ring, unsigned int wait_nr)
{
	return 0;
}

struct io_uring_sqe *submitted(unsigned int nr)
{
	unsigned int n = kernel.nr_log;

	assert_int_equal(n, nr);
	kernel.nr_log = 0;
	return kernel.log;
}

struct ublksrv_io_cmd command_of(const struct io_uring_sqe *sqe)
{
	struct ublksrv_io_cmd cmd;

	memcpy(&cmd, sqe->cmd, sizeof(cmd));
	return cmd;
}

struct ublk_batch_io batch_of(const struct io_uring_sqe *sqe)
{
	struct ublk_batch_io cmd;

	memcpy(&cmd, sqe->cmd, sizeof(cmd));
	return cmd;
}

int turn(const struct answer *answers, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		struct io_uring_cqe *cqe = &kernel.cqes[kernel.tail++ % ENTRIES];

		cqe->user_data = ring_user_data(answers[i].what, 0, answers[i].tag);
		cqe->res = answers[i].result;
		cqe->flags = answers[i].flags;
	}
	return queue_submit(&kernel.uring, &kernel.q, 1);
}

void begin(uint32_t flags)
{
	static unsigned int mask = ENTRIES - 1;
	const struct start_spec spec = { .depth = DEPTH,
					 .nr_queues = 1,
					 .flags = flags,
					 .max_io_bytes = IO_BYTES,
					 .logical_block_bytes = 512,
					 .piece_bytes = IO_BYTES };
	struct io_uring *u = &kernel.uring;

	memset(&kernel, 0, sizeof(kernel));
	kernel.target = (struct target){ .ops = &target_file,
					 .dev_bytes = 1 << 20,
					 .piece_bytes = IO_BYTES,
					 .first_file = RING_FILE_BACKING,
					 .zero_copy = flags & START_ZERO_COPY };
	for (unsigned int i = 0; i < DEPTH; i++)
		kernel.descs[i] =
			(struct ublksrv_io_desc){ UBLK_IO_OP_READ, IO_BYTES >> 9, i * 8, 0 };
	u->cq.khead = &kernel.head;
	u->cq.ktail = &kernel.tail;
	u->cq.kring_mask = &mask;
	u->cq.ring_mask = mask;
	u->cq.cqes = kernel.cqes;
	assert_int_equal(queue_init(&kernel.q, 0, &spec, u, &kernel.target, NULL), 0);
	kernel.q.descs = kernel.descs;
	kernel.q.counts = &kernel.counts;
	kernel.q.wake_ns = &kernel.wake_ns;
	kernel.q.nr_alone = 1;		  /* the first is a sample */
	kernel.q.report.under_way = true; /* nobody is told of failures */
	queue_fetch(&kernel.q);
}

void end(void)
{
	queue_fini(&kernel.q);
}
