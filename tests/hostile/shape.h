/* SPDX-License-Identifier: Apache-2.0 */
/* What the helper looks like from outside. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SHAPE_CHILDREN_MAX 512

struct shape {
	long rss_kib;
	long nr_fds;
	size_t nr_children;
	pid_t children[SHAPE_CHILDREN_MAX];
};

void shape_look(struct shape *ret, pid_t helper);

/* When nobody is left who asks: no child but so many workers, and no connection. */
void shape_settle(struct shape *ret, pid_t helper, size_t nr_workers);

bool shape_has_child(const struct shape *s, pid_t pid);
