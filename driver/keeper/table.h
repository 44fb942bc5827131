/* SPDX-License-Identifier: Apache-2.0 */
/* What the keeper holds: descriptors, each by the generation of its device. */
#pragma once

#include "driver/wire/keep.h"

struct table {
	unsigned int nr; /* entries in use, the first ones */
	uint64_t generations[KEEP_ENTRIES_MAX];
	int fds[KEEP_ENTRIES_MAX];
};

/*
 * Takes fd. *ret_old, the caller's, is what it had under this name, or -1.
 * -ENOSPC: it is full, and fd is still the caller's.
 */
int table_put(struct table *t, uint64_t generation, int fd, int *ret_old);

/* Names of entries, without the first ones; how many there were, at most max. */
unsigned int table_names(const struct table *t, uint64_t first, uint64_t *names, unsigned int max);

/* The descriptor, which stays the table's; or -ENOENT. */
int table_get(const struct table *t, uint64_t generation);

/* The descriptor, the caller's from now on; or -ENOENT. */
int table_take(struct table *t, uint64_t generation);
