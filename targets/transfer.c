/* SPDX-License-Identifier: Apache-2.0 */
#include "targets/transfer.h"

#include <errno.h>
#include <linux/fs.h>
#include <linux/io_uring.h>

/* io->step counts the bytes that are done: the ring may move less than it was asked to. */
void transfer_submit(struct target *t, struct queue *q, struct io *io, unsigned int file)
{
	struct io_uring_sqe *sqe = io_sqe(t, q, io, file);

	sqe->opcode = io->op == IO_READ ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED;
	sqe->off = io->off + io->step;
	sqe->addr = (uintptr_t)io->buf + io->step;
	sqe->len = (uint32_t)(io->len - io->step);
	sqe->buf_index = (uint16_t)io->buf_index;
	if (io->fua)
		sqe->rw_flags = RWF_DSYNC;
}

void transfer_complete(struct target *t, struct queue *q, struct io *io, unsigned int file,
		       int result)
{
	if (result < 0) {
		io_done(q, io, result);
		return;
	}
	io->step += (unsigned int)result;
	if (io->step < io->len && result) {
		transfer_submit(t, q, io, file);
		return;
	}
	io_done(q, io, io->step == io->len ? 0 : -EIO);
}
