/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/worker/ring.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "driver/base/cleanup.h"
#include "driver/wire/start.h"

/* Best first. Newer versions of liburing add NO_SQARRAY themselves where it is known. */
static const unsigned int ring_flags[] = {
	IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER |
		IORING_SETUP_COOP_TASKRUN | IORING_SETUP_DEFER_TASKRUN,
	IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER |
		IORING_SETUP_COOP_TASKRUN,
	IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE,
};

int ring_open(struct io_uring *u, unsigned int entries, struct err *e)
{
	int r = -EINVAL;

	for (size_t i = 0; i < ARRAY_SIZE(ring_flags) && r == -EINVAL; i++) {
		struct io_uring_params p = { .flags = ring_flags[i], .cq_entries = entries };

		r = io_uring_queue_init_params(entries, u, &p);
	}
	if (r < 0)
		return err_sys(e, -r, "cannot make a ring of %u entries", entries);
	return 0;
}

unsigned int ring_ops(const struct target *t, uint8_t ops[RING_OPS_MAX])
{
	const struct target_ring_op *row = t->ops->ring_ops;
	unsigned int io_ops = target_io_ops(t), n = 0;

	ops[n++] = IORING_OP_URING_CMD;
	ops[n++] = IORING_OP_SEND;
	for (; row && row->io_ops; row++) {
		if (!(row->io_ops & io_ops) || (row->zero_copy_only && !t->zero_copy))
			continue;
		if (n == RING_OPS_MAX)
			__builtin_trap(); /* a target's list is a constant */
		ops[n++] = row->opcode;
	}
	return n;
}

uint8_t ring_entry_flags(uint32_t start_flags)
{
	return (start_flags & START_LINK ? IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS : 0) |
	       (start_flags & START_BATCH ? IOSQE_BUFFER_SELECT : 0);
}

int ring_restrict(struct io_uring *u, const uint8_t *ops, unsigned int nr_ops, uint8_t flags,
		  struct err *e)
{
	struct io_uring_restriction list[RING_OPS_MAX + 3] = {
		{ .opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_FIXED_FILE },
		{ .opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
		  .sqe_flags = (uint8_t)(IOSQE_FIXED_FILE | flags) },
		/*
		 * Some kernels restrict io_uring_register() only when one of its operations
		 * is in the list. This one has no effect on a ring that is enabled.
		 */
		{ .opcode = IORING_RESTRICTION_REGISTER_OP,
		  .register_op = IORING_REGISTER_ENABLE_RINGS },
	};
	unsigned int n = 3;
	int r;

	if (nr_ops > RING_OPS_MAX)
		return err_set(e, E2BIG, "too many ring operations");
	for (unsigned int i = 0; i < nr_ops; i++) {
		list[n].opcode = IORING_RESTRICTION_SQE_OP;
		list[n++].sqe_op = ops[i];
	}
	r = io_uring_register_restrictions(u, list, n);
	if (r < 0)
		return err_sys(e, -r, "cannot restrict the ring");
	return 0;
}

int ring_enable(struct io_uring *u, struct err *e)
{
	int r = io_uring_enable_rings(u);

	return r < 0 ? err_sys(e, -r, "cannot enable the ring") : 0;
}

struct io_uring_sqe *ring_sqe(struct io_uring *u, enum ring_file file, uint64_t user_data)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(u);

	if (!sqe)
		__builtin_trap();
	memset(sqe, 0, sizeof(*sqe));
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->fd = (int)file;
	sqe->user_data = user_data;
	return sqe;
}

void ring_say(struct io_uring *u, const void *bytes, unsigned int size)
{
	struct io_uring_sqe *sqe =
		ring_sqe(u, RING_FILE_CHANNEL, ring_user_data(RING_CHANNEL, 0, 0));

	/* A socket's operation: of no use on a file, so no read-only device has one that writes. */
	sqe->opcode = IORING_OP_SEND;
	sqe->addr = (uintptr_t)bytes;
	sqe->len = size;
	sqe->msg_flags = MSG_NOSIGNAL;
}
