/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every message that crosses between the helper and one worker, on a SEQPACKET
 * socket pair whose one end the worker finds at START_CHANNEL_FD.
 *
 *   helper                       worker
 *   START_SPEC + backing fds ->            what to serve, and the filter to wear
 *                            <- START_PREPARED   everything that can fail is done
 *   START_SERVE + ublkcN,    ->            the char device, opened only now,
 *     counters, socket                     the file of stats.h to count in, and a
 *                                          way for notice.h
 *                            <- START_READY      sealed, every tag is fetched
 *
 * A worker that cannot go on answers START_FAILED instead and exits. The
 * helper reads START_PREPARED and START_READY for their type and size only;
 * the words of START_FAILED go to the log, printable characters only.
 */
#pragma once

#include <assert.h>
#include <stdint.h>

#define START_CHANNEL_FD 3
#define START_MAGIC 0x7774736fu
#define START_VERSION 1
#define START_FILTER_MAX 64 /* instructions of the seccomp program */
#define START_FILES_MAX 4
#define START_REASON_SIZE 160
#define START_QUEUES_MAX 16
#define START_DEPTH_MAX 256
#define START_IO_BYTES_MAX (1u << 20)
#define START_CPUS_MAX 1024

enum start_type {
	START_NONE,
	START_SPEC,
	START_PREPARED,
	START_SERVE,
	START_READY,
	START_FAILED,
	START_KEEP,    /* for the keeper: keep.h */
	START_BACKEND, /* for a back end: backend.h */
};

struct start_head {
	uint32_t magic;
	uint16_t version;
	uint16_t type; /* enum start_type */
	uint32_t size; /* of the whole packet, bytes */
	uint32_t nr_fds;
};
static_assert(sizeof(struct start_head) == 16, "start format changed");

enum start_flag {
	START_READ_ONLY = 1 << 0,
	START_DIRECT = 1 << 1,	/* the backing fd is O_DIRECT */
	START_DISCARD = 1 << 2, /* the device can free space, and no other can */
	/* How data and commands travel. */
	START_ZERO_COPY = 1 << 3, /* data in the kernel's pages: UBLK_F_AUTO_BUF_REG */
	START_BATCH = 1 << 4,	  /* UBLK_F_BATCH_IO */
	START_LINK = 1 << 5,	  /* the commit of a single request behind its operation */
	START_BY_HAND = 1 << 6,	  /* for tests: START_ZERO_COPY by its way out of a failure */
	START_THREADS = 1 << 7,	  /* a thread and a ring for each queue, not one for all */
	/* The driver can take back the idle tags alone: UBLK_F_QUIESCE. */
	START_QUIESCE = 1 << 8,
};
#define START_FLAGS_ALL                                                                            \
	(START_READ_ONLY | START_DIRECT | START_DISCARD | START_ZERO_COPY | START_BATCH |          \
	 START_LINK | START_BY_HAND | START_THREADS | START_QUIESCE)

/* Of target fault, as in wire.h. */
struct start_fault {
	uint32_t delay_us;
	uint32_t error_ppm;
	uint64_t error_off;
	uint64_t error_len;
};

/* What a server can do that target nbd talks to. */
enum start_nbd_flag {
	START_NBD_READ_ONLY = 1 << 0,
	START_NBD_FLUSH = 1 << 1,
	START_NBD_FUA = 1 << 2,
	START_NBD_TRIM = 1 << 3,
	START_NBD_ZERO = 1 << 4,
	START_NBD_MULTI = 1 << 5, /* several connections are one */
	START_NBD_ROTATIONAL = 1 << 6,
};
#define START_NBD_FLAGS_ALL                                                                        \
	(START_NBD_READ_ONLY | START_NBD_FLUSH | START_NBD_FUA | START_NBD_TRIM | START_NBD_ZERO | \
	 START_NBD_MULTI | START_NBD_ROTATIONAL)
#define START_NBD_TIMEOUT_MAX_MS 3600000u

/* Of target nbd; all zero for the others. */
struct start_nbd {
	uint32_t flags;	     /* enum start_nbd_flag */
	uint32_t timeout_ms; /* a request that is older has lost its server */
};

/*
 * A worker ends with this status when it has lost its server: it is well, and so may be the
 * next one.
 */
#define START_STATUS_LOST 3

/* fds: the target's backing files. */
struct start_spec {
	struct start_head head;
	uint32_t target; /* enum target_id */
	uint32_t flags;	 /* enum start_flag */
	uint64_t dev_bytes;
	uint16_t nr_queues;
	uint16_t depth;	       /* tags per queue */
	uint32_t max_io_bytes; /* of one request, also the size of one tag's buffer */
	uint32_t logical_block_bytes;
	uint32_t piece_bytes; /* what the backing takes at once, at most max_io_bytes */
	uint16_t nr_filter;   /* instructions, at least one */
	uint16_t pad[3];
	struct start_fault fault;
	struct start_nbd nbd;
	uint64_t
		filter[START_FILTER_MAX]; /* struct sock_filter, made by libseccomp in the helper */
	/* START_THREADS: 1 + the queue whose requests each processor makes; 0: it is not known. */
	uint8_t cpu_queue[START_CPUS_MAX];
};
static_assert(sizeof(struct start_spec) == 1624, "start format changed");

/* START_PREPARED, START_SERVE (fds: /dev/ublkcN, counters, notices), START_READY. */
struct start_step {
	struct start_head head;
};
static_assert(sizeof(struct start_step) == 16, "start format changed");

struct start_failed {
	struct start_head head;
	int32_t code; /* -errno */
	uint32_t pad;
	char reason[START_REASON_SIZE];
};
static_assert(sizeof(struct start_failed) == 184, "start format changed");
