/* SPDX-License-Identifier: Apache-2.0 */
#include "targets/transfer.h"

#include <errno.h>
#include <linux/fs.h>
#include <linux/io_uring.h>

static void transfer_piece(struct target *t, struct queue *q, struct io *io, unsigned int file,
			   uint64_t begin, uint32_t from, uint32_t len)
{
	struct io_uring_sqe *sqe = io_sqe(t, q, io, file);

	sqe->opcode = io->op == IO_READ ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED;
	sqe->off = begin + io->off + from;
	sqe->addr = (uintptr_t)io->buf + from;
	sqe->len = len;
	sqe->buf_index = io->buf_index;
	if (io->fua)
		sqe->rw_flags = RWF_DSYNC;
}

void transfer_submit(struct target *t, struct queue *q, struct io *io, unsigned int file,
		     uint64_t begin)
{
	unsigned int most = io->one_by_one ? 1 : TARGET_PIECES_MAX;
	uint32_t from = io->step, end = (uint32_t)io->len, len;

	io->moved = 0;
	if (end - from <= t->piece_bytes) { /* as almost always */
		io->asked = end - from;
		io->pieces = 1;
		transfer_piece(t, q, io, file, begin, from, end - from);
		return;
	}
	for (io->pieces = 0; io->pieces < most && from < end; io->pieces++) {
		len = end - from < t->piece_bytes ? end - from : t->piece_bytes;
		transfer_piece(t, q, io, file, begin, from, len);
		from += len;
	}
	io->asked = from - io->step;
}

int transfer_go_on(struct target *t, struct queue *q, struct io *io, unsigned int file,
		   uint64_t begin, int result)
{
	io->moved += result > 0 ? (uint32_t)result : 0;
	if (--io->pieces)
		return 0;
	if (io->moved < io->asked && io->asked > t->piece_bytes) {
		io->one_by_one = true;
	} else if (result <= 0) {
		/* Nothing is there any more: it got shorter. Who asked for the data hears EIO. */
		return result ? result : -ENXIO;
	} else {
		io->step += io->moved;
	}
	if (io->step == io->len)
		return 1;
	transfer_submit(t, q, io, file, begin);
	return 0;
}

void transfer_complete(struct target *t, struct queue *q, struct io *io, unsigned int file,
		       int result)
{
	int r = transfer_go_on(t, q, io, file, 0, result);

	if (r)
		io_done(q, io, r < 0 ? r : 0);
}
