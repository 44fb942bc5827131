/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/worker/queue.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "driver/worker/ring.h"

#define SECTOR_SHIFT 9

/* --- memory ------------------------------------------------------------- */

int queue_init(struct queue *q, uint16_t id, const struct start_spec *spec, struct io_uring *uring,
	       struct target *target, struct err *e)
{
	void *buffers;

	*q = (struct queue){
		.uring = uring,
		.target = target,
		.max_io_bytes = spec->max_io_bytes,
		.block_bytes = spec->logical_block_bytes,
		.id = id,
		.depth = spec->depth,
	};
	q->ios = calloc(q->depth, sizeof(*q->ios));
	if (!q->ios)
		return err_sys(e, ENOMEM, "no memory for %u tags", q->depth);
	buffers = mmap(NULL, queue_buffers_size(q), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buffers == MAP_FAILED)
		return err_sys(e, errno, "no memory for %zu bytes of buffers",
			       queue_buffers_size(q));
	q->buffers = buffers;
	/* One request touches one buffer, not 2 MiB; kernels without huge pages say EINVAL. */
	madvise(buffers, queue_buffers_size(q), MADV_NOHUGEPAGE);
	return 0;
}

void queue_fini(struct queue *q)
{
	free(q->ios);
	q->ios = NULL;
	if (q->buffers)
		munmap(q->buffers, queue_buffers_size(q));
	q->buffers = NULL;
}

int queue_map(struct queue *q, int char_fd, struct err *e)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t stride = num_round_up(UBLK_MAX_QUEUE_DEPTH * sizeof(struct ublksrv_io_desc), page);
	size_t size = num_round_up(q->depth * sizeof(struct ublksrv_io_desc), page);
	void *descs;

	descs = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, char_fd,
		     UBLKSRV_CMD_BUF_OFFSET + (off_t)(q->id * stride));
	if (descs == MAP_FAILED)
		return err_sys(e, errno, "cannot map the descriptors of queue %u", q->id);
	/* A copy in a forked process would keep the device from going away. */
	madvise(descs, size, MADV_DONTFORK);
	q->descs = descs;
	return 0;
}

/* --- descriptor in, result out ------------------------------------------- */

static const enum io_op queue_ops[] = {
	[UBLK_IO_OP_READ] = IO_READ,
	[UBLK_IO_OP_WRITE] = IO_WRITE,
	[UBLK_IO_OP_FLUSH] = IO_FLUSH,
	[UBLK_IO_OP_DISCARD] = IO_DISCARD,
	[UBLK_IO_OP_WRITE_ZEROES] = IO_WRITE_ZEROES,
};

static int io_check_range(const struct queue *q, const struct io *io)
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

	if (op >= ARRAY_SIZE(queue_ops) || queue_ops[op] == IO_NONE)
		return -EOPNOTSUPP;
	io.op = queue_ops[op];
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
		r = io_check_range(q, &io);
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
static const int io_errors[] = {
	EOPNOTSUPP, ENOSPC, ETIMEDOUT, ENOLINK, EREMOTEIO, EBADE, ENODATA, EILSEQ,
};

int io_result(const struct io *io, int error)
{
	if (!error)
		return io->op == IO_READ || io->op == IO_WRITE ? (int)io->len : 0;
	if (error == -EDQUOT)
		return -ENOSPC;
	for (size_t i = 0; i < ARRAY_SIZE(io_errors); i++) {
		if (error == -io_errors[i])
			return error;
	}
	return -EIO;
}

/* --- ring entries --------------------------------------------------------- */

static uint16_t queue_tag(const struct queue *q, const struct io *io)
{
	return (uint16_t)(io - q->ios);
}

static unsigned char *queue_buffer(const struct queue *q, uint16_t tag)
{
	return q->buffers + (size_t)tag * q->max_io_bytes;
}

static void queue_command(struct queue *q, uint16_t tag, uint32_t cmd_op, int result)
{
	struct ublksrv_io_cmd cmd = {
		.q_id = q->id,
		.tag = tag,
		.result = result,
		.addr = (uintptr_t)queue_buffer(q, tag),
	};
	struct io_uring_sqe *sqe =
		ring_sqe(q->uring, RING_FILE_CHAR, ring_user_data(RING_BLOCK, q->id, tag));

	sqe->opcode = IORING_OP_URING_CMD;
	sqe->cmd_op = cmd_op;
	memcpy(sqe->cmd, &cmd, sizeof(cmd));
}

void queue_fetch(struct queue *q)
{
	for (uint16_t tag = 0; tag < q->depth; tag++)
		queue_command(q, tag, UBLK_U_IO_FETCH_REQ, -1);
	q->live = q->depth;
}

void io_done(struct queue *q, struct io *io, int error)
{
	queue_command(q, queue_tag(q, io), UBLK_U_IO_COMMIT_AND_FETCH_REQ, io_result(io, error));
}

struct io_uring_sqe *io_sqe(struct target *t, struct queue *q, struct io *io, unsigned int file)
{
	return ring_sqe(q->uring, (enum ring_file)(t->first_file + file),
			ring_user_data(RING_TARGET, q->id, queue_tag(q, io)));
}

/* --- completions ----------------------------------------------------------- */

/* The driver filled a tag: check and start it. */
static void queue_take(struct queue *q, uint16_t tag)
{
	struct ublksrv_io_desc desc = q->descs[tag];
	struct io *io = &q->ios[tag];
	int r;

	r = io_from_desc(q, &desc, io);
	if (r < 0) {
		io_done(q, io, r);
		return;
	}
	io->buf = queue_buffer(q, tag);
	io->buf_index = q->id;
	q->target->ops->submit(q->target, q, io);
}

/* 0, or -errno when the driver refused a command: that tag would never be served again. */
static int queue_handle_block(struct queue *q, uint16_t tag, int result)
{
	if (result == UBLK_IO_RES_OK)
		queue_take(q, tag);
	else if (result == UBLK_IO_RES_ABORT)
		q->live--;
	else
		return result < 0 ? result : -EPROTO;
	return 0;
}

static int queue_handle(struct queue *queues, const struct io_uring_cqe *cqe)
{
	enum ring_what what = (enum ring_what)(cqe->user_data >> 32);
	uint16_t tag = (uint16_t)cqe->user_data;
	struct queue *q = &queues[(uint16_t)(cqe->user_data >> 16)];

	switch (what) {
	case RING_BLOCK:
		return queue_handle_block(q, tag, cqe->res);
	case RING_TARGET:
		q->target->ops->complete(q->target, q, &q->ios[tag], cqe->res);
		return 0;
	case RING_CHANNEL:
		break; /* a helper that is gone does not matter */
	}
	return 0;
}

static int queue_reap(struct io_uring *uring, struct queue *queues)
{
	struct io_uring_cqe *cqe;
	unsigned int head, n = 0;
	int r = 0;

	io_uring_for_each_cqe(uring, head, cqe)
	{
		r = queue_handle(queues, cqe);
		if (r < 0)
			break;
		n++;
	}
	io_uring_cq_advance(uring, n);
	return r;
}

static bool queue_any_live(const struct queue *queues, unsigned int nr_queues)
{
	for (unsigned int i = 0; i < nr_queues; i++) {
		if (queues[i].live)
			return true;
	}
	return false;
}

int queue_submit(struct io_uring *uring, struct queue *queues)
{
	int r;

	r = io_uring_submit(uring);
	if (r < 0)
		return r;
	return queue_reap(uring, queues);
}

int queue_run(struct io_uring *uring, struct queue *queues, unsigned int nr_queues)
{
	int r;

	while (queue_any_live(queues, nr_queues)) {
		r = io_uring_submit_and_wait(uring, 1);
		/* Short of memory, or completions wait for room: reaping makes some. */
		if (r < 0 && r != -EINTR && r != -EAGAIN && r != -EBUSY)
			return r;
		r = queue_reap(uring, queues);
		if (r < 0)
			return r;
	}
	return 0;
}
