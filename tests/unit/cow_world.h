/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Target cow on a ring and a disk that are made up: operations are carried out in any order,
 * and what was not synced may be on the disk or not, sector by sector, when the power goes.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "targets/cow_format.h"
#include "targets/target.h"
#include "tests/fake/core_fake.h"

#define SECTOR 512u
#define TAGS 24
static_assert(CORE_FAKE_OPS >= TAGS * TARGET_PIECES_MAX, "each tag may have its pieces under way");

enum { DELTA, BASE };

struct request {
	struct io io;
	unsigned char *buffer;
	bool busy;
	int error;
};

/* A write to the delta that is not synced yet. */
struct pending;

struct world {
	struct cow_layout layout;
	struct target target, next;	    /* who serves, and who is to */
	unsigned char *base, *cache, *disk; /* the delta as it reads, and as it is for sure */
	struct pending *first, **last;	    /* in their order */
	struct request requests[TAGS];
	uint64_t random;
	unsigned int fail_of; /* of so many operations one fails; 0: none */
	unsigned int nr_syncs, nr_base_reads, nr_delta_reads;
	bool sync_failed; /* and has lost what was pending */
	void (*done)(struct request *r);
};

/* A test is one thread, and io_done() has no argument for this. */
extern struct world *world;

/* What a sector of the base has in it. */
uint64_t world_base_value(uint64_t sector);

/*
 * An empty delta over a base, both of dev_bytes, and a worker that serves them. done, which may
 * be NULL, hears of every request but the first, which is world_run()'s. The seed decides all
 * that is left to chance.
 */
void world_begin(uint64_t dev_bytes, uint32_t cluster_bytes, uint32_t flags, uint64_t seed,
		 void (*done)(struct request *r));
void world_end(void);

/*
 * A new worker looks at what there is now, while the other may go on; and takes over, when nothing
 * is under way any more. 0 or -errno.
 */
int world_prepare(bool read_only);
int world_take_over(void);

/* Both. */
int world_open(bool read_only);

/* Less than below. */
uint64_t world_draw(uint64_t below);

/* One of the operations under way is done, or fails, and the target hears of it. */
void world_step(void);

/* The same of one, which nobody hears of. */
int world_try(const struct core_fake_op *op);

/* Any of what was not synced is there. */
void world_power_cut(void);

/* Gives the target a request whose io is filled in. */
void world_submit(struct request *r);

/* One request, alone, to its end; its error. from and to may be NULL. */
int world_run(enum io_op op, uint64_t off, uint64_t len, const void *from, void *to, bool fua);
