/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device node inside a container.
 *
 * The node is made with its final owner and mode on a tmpfs only the helper
 * mounts, cloned as a detached mount, and moved over an empty file in the
 * container's /dev by a child that entered the container's mount namespace.
 * The name on that tmpfs stays as long as the device, because a container can
 * hide its node (another mount of it, a descriptor) but cannot keep its mode:
 * node_disarm() leaves nothing that a later owner of the number could meet.
 *
 * The container's /dev is found in its mount namespace by facts, not by a
 * path somebody sent: it is the one tmpfs mounted on /dev, or, before
 * pivot_root, on a directory called dev, whose superblock the host's mount
 * namespace does not have.
 *
 * All functions enter nothing themselves: they run their work in a child with
 * a deadline.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "driver/base/err.h"

/* A container's process as the helper pinned it. */
struct node_place {
	int pidfd;	 /* the init process */
	int mount_ns_fd; /* the mount namespace that was checked; entered by this fd */
	int proc_fd;	 /* /proc/PID of it, O_PATH */
	int cgroup_fd;	 /* its cgroup directory, or -1 */
	int devices_fd;	 /* the same of version 1's devices, or -1. Neither: access is not tried */
	int timeout_ms;
};

/* What names a node in the store: one device may be in several containers, by a claim each. */
struct node_id {
	uint32_t major;
	uint32_t minor;
	uint32_t claim; /* the lower half of a claim's generation; 0: the device itself */
};

struct node_spec {
	const char *path; /* "/dev/...", already checked with text_device_path_ok() */
	struct node_id id;
	uint32_t uid; /* as the container counts */
	uint32_t gid;
	uint32_t mode; /* permission bits */
};

/* Mounts the helper's own tmpfs for nodes at dir (made if missing); done already is fine. */
int node_store_mount(const char *dir, struct err *e);

/*
 * Makes the node, of the host's ids, and clones it as a mount that is nowhere: an fd or -errno. To
 * be undone by node_disarm().
 */
int node_store_clone(const char *store_dir, const struct node_spec *spec, uid_t uid, gid_t gid,
		     struct err *e);

/*
 * Puts the node there. -EEXIST: something is at that path already;
 * -ENOTSUP: the container has no /dev of its own. *ret_made_dirs says how many
 * directories had to be made for it, for node_remove().
 */
int node_insert(const struct node_place *place, const char *store_dir, const struct node_spec *spec,
		unsigned int *ret_made_dirs, struct err *e);

/*
 * Opens the node from inside: the container's mount namespace and cgroup, and
 * so its device filter. 0; -EACCES: the filter refuses; -ETIMEDOUT: the
 * container is frozen, or the device does not answer. Read-only open, no I/O.
 */
int node_try(const struct node_place *place, const struct node_spec *spec, struct err *e);

/*
 * From now on nobody without root's rights over files opens a node of this
 * device, however it is reached. To be done before the number is free. Not
 * there is fine.
 */
int node_disarm(const char *store_dir, const struct node_id *id, struct err *e);

/* Is this the root of a mount of that node, as mountinfo says it, be the node removed or not? */
bool node_is_root(const struct node_id *id, const char *root);

/* Calls found() for each node of the store; a negative number of it ends this. */
int node_store_each(const char *store_dir, int (*found)(void *arg, const struct node_id *id),
		    void *arg, struct err *e);

/* node_disarm(), unless it is wanted by now, which is asked while no node is made: -EBUSY. */
int node_reclaim(const char *store_dir, const struct node_id *id, bool (*wanted)(void *arg),
		 void *arg, struct err *e);

/* Takes it away again, only if it is this device's; not there is fine. */
int node_remove(const struct node_place *place, const struct node_spec *spec,
		unsigned int made_dirs, struct err *e);
