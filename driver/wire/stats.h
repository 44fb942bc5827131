/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The counters of one device: a file that the helper makes and never reads, that
 * the worker maps and writes, and that callers read through a descriptor of
 * their own. Who reads it must not believe a number in it: a worker wrote it.
 *
 * Each queue has one writer and no lock: every number is a word of its own that
 * only grows, and two of them are never of exactly the same moment.
 */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define STATS_MAGIC 0x74736f75u
#define STATS_VERSION 1
#define STATS_QUEUES_MAX 16

/* Rows of a queue, as enum io_op counts; discard is write-zeroes too. */
enum stats_op {
	STATS_REFUSED, /* not an operation this device has, or not inside it */
	STATS_READ,
	STATS_WRITE,
	STATS_FLUSH,
	STATS_DISCARD,
	STATS_OP_END,
};

/*
 * Latencies in steps that grow: four of 256 ns, four of 512 ns, and so on, each no
 * more than a quarter of what is in it and of the 1 us that all begin with.
 */
#define STATS_UNIT_SHIFT 8
#define STATS_BUCKETS 112 /* the last begins at 240 s, and has no end */

struct stats_ops {
	uint64_t ios;	/* that were finished, well or not */
	uint64_t bytes; /* of those that were finished well */
	uint64_t errors;
	uint64_t time_ns; /* of those that were timed */
};

struct stats_queue {
	struct stats_ops ops[STATS_OP_END];
	uint64_t taken;	       /* begun; those of the rows that are not finished are in flight */
	uint64_t by_hand;      /* zero copy: pages that the driver did not register by itself */
	uint64_t unregistered; /* ... and that could not be registered at all: -EIO */
	uint64_t lost;	       /* begun by workers that died: not in flight any more */
	uint64_t latency[2][STATS_BUCKETS]; /* of reads and writes that were timed */
};
static_assert(sizeof(struct stats_queue) == 1984, "layout of counters changed");
static_assert(sizeof(struct stats_queue) % 64 == 0, "no two queues in one cache line");

struct stats_page {
	uint32_t magic;
	uint32_t version;
	uint64_t begun_ns; /* CLOCK_MONOTONIC, when the helper made it */
	uint64_t pad[6];
	struct stats_queue queues[];
};
static_assert(sizeof(struct stats_page) == 64, "layout of counters changed");

#define STATS_SIZE_MAX stats_size(STATS_QUEUES_MAX)

static inline size_t stats_size(unsigned int nr_queues)
{
	return sizeof(struct stats_page) + nr_queues * sizeof(struct stats_queue);
}

static inline unsigned int stats_bucket(uint64_t ns)
{
	uint64_t units = (ns >> STATS_UNIT_SHIFT) + 4;
	unsigned int shift = (63 ^ (unsigned int)__builtin_clzll(units)) - 2;
	unsigned int i = shift * 4 + (unsigned int)(units >> shift) - 4;

	return i < STATS_BUCKETS ? i : STATS_BUCKETS - 1;
}

/* Where a bucket begins; STATS_BUCKETS is where the last would end. */
static inline uint64_t stats_bucket_ns(unsigned int i)
{
	return (((uint64_t)(4 + i % 4) << i / 4) - 4) << STATS_UNIT_SHIFT;
}
