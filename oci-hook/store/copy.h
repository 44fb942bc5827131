/* SPDX-License-Identifier: Apache-2.0 */
/* Data from one file to another: shared where the filesystem can, else copied without its holes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "driver/base/err.h"

/* Told after each piece; not 0 ends the copy with that. */
struct copy_watch {
	int (*step)(void *arg, uint64_t done_bytes, uint64_t all_bytes);
	void *arg;
};

/*
 * The first bytes of from_fd (a regular file or a block device) into to_fd, a regular file of at
 * least that size in which nothing was written yet. Not synced.
 */
int copy_data(int from_fd, int to_fd, uint64_t bytes, const struct copy_watch *watch,
	      struct err *e);

/*
 * All of it at once, as it is at one moment: the filesystem shares it until either is written
 * (FICLONE). False where it cannot; nothing was written then.
 */
bool copy_share(int from_fd, int to_fd, uint64_t bytes);

/* Zeroes over everything that is in fd, synced. What is shared with another file stays there. */
int copy_zeroes(int fd, const struct copy_watch *watch, struct err *e);
