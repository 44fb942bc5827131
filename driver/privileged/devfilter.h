/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device filter of a container's cgroup (cgroup v2, BPF_CGROUP_DEVICE).
 *
 * Programs attached together are ANDed, so a device can only be added by
 * replacing what the runtime attached. Each program found there is replaced,
 * atomically, by one of ours that first looks up {major, minor} in a map and
 * else tail-calls the program it replaced; later devices change the map only.
 * Map, programs and program arrays are pinned in dir/<cgroup inode>/ (dir is on
 * a bpffs), so they outlive the helper. Stateless: everything is found again
 * from the cgroup's inode.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "driver/base/err.h"

/* Mounts a bpffs at /sys/fs/bpf if there is none, and makes dir below it. */
int devfilter_open(const char *dir, struct err *e);

/* Lets the cgroup open block device major:minor for reading, and writing if writable. */
int devfilter_allow(const char *dir, int cgroup_fd, uint32_t major, uint32_t minor, bool writable,
		    struct err *e);

/*
 * Takes the device out of the map; when the map is empty then, the original
 * programs are put back and the pins removed. Not there is fine.
 */
int devfilter_revoke(const char *dir, int cgroup_fd, uint32_t major, uint32_t minor, struct err *e);

/* The cgroup is gone: only the pins of it are left, and are removed. */
int devfilter_forget(const char *dir, uint64_t cgroup_inode, struct err *e);
