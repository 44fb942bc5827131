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
 * from the cgroup's inode. cgroup_fd is the container's topmost cgroup, the one
 * the runtime attached its program to: programs of cgroups above it still apply,
 * but for those of a systemd scope that is the container's alone (crun's
 * "<unit>.scope/container"), which are treated alike.
 *
 * On cgroup v1 (devices) the kernel's own list is changed instead, see devfilter_v1.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "driver/base/err.h"

/*
 * The cgroup above, where its filter is the container's too, or -1. With systemd's
 * cgroups crun puts a container into "<unit>.scope/container", and newer ones have
 * systemd filter the scope, which is the container's alone.
 */
int devfilter_scope_open(int cgroup_fd);

/* Mounts a bpffs at /sys/fs/bpf if there is none, and makes dir below it. */
int devfilter_open(const char *dir, struct err *e);

enum devfilter_how {
	DEVFILTER_WRITE = 1 << 0, /* for writing too */
	/*
	 * Its unit allows it: programs of systemd's are left to systemd, which puts others in
	 * their place, but never in the place of ours.
	 */
	DEVFILTER_IN_UNIT = 1 << 1,
};

/*
 * Lets the cgroup open block device major:minor for reading, how: enum devfilter_how. Where
 * nothing is filtered there is nothing to do. Called again it
 * repairs: a runtime that rebuilt its program, a helper that was killed.
 */
int devfilter_allow(const char *dir, int cgroup_fd, uint32_t major, uint32_t minor,
		    unsigned int how, struct err *e);

/* What keeps a cgroup's processes from devices. */
struct devfilter_look {
	uint64_t print; /* never 0; another one: something has changed */
	bool ours;	/* all of it is */
	bool wrapped;	/* some of it is */
	bool systemds;	/* some of it is systemd's own */
};

/*
 * What is there now, without waiting for who changes it. Where print is known, only that is
 * looked for.
 */
int devfilter_look(const char *dir, int cgroup_fd, uint64_t known, struct devfilter_look *ret,
		   struct err *e);

/*
 * Takes the device out of the map; when the map is empty then, the original
 * programs are put back and the pins removed. Not there is fine.
 */
int devfilter_revoke(const char *dir, int cgroup_fd, uint32_t major, uint32_t minor, struct err *e);

/*
 * The same for a cgroup that is gone, or cannot be found: no program is put
 * back. Processes that still are in it open nothing any more, the device least.
 */
int devfilter_forget(const char *dir, uint64_t cgroup_inode, uint32_t major, uint32_t minor,
		     struct err *e);

/*
 * What the pins in dir let through: found() for each device, by the inode of the cgroup, and
 * with 0:0 where they let nothing through. It is called while no filter changes, which
 * may have to be waited for: -ETIMEDOUT. A negative number of it ends this.
 */
int devfilter_each(const char *dir, int timeout_ms,
		   int (*found)(void *arg, uint64_t cgroup_inode, uint32_t major, uint32_t minor),
		   void *arg, struct err *e);

struct devfilter_stray {
	uint64_t cgroup_inode;
	int cgroup_fd; /* -1: the cgroup is gone */
	uint32_t major;
	uint32_t minor;
	/* Is it somebody's by now? Asked while no filter changes. */
	bool (*wanted)(void *arg);
	void *arg;
};

/* devfilter_revoke() or devfilter_forget(), unless it is wanted: -EBUSY. */
int devfilter_reclaim(const char *dir, const struct devfilter_stray *stray, struct err *e);
