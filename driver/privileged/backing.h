/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look at a backing file somebody passed as an fd: what it is, how large,
 * where the helper itself finds it. The caller's fd proves the caller's
 * rights; the worker gets a fresh open file of the same inode, so that flags
 * the caller can still change (O_APPEND, O_DIRECT) do not matter.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "driver/base/err.h"
#include "policy/policy.h"

#define BACKING_PATH_SIZE 4096

struct backing {
	int fd; /* the fresh one */
	bool block_device;
	bool direct; /* opened past the page cache */
	uint64_t bytes;
	uint64_t dev; /* of the file; of a block device: its own number, 0 as inode */
	uint64_t inode;
	uint32_t logical_block_bytes; /* what offsets and lengths must be multiples of */
	uint32_t physical_block_bytes;
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

/* Memory of the host as a backing file: a memfd of exactly this size. */
int backing_make_memory(struct backing *b, uint64_t bytes, struct err *e);
