/* SPDX-License-Identifier: Apache-2.0 */
#include "targets/registry.h"

#include <linux/io_uring.h>
#include <string.h>

#include "targets/transfer.h"

/* The kernel's pages are out of reach: /dev/zero, its one file, fills them. */
static const struct target_ring_op null_ring_ops[] = {
	{ IORING_OP_READ_FIXED, 1 << IO_READ, true },
	{ 0, 0 },
};

static void null_submit(struct target *t, struct queue *q, struct io *io)
{
	if (io->op == IO_READ && t->zero_copy) {
		transfer_submit(t, q, io, 0, 0);
		return;
	}
	if (io->op == IO_READ)
		memset(io->buf, 0, io->len);
	io_done(q, io, 0);
}

static void null_complete(struct target *t, struct queue *q, struct io *io, int result)
{
	transfer_complete(t, q, io, 0, result);
}

const struct target_ops target_null = {
	.name = "null",
	.nr_files = 1,
	.io_ops = 1 << IO_READ | 1 << IO_WRITE | 1 << IO_FLUSH | 1 << IO_DISCARD |
		  1 << IO_WRITE_ZEROES,
	.ring_ops = null_ring_ops,
	.links = true,
	.submit = null_submit,
	.complete = null_complete,
};
