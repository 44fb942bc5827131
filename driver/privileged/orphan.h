/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Things that carry our mark, and whether they are anybody's. Pure: what there is comes from
 * repair_find.c, what is on record from the registry.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "driver/privileged/registry.h"
#include "driver/wire/wire.h"

/* By what it is known whose it is: a generation, or the number of a block device. */
struct orphan_key {
	enum wire_orphan_kind kind;
	uint32_t major; /* 0:0: a filter that lets nothing through */
	uint32_t minor;
	uint64_t generation;
	uint64_t cgroup_inode; /* of a filter */
};

struct orphan {
	struct orphan_key key;
	enum wire_outcome outcome;
	uint32_t dev_id;
	pid_t pid;			  /* a worker; of a place, one who sees it */
	uint64_t ns_inode;		  /* of a place: its mount namespace */
	char path[WIRE_ORPHAN_NAME_SIZE]; /* of a cgroup, a place, a file */
	char name[WIRE_ORPHAN_NAME_SIZE]; /* for people */
	char why[WIRE_ORPHAN_WHY_SIZE];
	char failure[WIRE_REASON_SIZE];
};

/* Is there a device on record that it belongs to? */
bool orphan_owned(const struct registry *reg, const struct orphan_key *key);

/* A device that somebody began to make, or to take away, and nobody goes on with. */
bool orphan_abandoned(const struct device *d);

/* Fills in what it is called and why it is nobody's. d: of an abandoned one, else NULL. */
void orphan_describe(struct orphan *o, const struct device *d);

/* The order they are removed in: out of reach first, then what serves, then what is left. */
int orphan_order(const void *a, const void *b);

/* Do the two go together, because they were made for one device? */
bool orphan_together(const struct orphan *a, const struct orphan *b);

/* Would somebody who gets the number of this device next meet that one? */
bool orphan_opens(const struct orphan *o, uint32_t major, uint32_t minor);

/*
 * What undo_run() is to take away: all that was made for the device of o, of which all[0 .. nr)
 * have a part each.
 */
struct record orphan_record(const struct orphan *o, const struct orphan *all, size_t nr);
