/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device as a file of the host: a node of the helper's own, root's, 0600, mounted over an empty
 * file that a caller handed in (host_dir.h). What is there is known by its number. All of it is
 * done by a child with a deadline, in the mount namespace of process 1.
 */
#pragma once

#include <stdint.h>

#include "driver/base/err.h"
#include "driver/privileged/host_dir.h"
#include "driver/privileged/node.h"

struct host_file_spec {
	const char *path; /* checked with text_mount_path_ok() */
	struct node_id id;
	const struct host_dir *file;
	uint32_t uid; /* whose that is, if it is not root's */
};

/* -ENOTEMPTY: the file has something in it. */
int host_file_insert(const struct node_place *place, const char *store_dir,
		     const struct host_file_spec *spec, struct err *e);

/* Is it there, and nothing over it? -ENOENT: no. */
int host_file_look(const struct node_place *place, const struct host_file_spec *spec,
		   struct err *e);

/*
 * Takes it away, and the node with it, which nobody opens by any way then. Not there is fine.
 * -EBUSY: something is mounted over it; only the node is gone.
 */
int host_file_remove(const struct node_place *place, const char *store_dir,
		     const struct host_file_spec *spec, struct err *e);
