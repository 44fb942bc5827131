/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a device's counters (driver/wire/stats.h). Its worker wrote them, and
 * may be hostile: whatever is in there becomes a number, never more.
 */
#pragma once

#include <stdint.h>

#include "driver/base/err.h"
#include "driver/wire/stats.h"

struct counters {
	uint64_t read_ns;  /* CLOCK_MONOTONIC, when they were read */
	uint64_t begun_ns; /* when the device was made; never later */
	unsigned int nr_queues;
	struct stats_queue queues[]; /* as they were then */
};

/* Zeroes, or NULL. To be freed. */
struct counters *counters_new(unsigned int nr_queues);

/* A copy of what is behind fd, now. -ENODEV: its device is gone. */
int counters_read(struct counters *c, int fd, struct err *e);

/* The same from bytes that were read at c->read_ns. */
int counters_parse(struct counters *c, const void *bytes, size_t size, struct err *e);

/* What was counted in one queue, or in all together, since before; NULL: since the beginning. */
struct stats_queue counters_queue(const struct counters *c, const struct counters *before,
				  unsigned int queue);
struct stats_queue counters_sum(const struct counters *c, const struct counters *before);

/* The time that is in. More than zero. */
double counters_seconds(const struct counters *c, const struct counters *before);

/* Requests that were taken and not finished; never more than tags. Not of a difference. */
uint64_t counters_in_flight(const struct stats_queue *q, unsigned int tags);

/* Which part of the tags was in use, on average: 0 to 1. */
double counters_fill(const struct stats_queue *q, double seconds, unsigned int tags);

/* Of how many requests the time was taken; their mean; what percent of them took at most. */
uint64_t counters_timed(const struct stats_queue *q, enum stats_op op);
double counters_mean_ns(const struct stats_queue *q, enum stats_op op);
uint64_t counters_percentile_ns(const struct stats_queue *q, enum stats_op op,
				unsigned int percent);
