/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's ring, from creation to the point where it does nothing but what
 * the target needs. seccomp sees io_uring_enter() only, so the list of
 * permitted operations is the ring's own.
 *
 * Registered files: the char device, the channel to the helper, the socket for
 * notices, then the target's backing files. Registered buffers: one per queue; with zero copy a
 * slot for every tag instead, which the driver fills and empties.
 */
#pragma once

#include <liburing.h>

#include "driver/base/err.h"
#include "targets/target.h"

#define RING_OPS_MAX 14

enum ring_file {
	RING_FILE_CHAR,
	RING_FILE_CHANNEL,
	RING_FILE_NOTICES, /* driver/wire/notice.h */
	RING_FILE_BACKING, /* the first of them */
};

/* user_data: what in the upper half, in the lower which queue of the ring, and tag. */
enum ring_what {
	RING_BLOCK,	 /* a fetch or commit of one tag came back: queue and tag */
	RING_TARGET,	 /* the target's operation on a queue's tag */
	RING_CHANNEL,	 /* a message is written */
	RING_REGISTER,	 /* a request's pages are in the slot of its queue's tag */
	RING_UNREGISTER, /* ... and out again */
	RING_PREPARE,	 /* batch.h: every tag of a queue is the driver's */
	RING_FETCH,	 /* tags of a queue were filled */
	RING_COMMIT,	 /* results of a queue were taken */
	RING_OWN,	 /* the target's operation of no tag: which of them, in its place */
	RING_NOTICE,	 /* report.h: a queue's was sent, or nobody took it */
};

static inline uint64_t ring_user_data(enum ring_what what, uint16_t index, uint16_t tag)
{
	return (uint64_t)what << 32 | (uint32_t)index << 16 | tag;
}

/* An entry of zeroes on a registered file. The ring has one for everything that can be in flight.
 */
struct io_uring_sqe *ring_sqe(struct io_uring *u, enum ring_file file, uint64_t user_data);

/* A disabled ring with room for entries in flight. */
int ring_open(struct io_uring *u, unsigned int entries, struct err *e);

/*
 * The operations this device needs: commands to the char device, words to the
 * channel, and of its target's list what serves an operation the device has.
 * Returns how many.
 */
unsigned int ring_ops(const struct target *t, uint8_t ops[RING_OPS_MAX]);

/* Flags an entry may have besides IOSQE_FIXED_FILE, for a device with these start_flags. */
uint8_t ring_entry_flags(uint32_t start_flags);

/* From now on these operations with these flags and no others, on registered files only. */
int ring_restrict(struct io_uring *u, const uint8_t *ops, unsigned int nr_ops, uint8_t flags,
		  struct err *e);

/* Binds the ring to the calling thread. */
int ring_enable(struct io_uring *u, struct err *e);

/* A ring entry that writes one packet to the channel; bytes must stay until it is reaped. */
void ring_say(struct io_uring *u, const void *bytes, unsigned int size);
