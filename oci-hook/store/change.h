/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes are made, grown and removed. Whoever is killed in the middle leaves the old state, or
 * the new one, and a directory that pools_sweep() removes.
 *
 * Whether it may be done is not asked here.
 */
#pragma once

#include "driver/base/err.h"
#include "oci-hook/store/copy.h"
#include "oci-hook/store/pools.h"
#include "oci-hook/store/probing.h"
#include "oci-hook/store/volume.h"

/* A volume on its way: directory ".new-NAME", locked. */
struct making {
	const struct pools *pools; /* borrowed */
	struct volume volume;
	size_t pool;
	int dir_fd;
	int data_fd;
};

#define MAKING_INIT                                                                                \
	{                                                                                          \
		.dir_fd = -1, .data_fd = -1                                                        \
	}

/* Removes what was made, unless it was finished. */
void making_fini(struct making *m);
#define auto_making cleanup_with(making_fini)

/* Its name and its size are taken from here on. The pools are locked meanwhile. */
int making_begin(struct making *m, const struct pools *pools, size_t pool, const struct volume *v,
		 struct err *e);

/* The image of one that a back end is to have. It may take long: the pools are not locked. */
int making_create(struct making *m, struct err *e);

/* The first bytes of from_fd, as copy_data() takes it; else it is all zeroes. */
int making_fill(struct making *m, int from_fd, uint64_t bytes, const struct copy_watch *watch,
		struct err *e);

/*
 * The same of what is written meanwhile: all of it as it was at one moment, with all writes that
 * were done before. -EOPNOTSUPP: the filesystem cannot.
 */
int making_share(struct making *m, int from_fd, uint64_t bytes, struct err *e);

/*
 * The file system its record names, in a volume in which nothing was written since it was made:
 * there is nothing that it could overwrite.
 */
int making_format(struct making *m, const struct probing *p, struct err *e);

/* What is in it goes on record: it was made of what somebody else wrote. */
int making_look(struct making *m, const struct probing *p, struct err *e);

/* All of it is on the disk, and then there is a volume of its name. */
int making_finish(struct making *m, struct err *e);

/*
 * On record as what a back end will be asked for: it counts from here on. The pools are locked
 * meanwhile.
 */
int change_reserve(struct place *place, uint64_t size_bytes, struct err *e);

/*
 * Data first, then the record: a volume whose data is longer has the size its record says, and the
 * next growth makes it as long as it is asked, which is not below the record's. -EINVAL: something
 * is behind that. A back end may take long for it, with the pools unlocked; what was reserved is
 * over with it.
 */
int change_grow(struct place *place, uint64_t size_bytes, struct err *e);

/*
 * A file system in a volume that is there, if it is blank: on record as begun, made, on record as
 * made. One that failed is taken away again; one that was killed is on record as begun, and is
 * begun anew, as nothing was in the volume before it.
 */
int change_format(struct place *place, enum catalog_filesystem filesystem, const struct probing *p,
		  struct err *e);

/*
 * There is no volume of its name from the first step on. With wipe, zeroes are written over its
 * data then; if that is killed or stopped, or fails, pools_sweep() does it.
 */
int change_remove(const struct pools *pools, const struct place *place, bool wipe,
		  const struct copy_watch *watch, struct err *e);
