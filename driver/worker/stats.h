/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting what a queue does, into the page that others read. The clock is read
 * at most once in a wake, and only when something is timed in it: what came
 * together has begun together.
 *
 * A request whose commit is linked behind its operation is not seen again: it
 * is counted when it is linked, and one of STATS_SAMPLE is not linked, but timed.
 */
#pragma once

#include "driver/base/err.h"
#include "driver/wire/stats.h"
#include "driver/worker/queue.h"

#define STATS_SAMPLE 16

static_assert((int)STATS_REFUSED == IO_NONE && (int)STATS_READ == IO_READ &&
		      (int)STATS_WRITE == IO_WRITE && (int)STATS_FLUSH == IO_FLUSH &&
		      (int)STATS_DISCARD == IO_DISCARD && IO_WRITE_ZEROES == IO_DISCARD + 1,
	      "rows are operations");

/* Maps the file for these queues, which count into it from now on. fd is borrowed. */
int stats_map(struct queue *queues, uint16_t nr_queues, int fd, struct err *e);

/* Looks at the clock, the first time in a wake. */
uint64_t stats_look(const struct queue *q);

static inline uint64_t stats_now(const struct queue *q)
{
	return __builtin_expect(*q->wake_ns != 0, true) ? *q->wake_ns : stats_look(q);
}

static inline void stats_wake(const struct queue *q)
{
	*q->wake_ns = 0;
}

static inline void stats_taken(const struct queue *q)
{
	q->counts->taken++;
}

/* It is timed from here on, unless it is already. */
static inline void stats_timed(const struct queue *q, struct io *io)
{
	if (!io->begun_ns)
		io->begun_ns = stats_now(q);
}

/* The row of an operation. */
static inline unsigned int stats_op(const struct io *io)
{
	return io->op - (io->op == IO_WRITE_ZEROES);
}

static inline struct stats_ops *stats_row(const struct queue *q, const struct io *io)
{
	return &q->counts->ops[stats_op(io)];
}

/* Requests that are not finished, but for those that are linked. */
static inline uint64_t stats_in_flight(const struct queue *q)
{
	uint64_t finished = q->counts->lost;

	for (size_t i = 0; i < STATS_OP_END; i++)
		finished += q->counts->ops[i].ios;
	return q->counts->taken - finished;
}

/* Does the next request that may be linked go without, to be timed? */
static inline bool stats_samples(struct queue *q)
{
	return q->nr_alone++ % STATS_SAMPLE == 0;
}

static inline void stats_linked(const struct queue *q, struct io *io)
{
	struct stats_ops *row = stats_row(q, io);

	row->ios++;
	row->bytes += io->len;
	io->counted = true;
}

/* Of one that failed, that was counted before it was done, or is not timed. */
void stats_odd(const struct queue *q, const struct io *io, int error);

static inline void stats_time(const struct queue *q, const struct io *io, struct stats_ops *row)
{
	uint64_t ns = stats_now(q) - io->begun_ns;

	row->time_ns += ns;
	if (io->op <= IO_WRITE)
		q->counts->latency[io->op - IO_READ][stats_bucket(ns)]++;
}

static inline void stats_done(const struct queue *q, const struct io *io, int error)
{
	struct stats_ops *row;

	if (__builtin_expect(error || io->counted || !io->begun_ns, false)) {
		stats_odd(q, io, error);
		return;
	}
	row = stats_row(q, io);
	row->ios++;
	row->bytes += io->len;
	stats_time(q, io, row);
}
