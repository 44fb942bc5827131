/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cgroups workers live in, one each, below one per container:
 *
 *   BASE/workers/<container's generation>/<device>
 *
 * BASE is the helper's own cgroup when systemd delegated it, else
 * /sys/fs/cgroup/ublk-oci. Never inside the container: its freezer or memory
 * limit would stop the disk it waits for.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "driver/base/err.h"

#define CGROUP_PATH_SIZE 256

/* Finds BASE and makes BASE/workers. */
int cgroup_base(char base[CGROUP_PATH_SIZE], struct err *e);

/* Writes the path a worker's cgroup has; place names the container (0: the host). */
int cgroup_worker_path(char path[CGROUP_PATH_SIZE], const char *base, uint64_t place,
		       uint32_t dev_id, uint64_t generation, struct err *e);

/* Makes it; *ret_fd is its directory, for CLONE_INTO_CGROUP. */
int cgroup_make(const char *path, int *ret_fd, struct err *e);

/*
 * Kills whatever is in it and removes it, and its parent when that is empty
 * then. Not there is fine. -ETIMEDOUT when a process does not go.
 */
int cgroup_remove(const char *path, int timeout_ms, struct err *e);
