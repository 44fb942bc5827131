/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two targets over one backing file: `file` is a regular file or a block
 * device, `memory` a memfd the helper made. What they share is everything; a
 * memory has nothing to flush.
 */
#include "targets/registry.h"

#include <errno.h>
#include <linux/falloc.h>
#include <linux/io_uring.h>
#include <unistd.h>

#include "targets/transfer.h"

/* Only those that serve an operation the device has reach its ring. */
static const struct target_ring_op file_ring_ops[] = {
	{ IORING_OP_READ_FIXED, 1 << IO_READ },
	{ IORING_OP_WRITE_FIXED, 1 << IO_WRITE },
	{ IORING_OP_FALLOCATE, IO_OPS_SPACE },
	{ IORING_OP_FSYNC, 1 << IO_FLUSH },
	{ 0, 0 },
};

/* The device must not be larger than what is behind it; works for block devices too. */
static int file_open(struct target *t, struct err *e)
{
	off_t end = lseek(t->fds[0], 0, SEEK_END);

	if (end < 0)
		return err_sys(e, errno, "cannot measure the backing file");
	if ((uint64_t)end < t->dev_bytes)
		return err_set(e, ENOSPC, "the backing file is shorter than the device");
	return 0;
}

static void file_transfer(struct target *t, struct queue *q, struct io *io)
{
	transfer_submit(t, q, io, 0, 0);
}

static void file_flush(struct target *t, struct queue *q, struct io *io)
{
	struct io_uring_sqe *sqe = io_sqe(t, q, io, 0);

	sqe->opcode = IORING_OP_FSYNC;
	sqe->fsync_flags = IORING_FSYNC_DATASYNC;
}

/*
 * Discard and write-zeroes. A hole reads as zeroes, so it serves for both; only
 * a range that must stay allocated is written as zeroes. -EOPNOTSUPP of the
 * file system goes up: the block layer then writes the zeroes itself.
 */
static void file_punch(struct target *t, struct queue *q, struct io *io)
{
	struct io_uring_sqe *sqe = io_sqe(t, q, io, 0);

	sqe->opcode = IORING_OP_FALLOCATE;
	sqe->off = io->off;
	sqe->addr = io->len;
	sqe->len = FALLOC_FL_KEEP_SIZE |
		   (io->keep_space ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE);
}

static void (*const file_start[IO_OP_END])(struct target *t, struct queue *q, struct io *io) = {
	[IO_READ] = file_transfer, [IO_WRITE] = file_transfer,	   [IO_FLUSH] = file_flush,
	[IO_DISCARD] = file_punch, [IO_WRITE_ZEROES] = file_punch,
};

static void file_submit(struct target *t, struct queue *q, struct io *io)
{
	file_start[io->op](t, q, io);
}

static void file_complete(struct target *t, struct queue *q, struct io *io, int result)
{
	if (io->op == IO_READ || io->op == IO_WRITE)
		transfer_complete(t, q, io, 0, result);
	else
		io_done(q, io, result < 0 ? result : 0);
}

const struct target_ops target_file = {
	.name = "file",
	.nr_files = 1,
	.io_ops = 1 << IO_READ | 1 << IO_WRITE | 1 << IO_FLUSH | 1 << IO_DISCARD |
		  1 << IO_WRITE_ZEROES,
	.ring_ops = file_ring_ops,
	.links = true,
	.open = file_open,
	.submit = file_submit,
	.complete = file_complete,
};

const struct target_ops target_memory = {
	.name = "memory",
	.nr_files = 1,
	.io_ops = 1 << IO_READ | 1 << IO_WRITE | 1 << IO_DISCARD | 1 << IO_WRITE_ZEROES,
	.ring_ops = file_ring_ops,
	.links = true,
	.open = file_open,
	.submit = file_submit,
	.complete = file_complete,
};
