/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/worker/desc.h"

#include <errno.h>

#include "driver/base/cleanup.h"

#define SECTOR_SHIFT 9

static const enum io_op desc_ops[] = {
	[UBLK_IO_OP_READ] = IO_READ,
	[UBLK_IO_OP_WRITE] = IO_WRITE,
	[UBLK_IO_OP_FLUSH] = IO_FLUSH,
	[UBLK_IO_OP_DISCARD] = IO_DISCARD,
	[UBLK_IO_OP_WRITE_ZEROES] = IO_WRITE_ZEROES,
};

static int desc_check_range(const struct queue *q, const struct io *io)
{
	if (!io->len || (io->off | io->len) & (q->block_bytes - 1))
		return -EIO;
	if (io->len > q->target->dev_bytes || io->off > q->target->dev_bytes - io->len)
		return -EIO;
	if ((io->op == IO_READ || io->op == IO_WRITE) && io->len > q->max_io_bytes)
		return -EIO;
	return 0;
}

int io_from_desc(const struct queue *q, const struct ublksrv_io_desc *d, struct io *ret)
{
	uint32_t op = d->op_flags & 0xff;
	struct io io = { 0 };
	int r;

	if (op >= ARRAY_SIZE(desc_ops) || desc_ops[op] == IO_NONE)
		return -EOPNOTSUPP;
	io.op = desc_ops[op];
	if (q->target->read_only && IO_OPS_CHANGING & 1u << io.op)
		return -EIO;
	if (!(target_io_ops(q->target) & 1u << io.op))
		return -EOPNOTSUPP;
	io.fua = io.op == IO_WRITE && d->op_flags & UBLK_IO_F_FUA;
	io.keep_space = io.op == IO_WRITE_ZEROES && d->op_flags & UBLK_IO_F_NOUNMAP;
	if (io.op != IO_FLUSH) {
		if (d->start_sector > UINT64_MAX >> SECTOR_SHIFT)
			return -EIO;
		io.off = d->start_sector << SECTOR_SHIFT;
		io.len = (uint64_t)d->nr_sectors << SECTOR_SHIFT;
		r = desc_check_range(q, &io);
		if (r < 0)
			return r;
	}
	*ret = io;
	return 0;
}

/*
 * The errnos the block layer tells apart. Every other becomes EIO: EAGAIN,
 * EBUSY and ENOMEM would be taken for a queue that is full and come again.
 */
static const int desc_errors[] = {
	EOPNOTSUPP, ENOSPC, ETIMEDOUT, ENOLINK, EREMOTEIO, EBADE, ENODATA, EILSEQ,
};

int io_result(const struct io *io, int error)
{
	if (!error)
		return io->op == IO_READ || io->op == IO_WRITE ? (int)io->len : 0;
	if (error == -EDQUOT)
		return -ENOSPC;
	for (size_t i = 0; i < ARRAY_SIZE(desc_errors); i++) {
		if (error == -desc_errors[i])
			return error;
	}
	return -EIO;
}
