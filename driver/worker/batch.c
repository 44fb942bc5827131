/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/worker/batch.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "driver/worker/ring.h"

#define BATCH_TAGS 64u		  /* one delivery holds at most so many */
#define BATCH_MULTISHOT (1U << 1) /* IORING_URING_CMD_MULTISHOT, newer than some headers */

/* A result with the address of the tag's buffer; without buffers the address is left out. */
struct batch_elem {
	struct ublk_elem_header head;
	uint64_t addr;
};
static_assert(sizeof(struct batch_elem) == 16, "ublk ABI");

/*
 * Every delivery holds at least one tag, and a tag is not delivered again
 * before it was committed: with a buffer for each tag the kernel never runs out.
 */
struct batch {
	struct io_uring_buf_ring *deliveries;
	uint16_t *tags;		 /* nr_deliveries of per_delivery each */
	unsigned char *elems[2]; /* one is filled while the other is under way */
	unsigned int nr_deliveries;
	unsigned int per_delivery;
	unsigned int elem_bytes;
	uint16_t filling; /* index of elems */
	uint16_t nr;	  /* results in it */
	uint16_t nr_under_way;
};

static unsigned int batch_round_up(unsigned int n)
{
	unsigned int power = 1;

	while (power < n)
		power *= 2;
	return power;
}

static void batch_offer(struct batch *b, uint16_t delivery)
{
	io_uring_buf_ring_add(b->deliveries, b->tags + (size_t)delivery * b->per_delivery,
			      b->per_delivery * (unsigned int)sizeof(*b->tags), delivery,
			      io_uring_buf_ring_mask(b->nr_deliveries), 0);
	io_uring_buf_ring_advance(b->deliveries, 1);
}

int batch_init(struct queue *q, struct err *e)
{
	struct batch *b = q->batch = calloc(1, sizeof(*b));
	struct io_uring_buf_reg reg = { .bgid = q->id };
	int r;

	if (!b)
		return err_sys(e, ENOMEM, "no memory for a batch");
	b->nr_deliveries = batch_round_up(q->depth);
	b->per_delivery = q->depth < BATCH_TAGS ? q->depth : BATCH_TAGS;
	b->elem_bytes = q->flags & START_ZERO_COPY ? sizeof(struct ublk_elem_header)
						   : sizeof(struct batch_elem);
	b->tags = calloc((size_t)b->nr_deliveries * b->per_delivery, sizeof(*b->tags));
	for (size_t i = 0; i < ARRAY_SIZE(b->elems); i++)
		b->elems[i] = calloc(q->depth, b->elem_bytes);
	b->deliveries =
		aligned_alloc(4096,
			      num_round_up(b->nr_deliveries * sizeof(struct io_uring_buf), 4096));
	if (!b->tags || !b->elems[0] || !b->elems[1] || !b->deliveries)
		return err_sys(e, ENOMEM, "no memory for a batch of %u tags", q->depth);
	reg.ring_addr = (uintptr_t)b->deliveries;
	reg.ring_entries = b->nr_deliveries;
	r = io_uring_register_buf_ring(q->uring, &reg, 0);
	if (r < 0)
		return err_sys(e, -r, "cannot register buffers for tags");
	io_uring_buf_ring_init(b->deliveries);
	for (unsigned int i = 0; i < b->nr_deliveries; i++)
		batch_offer(b, (uint16_t)i);
	return 0;
}

void batch_fini(struct queue *q)
{
	struct batch *b = q->batch;

	if (!b)
		return;
	free(b->tags);
	for (size_t i = 0; i < ARRAY_SIZE(b->elems); i++)
		free(b->elems[i]);
	free(b->deliveries);
	free(b);
	q->batch = NULL;
}

/* --- commands -------------------------------------------------------------- */

static struct io_uring_sqe *batch_command(struct queue *q, enum ring_what what, uint32_t cmd_op,
					  const struct ublk_batch_io *cmd)
{
	struct io_uring_sqe *sqe =
		ring_sqe(q->uring, RING_FILE_CHAR, ring_user_data(what, q->index, 0));

	sqe->opcode = IORING_OP_URING_CMD;
	sqe->cmd_op = cmd_op;
	memcpy(sqe->cmd, cmd, sizeof(*cmd));
	return sqe;
}

/* Results are read by the kernel when the entry is submitted. */
static void batch_hand_over(struct queue *q, enum ring_what what, uint32_t cmd_op)
{
	struct batch *b = q->batch;
	const struct ublk_batch_io cmd = {
		.q_id = q->id,
		.flags = q->flags & START_ZERO_COPY ? UBLK_BATCH_F_AUTO_BUF_REG_FALLBACK
						    : UBLK_BATCH_F_HAS_BUF_ADDR,
		.nr_elem = b->nr,
		.elem_bytes = (uint8_t)b->elem_bytes,
	};

	batch_command(q, what, cmd_op, &cmd)->addr = (uintptr_t)b->elems[b->filling];
	b->nr_under_way = b->nr;
	b->filling ^= 1;
	b->nr = 0;
}

static void batch_arm(struct queue *q)
{
	const struct ublk_batch_io cmd = { .q_id = q->id, .elem_bytes = sizeof(uint16_t) };
	struct io_uring_sqe *sqe = batch_command(q, RING_FETCH, UBLK_U_IO_FETCH_IO_CMDS, &cmd);

	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = q->id;
	sqe->rw_flags = BATCH_MULTISHOT;
}

void batch_fetch(struct queue *q)
{
	for (uint16_t tag = 0; tag < q->depth; tag++)
		batch_commit(q, tag, 0);
	batch_hand_over(q, RING_PREPARE, UBLK_U_IO_PREP_IO_CMDS);
	batch_arm(q);
	q->live = 1;
}

void batch_commit(struct queue *q, uint16_t tag, int result)
{
	struct batch *b = q->batch;
	struct batch_elem *elem = (void *)(b->elems[b->filling] + (size_t)b->nr++ * b->elem_bytes);

	elem->head = (struct ublk_elem_header){
		.tag = tag,
		.buf_index = queue_auto_slot(q, tag),
		.result = result,
	};
	if (b->elem_bytes == sizeof(*elem))
		elem->addr = (uintptr_t)queue_buffer(q, tag);
}

void batch_flush(struct queue *q)
{
	struct batch *b = q->batch;

	if (b->nr && !b->nr_under_way)
		batch_hand_over(q, RING_COMMIT, UBLK_U_IO_COMMIT_IO_CMDS);
}

/* --- completions ------------------------------------------------------------- */

int batch_fetched(struct queue *q, const struct io_uring_cqe *cqe)
{
	struct batch *b = q->batch;
	uint16_t delivery = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
	const uint16_t *tags;
	unsigned int n;

	if (cqe->flags & IORING_CQE_F_BUFFER) {
		n = cqe->res > 0 ? (unsigned int)cqe->res / sizeof(*tags) : 0;
		if (delivery >= b->nr_deliveries || n > b->per_delivery)
			return -EPROTO;
		tags = b->tags + (size_t)delivery * b->per_delivery;
		for (unsigned int i = 0; i < n; i++) {
			if (tags[i] >= q->depth)
				return -EPROTO;
			q->live++;
			queue_take(q, tags[i], false);
		}
		batch_offer(b, delivery);
	}
	if (cqe->flags & IORING_CQE_F_MORE)
		return 0;
	if (cqe->res == UBLK_IO_RES_ABORT)
		q->live--;
	else if (cqe->res < 0 && cqe->res != -ENOBUFS)
		return cqe->res;
	else
		batch_arm(q);
	return 0;
}

int batch_prepared(struct queue *q, int result)
{
	q->batch->nr_under_way = 0;
	return result < 0 ? result : 0;
}

/* The driver takes results in order and stops at one it does not expect. */
int batch_committed(struct queue *q, int result)
{
	struct batch *b = q->batch;

	if (result != (int)(b->nr_under_way * b->elem_bytes))
		return result < 0 ? result : -EPROTO;
	q->live = (uint16_t)(q->live - b->nr_under_way);
	b->nr_under_way = 0;
	return 0;
}
