/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look at a backing file somebody passed as an fd: what it is, how large,
 * where the helper itself finds it. The caller's fd proves the caller's
 * rights; the worker gets a fresh open file of the same inode, so that flags
 * the caller can still change (O_APPEND, O_DIRECT) do not matter.
 *
 * Its path is the one it has now through the mount it was opened by: after a
 * rename the new one, of a hard link's names the one that was opened, below a
 * bind mount of the host the one below that mount. So who may write into a
 * directory that a rule names may offer what they can open and link there.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "driver/base/err.h"
#include "policy/policy.h"

#define BACKING_PATH_SIZE 4096

struct backing {
	int fd; /* the fresh one */
	bool block_device;
	bool direct;	  /* opened past the page cache */
	bool raw_writers; /* others than root, and who is in group disk, may write what is in it */
	uid_t owner_uid;  /* of a block device: its node's */
	uint64_t bytes;
	uint64_t dev; /* of the file; of a block device: its own number, 0 as inode */
	uint64_t inode;
	uint32_t logical_block_bytes; /* what offsets and lengths must be multiples of */
	uint32_t physical_block_bytes;
	uint32_t memory_align_bytes; /* of data that goes past the page cache */
	/* Of its disk, 0 where it has none or does not say. */
	uint32_t piece_bytes;  /* it takes at once what is at most as long */
	uint32_t io_min_bytes; /* it does nothing smaller well, */
	uint32_t io_opt_bytes; /* and this best; both powers of two */
	bool rotational;
	char path[BACKING_PATH_SIZE]; /* in the helper's mount namespace */
};

#define BACKING_INIT                                                                               \
	{                                                                                          \
		.fd = -1                                                                           \
	}

void backing_fini(struct backing *b);
#define auto_backing __attribute__((cleanup(backing_fini)))

/*
 * Looks at fd (borrowed). May hang on a filesystem that does not answer: run
 * it under a deadline. Only filesystems the policy lists are touched at all.
 */
int backing_examine(struct backing *b, int fd, bool read_only, const struct policy *policy,
		    struct err *e);

/* Bytes of a regular file or a block device. */
int backing_size(int fd, uint64_t *ret_bytes, struct err *e);

/*
 * Walks to an absolute path, below root, as it is written: a link anywhere on the way is
 * -ELOOP, so whoever swaps a directory for one in the middle gains nothing.
 * Returns an fd (O_PATH) or -errno.
 */
int backing_walk(const char *root, const char *path);

/*
 * What a target without a backing file of the caller's is served from: memory of the
 * host (a memfd of exactly this size), or /dev/zero, of any size.
 */
int backing_make(struct backing *b, unsigned int target, uint64_t bytes, struct err *e);
