/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deltas of target cow as files, with the caller's own rights. What is in one was
 * written by whoever may write there: targets/cow_format.h checks all of it.
 */
#pragma once

#include <stdint.h>

#include "driver/base/err.h"
#include "targets/cow_format.h"

struct delta {
	int fd;
	struct cow_header header;
	struct cow_layout layout;
	unsigned char *map;
};

#define DELTA_INIT                                                                                 \
	{                                                                                          \
		.fd = -1                                                                           \
	}

void delta_fini(struct delta *d);
#define auto_delta __attribute__((cleanup(delta_fini)))

/*
 * Makes one at path, whole or not at all, and durably; -EEXIST if something is there.
 * dev_bytes: the base's size.
 */
int delta_create(const char *path, uint64_t dev_bytes, uint32_t cluster_bytes, uint32_t flags,
		 const char *base, struct err *e);

/* The size of a delta's clusters: a power of two from 4K to 1M. */
int delta_parse_cluster(const char *value, uint32_t *ret, struct err *e);

/* The header of an open file (borrowed). */
int delta_read_header(int fd, struct cow_header *ret, struct cow_layout *ret_layout, struct err *e);

/* Opens one to look at, with its map. */
int delta_open(struct delta *ret, const char *path, struct err *e);

/* Bytes of a regular file or block device. */
int delta_measure(int fd, uint64_t *ret_bytes, struct err *e);
