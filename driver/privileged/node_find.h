/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of the store where containers have them: found from outside, in their mount tables. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "driver/base/err.h"

struct node_found {
	pid_t pid; /* a process of the mount namespace */
	uint64_t mount_ns_inode;
	uint32_t major;
	uint32_t minor;
	const char *point; /* as that process sees it; its owner chose the words */
};

/*
 * Calls found() for each, in all mount namespaces that have a process; a negative number of
 * it ends this. What was mounted before another tmpfs took the store's place is not found.
 */
int node_find(const char *store_dir, int (*found)(void *arg, const struct node_found *f), void *arg,
	      struct err *e);
