/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside half of node.h: a child enters a container's mount namespace,
 * finds the container's own /dev there and walks to the directory of a node.
 * What is found there belongs to the container, so nothing in it is followed:
 * no links, no way out of /dev, no other file system below it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "driver/base/err.h"
#include "driver/wire/wire.h"

#define NODE_DEPTH_MAX 16

/* What is known before entering: the helper's procfs, and the superblocks it has mounted. */
struct node_host {
	int proc_fd;
	dev_t *devices;
	size_t nr;
};

#define NODE_HOST_INIT                                                                             \
	{                                                                                          \
		-1, NULL, 0                                                                        \
	}

int node_host_open(struct node_host *h, struct err *e);
void node_host_close(struct node_host *h);
#define auto_node_host __attribute__((cleanup(node_host_close)))

/*
 * Enters, with no way back. *ret_dev_fd is the container's /dev. -ENOTSUP: it
 * has none of its own.
 */
int node_enter(const struct node_host *h, int mount_ns_fd, int *ret_dev_fd, struct err *e);

/* The same, for what is not in its /dev: *ret_root_fd is the directory that /dev is in. */
int node_enter_root(const struct node_host *h, int mount_ns_fd, int *ret_root_fd, struct err *e);

/*
 * fds[i] is the directory that holds names[i]; the last name is the node's. The
 * fds are closed by the end of the process that walked.
 */
struct node_dir {
	char text[WIRE_PATH_SIZE];
	char *names[NODE_DEPTH_MAX];
	int fds[NODE_DEPTH_MAX];
	unsigned int nr;
};

/* Takes the path apart; path was checked with text_device_path_ok(). */
int node_dir_init(struct node_dir *d, const char *path, struct err *e);

static inline int node_dir_fd(const struct node_dir *d)
{
	return d->fds[d->nr - 1];
}

static inline const char *node_dir_name(const struct node_dir *d)
{
	return d->names[d->nr - 1];
}

/*
 * Walks there. With ret_made, missing directories are made and *ret_made tells
 * how many so far, also on failure; without it they are -ENOENT.
 */
int node_dir_walk(struct node_dir *d, int dev_fd, unsigned int *ret_made, struct err *e);

/* Removes that many of the deepest directories, as long as they are empty. */
void node_dir_prune(const struct node_dir *d, unsigned int made);
