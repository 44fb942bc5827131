/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/worker/lane.h"

#include "driver/worker/ring.h"

/* What READ_FIXED and WRITE_FIXED find their data in. */
static int lane_register_buffers(struct lane *l, const struct start_spec *spec, struct err *e)
{
	struct iovec buffers[START_QUEUES_MAX];
	int r;

	if (spec->flags & START_ZERO_COPY) {
		r = io_uring_register_buffers_sparse(&l->uring,
						     (unsigned int)l->nr_queues * spec->depth);
		return r < 0 ? err_sys(e, -r, "cannot register slots for buffers") : 0;
	}
	for (uint16_t i = 0; i < l->nr_queues; i++) {
		buffers[i].iov_base = l->queues[i].buffers;
		buffers[i].iov_len = queue_buffers_size(&l->queues[i]);
	}
	r = io_uring_register_buffers(&l->uring, buffers, l->nr_queues);
	return r < 0 ? err_sys(e, -r, "cannot register the buffers") : 0;
}

int lane_open(struct lane *l, struct queue *queues, uint16_t first, uint16_t nr_queues,
	      const struct start_spec *spec, struct target *target, struct err *e)
{
	int r;

	l->queues = queues;
	l->nr_queues = nr_queues;
	r = ring_open(&l->uring, queue_ring_entries(spec), e);
	if (r < 0)
		return r;
	for (uint16_t i = 0; i < nr_queues; i++) {
		r = queue_init(&queues[i], (uint16_t)(first + i), spec, &l->uring, target, e);
		if (r < 0)
			return r;
		queues[i].wake_ns = &l->wake_ns;
	}
	return lane_register_buffers(l, spec, e);
}

int lane_bind(struct lane *l, const int *files, unsigned int nr_files,
	      const struct start_spec *spec, struct err *e)
{
	uint8_t ops[RING_OPS_MAX];
	int r;

	r = io_uring_register_files(&l->uring, files, nr_files);
	if (r < 0)
		return err_sys(e, -r, "cannot register the files");
	return ring_restrict(&l->uring, ops, ring_ops(l->queues->target, ops),
			     ring_entry_flags(spec->flags), e);
}

int lane_enable(struct lane *l, struct err *e)
{
	int r;

	/* The descriptor of its own ring is looked up without a table that others could share. */
	r = io_uring_register_ring_fd(&l->uring);
	if (r < 0)
		return err_sys(e, -r, "cannot register the ring");
	return ring_enable(&l->uring, e);
}

int lane_fetch(struct lane *l)
{
	for (uint16_t i = 0; i < l->nr_queues; i++)
		queue_fetch(&l->queues[i]);
	return queue_submit(&l->uring, l->queues, l->nr_queues);
}

int lane_run(struct lane *l)
{
	return queue_run(&l->uring, l->queues, l->nr_queues);
}
