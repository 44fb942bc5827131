/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container as the kernel knows it: its init process pinned by pidfd and
 * start time, its mount namespace, its cgroup. ID and engine are labels.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "driver/base/err.h"
#include "driver/privileged/node.h"

#define CONTAINER_CGROUP_SIZE 512

struct container {
	/* "/a/b", as we see it; "": none of its own. Of version 1's devices, where that is used. */
	char cgroup[CONTAINER_CGROUP_SIZE];
	uid_t owner_uid; /* who made the user namespace its mount namespace belongs to, peer.h */
	pid_t pid;
	uint64_t start_ticks;
	uint64_t mount_ns_inode;
	uint64_t cgroup_inode; /* 0: it has none of its own */
	int pidfd;
	int proc_fd;
	int mount_ns_fd; /* what is checked here is what is entered later */
	int cgroup_fd;	 /* -1: it has none of its own */
	int devices_fd;	 /* of version 1's devices, where that is used; -1: likewise */
};

#define CONTAINER_INIT                                                                             \
	{                                                                                          \
		.pidfd = -1, .proc_fd = -1, .mount_ns_fd = -1, .cgroup_fd = -1, .devices_fd = -1   \
	}

void container_fini(struct container *c);
#define auto_container __attribute__((cleanup(container_fini)))

/* Looks at the process behind pidfd. Takes pidfd, whatever the outcome. */
int container_identify(struct container *c, int pidfd, struct err *e);

/*
 * Finds it again: 0, or -ESRCH when it has ended. mount_ns_fd and cgroup_fd are
 * what was seen first, or -1 when its process has left that for another place.
 */
int container_find(struct container *c, pid_t pid, uint64_t start_ticks, uint64_t mount_ns_inode,
		   uint64_t cgroup_inode, struct err *e);

/*
 * The host itself, in the way of a container that has no cgroup and no device filter: what
 * process 1 sees. Of a helper that a service manager gave a view of its own that is another
 * mount namespace than its own.
 */
int container_host(struct container *c, struct err *e);

/*
 * May this peer name it? root and hook_uid may name every container. Others only
 * one that is theirs whole: its mount namespace belongs to a user namespace of
 * theirs, its process is theirs, and so is all that is in its cgroup and below,
 * since the cgroup's device filter is what is changed.
 *
 * What is looked at is what is used later: mount_ns_fd is entered, cgroup_fd's
 * filter is changed. Where the process goes after that makes no difference.
 */
int container_check_peer(const struct container *c, uid_t peer_uid, uid_t hook_uid, struct err *e);

/* The cgroup whose device filter is its own, borrowed; -1: it has none. */
int container_filter_fd(const struct container *c);

/* The same by what is on record of it, without a look at its process: a descriptor or -errno. */
int container_open_filter(const char *cgroup, uint64_t cgroup_inode);

/* What node.h needs of it. */
struct node_place container_place(const struct container *c, int timeout_ms);
