/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A read-only base and a private delta over it (cow_format.h). A cluster is the
 * base's until it is first written; from then on it is the delta's for good.
 * So all there is to know is one bit per cluster, which only ever gets set.
 *
 * What is the delta's is read and written there, what is the base's is read
 * there, each with one ring operation. The first change of a cluster is work:
 *
 *   copy    of the base what the change leaves of its first and last cluster
 *   data    the change itself
 *   commit  sync the data; set the bits in the file; answer
 *
 * A bit in the file is thus never true before its data is safe, whatever the
 * disk does with what was not synced. Commits are one at a time, each for all
 * that wait for one. Works on the same clusters wait for each other.
 *
 * A work has one operation under way at a time, of its own request; a commit's
 * are those of its first request. One thread serves a device.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "targets/cow_format.h"
#include "targets/target.h"

#define COW_COPIES 8 /* under way at once */
#define COW_COPY_BYTES (64u << 10)
#define COW_ALIGN 4096

enum cow_file { COW_DELTA, COW_BASE };

/* struct io's work: one more than its place in works, or a single operation on a file. */
enum { COW_ON_DELTA = UINT16_MAX - 1, COW_ON_BASE };

enum cow_stage {
	COW_FREE,
	COW_WAITS, /* for others on the same clusters, or for a copy's buffer */
	COW_COPY_READ,
	COW_COPY_WRITE,
	COW_DATA,
	COW_READY, /* for the next commit */
	COW_COMMITS,
	COW_SYNC, /* a flush, or a write that is to be safe when it is done */
	COW_READ_RUN,
	COW_WRITE_SYNC,
};

struct cow_work {
	struct cow_work *next; /* in the list it is in */
	struct queue *q;
	struct io *io;
	uint64_t first, end; /* clusters */
	uint64_t at, until;  /* bytes: of a copy, or of a read what is left */
	uint64_t seq;	     /* COW_SYNC: what it makes safe */
	uint32_t len;	     /* of the operation under way */
	enum cow_stage stage;
	bool tail; /* the copy is the one behind the change */
	bool fua;
	unsigned char *buffer; /* of its copies */
};

struct cow_list {
	struct cow_work *first;
	struct cow_work **end;
};

struct cow {
	struct cow_layout layout;
	bool syncs;
	unsigned char *map;
	struct cow_work *works;
	unsigned int nr_works;
	struct cow_list free, waiting, ready, committing;
	unsigned char *buffers[COW_COPIES];
	unsigned int nr_buffers;
	unsigned int nr_active; /* works that own clusters */
	uint64_t block;		/* the commit's, of the map */
	unsigned char *image;	/* what that block is to be */
	bool last_sync;		/* the commit's second one */
	uint64_t map_writes, map_synced;
	int failed; /* 0, or why nothing is changed any more */
};

/*
 * The request as it is, on one of the files; and the ring's answer: 1 when all is done, -errno,
 * or 0: there is more, which is under way.
 */
void cow_pass(struct target *t, struct queue *q, struct io *io, enum cow_file file);
int cow_pass_go_on(struct target *t, struct queue *q, struct io *io, enum cow_file file,
		   int result);

/* A work is over: those that waited, in their order. What they waited for may be all they need. */
void cow_wake(struct target *t);
