/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel a worker's queue speaks to, played: each wait hands all entries to a log, and
 * takes the next row of completions.
 */
#pragma once

#include <stdint.h>

#include "driver/worker/queue.h"
#include "driver/worker/ring.h"
#include "driver/worker/stats.h"
#include "targets/target.h"

#define DEPTH 4
#define ENTRIES 32
#define IO_BYTES 4096u

/* One completion; the test writes rows of them. */
struct answer {
	enum ring_what what;
	uint16_t tag;
	int result;
	uint32_t flags;
};

/* A test is one thread, and what stands in for liburing has no argument for this. */
struct kernel_fake {
	struct io_uring_sqe log[ENTRIES]; /* of everything submitted since the last look */
	unsigned int nr_log;
	struct io_uring_cqe cqes[ENTRIES];
	unsigned int head, tail;
	struct ublksrv_io_desc descs[DEPTH];
	struct io_uring_buf_ring *deliveries;
	struct io_uring uring;
	struct target target;
	struct stats_queue counts;
	uint64_t wake_ns;
	struct queue q;
};

extern struct kernel_fake kernel;

/* A queue of DEPTH tags over target file, with its first fetches submitted. */
void begin(uint32_t flags);
void end(void);

/* What the worker submitted, in order, since the last look. */
struct io_uring_sqe *submitted(unsigned int nr);
struct ublksrv_io_cmd command_of(const struct io_uring_sqe *sqe);
struct ublk_batch_io batch_of(const struct io_uring_sqe *sqe);

/* One turn of the worker's loop. */
int turn(const struct answer *answers, unsigned int nr);

#define TURN(...)                                                                                  \
	turn((const struct answer[]){ __VA_ARGS__ },                                               \
	     sizeof((const struct answer[]){ __VA_ARGS__ }) / sizeof(struct answer))
