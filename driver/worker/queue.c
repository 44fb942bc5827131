/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/worker/queue.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver/base/num.h"
#include "driver/worker/batch.h"
#include "driver/worker/desc.h"
#include "driver/worker/report.h"
#include "driver/worker/ring.h"
#include "driver/worker/spec.h"
#include "driver/worker/stats.h"
#include "driver/worker/tag.h"

/* --- memory ------------------------------------------------------------- */

static int queue_init_buffers(struct queue *q, struct err *e)
{
	size_t size = queue_buffers_size(q);
	void *buffers;

	if (!size)
		return 0;
	buffers = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buffers == MAP_FAILED)
		return err_sys(e, errno, "no memory for %zu bytes of buffers", size);
	q->buffers = buffers;
	/* The ring pins them all at once; kernels without huge pages say EINVAL. */
	madvise(buffers, size, MADV_HUGEPAGE);
	return 0;
}

int queue_init(struct queue *q, uint16_t id, const struct start_spec *spec, struct io_uring *uring,
	       struct target *target, struct err *e)
{
	int r;

	*q = (struct queue){
		.uring = uring,
		.target = target,
		.flags = spec->flags,
		.max_io_bytes = spec->max_io_bytes,
		.block_bytes = spec->logical_block_bytes,
		.id = id,
		.depth = spec->depth,
		.index = id % spec_queues_per_lane(spec),
	};
	q->slot = (uint16_t)(q->index * q->depth);
	q->ios = calloc(q->depth, sizeof(*q->ios));
	if (!q->ios)
		return err_sys(e, ENOMEM, "no memory for %u tags", q->depth);
	r = queue_init_buffers(q, e);
	if (r < 0)
		return r;
	return q->flags & START_BATCH ? batch_init(q, e) : 0;
}

void queue_fini(struct queue *q)
{
	free(q->ios);
	q->ios = NULL;
	batch_fini(q);
	if (q->buffers)
		munmap(q->buffers, queue_buffers_size(q));
	q->buffers = NULL;
}

/* Operations one request of the largest size can have under way. */
static unsigned int queue_pieces(const struct start_spec *spec)
{
	unsigned int n = (spec->max_io_bytes + spec->piece_bytes - 1) / spec->piece_bytes;

	return n < TARGET_PIECES_MAX ? n : TARGET_PIECES_MAX;
}

unsigned int queue_ring_entries(const struct start_spec *spec)
{
	unsigned int nr_queues = spec_queues_per_lane(spec);
	unsigned int nr_tags = nr_queues * spec->depth;
	/* Operations or a command; taking pages out of their slot comes with a commit. */
	unsigned int per_tag = queue_pieces(spec) + !!(spec->flags & START_ZERO_COPY);
	/* A queue's notice; a commit behind the operation it waits for, and a word to the helper.
	 */
	const struct target_ops *ops = target_find(spec->target);

	return nr_tags * per_tag + nr_queues * (BATCH_ENTRIES + 1) + 2 + (ops ? ops->nr_own : 0);
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

/* --- a tag's way ----------------------------------------------------------- */

void queue_fetch(struct queue *q)
{
	if (q->batch) {
		batch_fetch(q);
		return;
	}
	for (uint16_t tag = 0; tag < q->depth; tag++)
		tag_fetch(q, tag);
	q->live = q->depth;
}

static void queue_commit(struct queue *q, uint16_t tag, int result)
{
	if (q->batch)
		batch_commit(q, tag, result);
	else
		tag_commit(q, tag, result);
}

void io_done(struct queue *q, struct io *io, int error)
{
	stats_done(q, io, error);
	if (io->held)
		tag_unregister(q, queue_tag(q, io));
	queue_commit(q, queue_tag(q, io), io_result(io, error));
	if (__builtin_expect(error, 0))
		report_failure(q, io, error);
}

struct io_uring_sqe *io_sqe(struct target *t, struct queue *q, struct io *io, unsigned int file)
{
	q->operation = ring_sqe(q->uring, (enum ring_file)(t->first_file + file),
				ring_user_data(RING_TARGET, q->index, queue_tag(q, io)));
	q->nr_operations++;
	return q->operation;
}

struct io_uring_sqe *io_own_sqe(struct target *t, struct queue *q, unsigned int which,
				unsigned int file)
{
	return ring_sqe(q->uring, (enum ring_file)(t->first_file + file),
			ring_user_data(RING_OWN, q->index, (uint16_t)which));
}

void io_lost(struct queue *q)
{
	q->lost = true;
}

/*
 * Puts the commit right behind the target's operation: the kernel goes on to it
 * by itself when all bytes were moved. If not, the commit is dropped, and the
 * operation comes back as if it had been alone.
 */
static void queue_link(struct queue *q, struct io *io)
{
	q->operation->flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
	tag_commit(q, queue_tag(q, io), io_result(io, 0));
	stats_linked(q, io);
}

static void queue_start(struct queue *q, struct io *io, bool alone)
{
	bool link = alone && q->flags & START_LINK && q->target->ops->links &&
		    (io->op == IO_READ || io->op == IO_WRITE) && !io->held && !stats_samples(q);

	if (!link)
		stats_timed(q, io);
	q->nr_operations = 0;
	q->target->ops->submit(q->target, q, io);
	if (link && q->nr_operations == 1)
		queue_link(q, io);
}

void queue_take(struct queue *q, uint16_t tag, bool alone)
{
	struct ublksrv_io_desc desc = q->descs[tag];
	struct io *io = &q->ios[tag];
	int r;

	stats_taken(q);
	r = io_from_desc(q, &desc, io);
	if (r < 0) {
		*io = (struct io){ 0 };
		io_done(q, io, r);
		return;
	}
	io->buf = queue_buffer(q, tag);
	io->buf_index = q->buffers ? q->index : queue_slot(q, tag);
	if (desc.op_flags & UBLK_IO_F_NEED_REG_BUF && q->flags & START_ZERO_COPY) {
		q->counts->by_hand++;
		stats_timed(q, io);
		tag_register(q, tag);
		return;
	}
	queue_start(q, io, alone);
}

/* --- completions ----------------------------------------------------------- */

static void queue_left(struct queue *q)
{
	q->live--;
	q->leaving = q->flags & START_QUIESCE;
}

/* 0, or -errno when the driver refused a command: that tag would never be served again. */
static int queue_handle_block(struct queue *q, uint16_t tag, int result, bool alone)
{
	if (result == UBLK_IO_RES_OK)
		queue_take(q, tag, alone);
	else if (result == UBLK_IO_RES_ABORT)
		queue_left(q);
	else if (result == -ECANCELED && q->flags & START_LINK)
		return 0; /* queue_link(): the operation before it did not do all */
	else
		return result < 0 ? result : -EPROTO;
	return 0;
}

static void queue_handle_register(struct queue *q, uint16_t tag, int result)
{
	struct io *io = &q->ios[tag];

	if (result < 0) {
		q->counts->unregistered++;
		io_done(q, io, result);
		return;
	}
	io->held = true;
	queue_start(q, io, false);
}

static int queue_handle(struct queue *queues, const struct io_uring_cqe *cqe, bool alone)
{
	enum ring_what what = (enum ring_what)(cqe->user_data >> 32);
	uint16_t tag = (uint16_t)cqe->user_data;
	struct queue *q = &queues[(uint16_t)(cqe->user_data >> 16)];

	switch (what) {
	case RING_BLOCK:
		return queue_handle_block(q, tag, cqe->res, alone);
	case RING_TARGET:
		q->target->ops->complete(q->target, q, &q->ios[tag], cqe->res);
		return 0;
	case RING_FETCH:
		return batch_fetched(q, cqe);
	case RING_COMMIT:
		return batch_committed(q, cqe->res);
	case RING_PREPARE:
		return batch_prepared(q, cqe->res);
	case RING_REGISTER:
		queue_handle_register(q, tag, cqe->res);
		return 0;
	case RING_OWN:
		q->target->ops->own(q->target, q, tag, cqe->res);
		return q->lost ? -ENOTCONN : 0;
	case RING_NOTICE:
		report_sent(q);
		return 0;
	case RING_UNREGISTER: /* the commit behind it says what became of the request */
	case RING_CHANNEL:    /* a helper that is gone does not matter */
		break;
	}
	return 0;
}

/* In one piece with all it calls that the compiler sees: a sixth less for each request. */
__attribute__((flatten)) static int queue_reap(struct io_uring *uring, struct queue *queues,
					       unsigned int nr_queues)
{
	bool alone = io_uring_cq_ready(uring) == 1;
	struct io_uring_cqe *cqe;
	unsigned int head, n = 0;
	int r = 0;

	stats_wake(queues);
	io_uring_for_each_cqe(uring, head, cqe)
	{
		r = queue_handle(queues, cqe, alone);
		if (r < 0)
			break;
		n++;
	}
	io_uring_cq_advance(uring, n);
	if (queues->target->ops->settle && r == 0)
		queues->target->ops->settle(queues->target);
	for (unsigned int i = 0; i < nr_queues && queues[i].batch; i++)
		batch_flush(&queues[i]);
	return r;
}

/*
 * Tags that are committed after the driver took back the idle ones stay armed, and nothing comes
 * by them. Of a linked request the end is not seen: the next worker is asked it again if it had
 * none.
 */
static bool queue_is_live(const struct queue *q)
{
	return q->live && (!q->leaving || stats_in_flight(q));
}

static bool queue_any_live(const struct queue *queues, unsigned int nr_queues)
{
	for (unsigned int i = 0; i < nr_queues; i++) {
		if (queue_is_live(&queues[i]))
			return true;
	}
	return false;
}

int queue_submit(struct io_uring *uring, struct queue *queues, unsigned int nr_queues)
{
	int r;

	r = io_uring_submit(uring);
	if (r < 0)
		return r;
	return queue_reap(uring, queues, nr_queues);
}

int queue_run(struct io_uring *uring, struct queue *queues, unsigned int nr_queues)
{
	int r;

	while (queue_any_live(queues, nr_queues)) {
		r = io_uring_submit_and_wait(uring, 1);
		/* Short of memory, or completions wait for room: reaping makes some. */
		if (r < 0 && r != -EINTR && r != -EAGAIN && r != -EBUSY)
			return r;
		r = queue_reap(uring, queues, nr_queues);
		if (r < 0)
			return r;
	}
	r = io_uring_submit(uring); /* the last results */
	return r < 0 ? r : 0;
}
