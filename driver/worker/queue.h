/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One hardware queue: depth tags, each with a buffer. All queues of a device
 * are served by one thread on one ring.
 *
 *   fetch   give the kernel a tag to fill
 *   reap    take completions: new block I/O, or target operations that finished
 *   commit  hand back a result and fetch again, in one command
 *
 * A tag is in exactly one place at a time, and has at most one entry in the
 * ring; so a ring with an entry for every tag, and one for the channel, is
 * never full.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "driver/base/err.h"
#include "driver/base/ublk_abi.h"
#include "driver/wire/start.h"
#include "targets/target.h"

struct io_uring;

struct queue {
	struct io_uring *uring;
	struct target *target;
	const struct ublksrv_io_desc *descs; /* mapped; the kernel writes, one per tag */
	struct io *ios;			     /* one per tag */
	unsigned char *buffers;		     /* max_io_bytes per tag; registered as buffer id */
	uint32_t max_io_bytes;
	uint32_t block_bytes;
	uint16_t id;
	uint16_t depth;
	uint16_t live; /* tags the kernel has not taken back for good; none left means stopped */
};

/* Memory for tags and buffers, page aligned. uring and target are borrowed. */
int queue_init(struct queue *q, uint16_t id, const struct start_spec *spec, struct io_uring *uring,
	       struct target *target, struct err *e);
void queue_fini(struct queue *q);

static inline size_t queue_buffers_size(const struct queue *q)
{
	return (size_t)q->depth * q->max_io_bytes;
}

/* Maps the descriptors of the char device, which is borrowed. */
int queue_map(struct queue *q, int char_fd, struct err *e);

/*
 * What the driver asks, checked: the one place between the kernel's descriptor
 * and every target. 0 with *ret filled (but for buf, buf_index and step), or
 * the -errno to commit.
 */
int io_from_desc(const struct queue *q, const struct ublksrv_io_desc *d, struct io *ret);

/* What to commit for an I/O that ended with error (0 or -errno): whole length or an errno. */
int io_result(const struct io *io, int error);

/* Ring entries that fetch every tag. */
void queue_fetch(struct queue *q);

/* Submits what is there; completions that are there at once must not be refusals. */
int queue_submit(struct io_uring *uring, struct queue *queues);

/* Serves until the kernel has taken back every tag: 0, or -errno when that cannot go on. */
int queue_run(struct io_uring *uring, struct queue *queues, unsigned int nr_queues);
