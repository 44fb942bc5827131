/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cgroups workers live in, one each:
 *
 *   BASE/workers/<container's mount namespace>-<device>-<generation>
 *
 *   BASE/workers/backend-<generation>: what serves such a device, where that is a program of its
 * own; with "-b", what looks at its image meanwhile
 *
 * BASE is the cgroup systemd delegated to the helper, which goes to BASE/helper
 * itself, else ublk-oci/ in the root of version 2 (hierarchy.h). Never inside the container: its
 * freezer or memory limit would stop the disk it waits for.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "driver/base/err.h"

#define CGROUP_PATH_SIZE 256

/* Finds BASE, makes BASE/workers, and prepares that memory is limited below. */
int cgroup_base(char base[CGROUP_PATH_SIZE], struct err *e);

/* Writes the path a worker's cgroup has; place names the container (0: the host). */
int cgroup_worker_path(char path[CGROUP_PATH_SIZE], const char *base, uint64_t place,
		       uint32_t dev_id, uint64_t generation, struct err *e);

/* That of a device's back end, beside its worker's: what it is called does not change. */
int cgroup_backend_path(char path[CGROUP_PATH_SIZE], const char *worker, uint64_t generation,
			struct err *e);
bool cgroup_is_backend(const char *path);

/*
 * The second one a device's worker can have: one that takes over from a worker that still serves
 * is born there, and stays until the next such time. Changes one path into the other. Of a back
 * end's it is the one of a tool.
 */
void cgroup_other(char path[CGROUP_PATH_SIZE]);

/* The number behind this word in its cgroup.events ("populated", "frozen"); 0 where it is not
 * there. */
int cgroup_event(const char *path, const char *word);

/*
 * memory.max of a worker's cgroup. May wait, when more is used already. Without
 * the memory controller it does nothing: cgroup_base() has warned.
 */
int cgroup_limit_memory(const char *path, const char *bytes);

/* What does not fit below that limit does not go to the machine's swap, which it does not limit. */
int cgroup_forbid_swap(const char *path);

/*
 * The io controller for a worker's cgroup, and so for all of them: only when a limit needs it,
 * since every I/O is counted then. -ENOENT: there is none to share.
 */
int cgroup_share_io(const char *path);

/* Makes it; *ret_fd is its directory, for CLONE_INTO_CGROUP. */
int cgroup_make(const char *path, int *ret_fd, struct err *e);

/*
 * Calls found() for each cgroup below BASE/workers that has a name of ours; number: the lower half
 * of the generation in it. dev_id: 0 of a back end's. A negative number of found() ends this.
 */
int cgroup_each_worker(const char *base,
		       int (*found)(void *arg, const char *path, uint32_t dev_id, uint32_t number),
		       void *arg, struct err *e);

/* The same for each process in a cgroup. Not there is fine. */
int cgroup_each_process(const char *path, int (*found)(void *arg, pid_t pid), void *arg,
			struct err *e);

/* The directory of the cgroup with this inode. -ENOENT: there is none. Looks at all there are. */
int cgroup_open_inode(uint64_t inode);

/* SIGKILL for whatever is in it, of any uid: who may write the cgroup needs no CAP_KILL. */
int cgroup_kill(const char *path);

/* Is what is in it kept from running, by itself or with a cgroup above it? */
bool cgroup_frozen(const char *path);

/* Kills whatever is in it and removes it. Not there is fine. -ETIMEDOUT when a process stays. */
int cgroup_remove(const char *path, int timeout_ms, struct err *e);
