/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One hardware queue: depth tags. All queues of a device are served by one
 * thread on one ring, or each by a thread on a ring of its own (lane.h).
 *
 *   fetch   give the kernel tags to fill
 *   reap    take completions: new block I/O, or target operations that finished
 *   commit  hand back a result, and the tag with it
 *
 * How commands travel: one fetch-and-commit for each tag (tag.h), or one for all
 * that came together (batch.h). How data travels: through a buffer of each
 * tag, or as the kernel's own pages in a slot of the ring's buffer table.
 *
 * A tag is in exactly one place at a time. The ring has room for everything
 * that can be under way, so it is never full: queue_ring_entries().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/base/err.h"
#include "driver/base/ublk_abi.h"
#include "driver/wire/notice.h"
#include "driver/wire/start.h"
#include "targets/target.h"

struct batch;
struct io_uring;
struct io_uring_sqe;
struct stats_queue;

/* What was told of requests that failed: report.h. */
struct report {
	struct notice notice; /* the ring's while it is under way */
	struct notice_said said;
	bool under_way;
};

struct queue {
	/* Not in one cache line with another thread's. */
	_Alignas(64) struct io_uring *uring;
	struct target *target;
	const struct ublksrv_io_desc *descs; /* mapped; the kernel writes, one per tag */
	struct io *ios;			     /* one per tag */
	unsigned char *buffers;		     /* max_io_bytes per tag; NULL with START_ZERO_COPY */
	struct batch *batch;		     /* NULL without START_BATCH */
	struct io_uring_sqe *operation;	     /* what the target asked for last */
	unsigned int nr_operations;	     /* since queue_start() */
	struct stats_queue *counts;	     /* mapped, shared: stats_map() */
	uint64_t *wake_ns;		     /* of its lane; 0: the clock was not read yet */
	uint32_t flags;			     /* enum start_flag */
	uint32_t max_io_bytes;
	uint32_t block_bytes;
	uint16_t id;	/* as the driver counts */
	uint16_t index; /* among those on its ring */
	uint16_t depth;
	uint16_t slot;	   /* of tag 0 in the ring's buffer table: START_ZERO_COPY */
	uint16_t nr_alone; /* requests that could be linked */
	uint16_t live;	   /* what the kernel may still answer; none left means stopped */
	struct report report;
	bool lost;    /* io_lost() */
	bool leaving; /* START_QUIESCE: it has taken back a tag, and fills none any more */
};

/* Memory for tags and buffers, page aligned. uring and target are borrowed. */
int queue_init(struct queue *q, uint16_t id, const struct start_spec *spec, struct io_uring *uring,
	       struct target *target, struct err *e);
void queue_fini(struct queue *q);

/* Entries of a ring that serves as many queues as spec says. */
unsigned int queue_ring_entries(const struct start_spec *spec);

static inline size_t queue_buffers_size(const struct queue *q)
{
	return q->flags & START_ZERO_COPY ? 0 : (size_t)q->depth * q->max_io_bytes;
}

static inline uint16_t queue_tag(const struct queue *q, const struct io *io)
{
	return (uint16_t)(io - q->ios);
}

static inline unsigned char *queue_buffer(const struct queue *q, uint16_t tag)
{
	return q->buffers ? q->buffers + (size_t)tag * q->max_io_bytes : NULL;
}

static inline uint16_t queue_slot(const struct queue *q, uint16_t tag)
{
	return (uint16_t)(q->slot + tag);
}

/* Where the kernel is told to put the pages of a tag's request by itself. */
static inline uint16_t queue_auto_slot(const struct queue *q, uint16_t tag)
{
	return q->flags & START_BY_HAND ? UINT16_MAX : queue_slot(q, tag);
}

/* Maps the descriptors of the char device, which is borrowed. */
int queue_map(struct queue *q, int char_fd, struct err *e);

/* The driver filled a tag: check and start it. alone: nothing else came with it. */
void queue_take(struct queue *q, uint16_t tag, bool alone);

/* Ring entries that fetch every tag. */
void queue_fetch(struct queue *q);

/* Submits what is there; completions that are there at once must not be refusals. */
int queue_submit(struct io_uring *uring, struct queue *queues, unsigned int nr_queues);

/* Serves until the kernel has taken back every tag, or with START_QUIESCE those that were idle
 * while the others' requests are finished: 0, or -errno when that cannot go on. */
int queue_run(struct io_uring *uring, struct queue *queues, unsigned int nr_queues);
