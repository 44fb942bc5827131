/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directories volumes are in, as the policy names them. Names are unique over all of them.
 *
 * Beside "NAME" there is ".new-NAME", of one that is being made, and ".gone-X" and ".wipe-X", of
 * ones that are being removed. Each directory is locked (flock) by the process that works on it;
 * one of the latter that is not is left over, and pools_sweep() removes it. Locks end with their
 * process, so a killed one leaves none. Who has got the lock looks whether the directory still has
 * the name under which it was opened.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/base/cleanup.h"
#include "driver/base/err.h"
#include "oci-hook/store/volume.h"
#include "policy/policy.h"

#define POOLS_NEW ".new-"
#define POOLS_GONE ".gone-"
#define POOLS_WIPE ".wipe-"
#define POOLS_ENTRY_SIZE (VOLUME_NAME_SIZE + 8)
#define POOLS_LOCK_MS 10000
#define POOLS_MAX 64 /* as many as a policy can have */

struct pools {
	const struct policy *policy; /* borrowed */
	int fds[POOLS_MAX];
	size_t nr;
};

int pools_open(struct pools *ret, const struct policy *policy, struct err *e);
void pools_close(struct pools *p);
#define auto_pools cleanup_with(pools_close)

const struct policy_pool *pools_at(const struct pools *p, size_t pool);

/* -ENOENT: there is no pool of this name. "": the first one. */
int pools_find_pool(const struct pools *p, const char *name, size_t *ret, struct err *e);

/* Nobody else makes, grows or removes volumes until the unlock. */
int pools_lock(const struct pools *p, struct err *e);
void pools_unlock(const struct pools *p);

/* A volume that is there: which, where, its directory, and its lock when it was locked. */
struct place {
	struct volume volume;
	size_t pool;
	int dir_fd;
};

#define PLACE_INIT                                                                                 \
	{                                                                                          \
		.dir_fd = -1                                                                       \
	}

void place_close(struct place *p);
#define auto_place cleanup_with(place_close)

/* lock: LOCK_EX, LOCK_SH or 0. -ENOENT: there is none; -EBUSY: somebody works on it. */
int pools_find(const struct pools *p, const char *name, int lock, struct place *ret, struct err *e);

/* Each volume of all pools, whole ones only, in no order; what cannot be read is logged. */
int pools_each(const struct pools *p, int (*each)(void *arg, const struct place *place), void *arg,
	       struct err *e);

struct pools_sum {
	uint64_t pool_bytes; /* of one pool, with what is being made */
	uint64_t all_bytes;  /* of all */
	uint32_t all_volumes;
};

/* except: a name that does not count, or NULL. */
int pools_count(const struct pools *p, size_t pool, const char *except, struct pools_sum *ret,
		struct err *e);

/* -ENOSPC: with so many bytes more the pool is over what it may hold. */
int pools_check_room(const struct pools *p, size_t pool, const struct pools_sum *sum,
		     uint64_t more_bytes, struct err *e);

/* What it has left for volumes, by its own limit and by the filesystem it is on. */
int pools_room(const struct pools *p, size_t pool, const struct pools_sum *sum, uint64_t *ret,
	       struct err *e);

/* -EEXIST: a volume of this name is there, or being made. What was left of one is removed. */
int pools_check_free(const struct pools *p, const char *name, struct err *e);

/* Removes what killed processes have left; wipes what was to be wiped. Failures are logged. */
void pools_sweep(const struct pools *p);

/* The same of one pool. */
void pools_sweep_one(const struct pools *p, size_t pool);

/* Takes a volume apart, whatever of it there is: what a back end has of it first. */
int pools_remove_entry(int pool_fd, const char *entry, int dir_fd, struct err *e);
