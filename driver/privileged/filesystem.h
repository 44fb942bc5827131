/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device's file system inside a container, which gets no device, or on the host: the helper
 * mounts it, detached, with options of its own choice, and a child moves the
 * mount over an empty directory in the container's mount namespace. In a
 * container with a user namespace it is an idmapped mount: what the disk calls
 * root's is the root's of that container.
 *
 * The directory is walked to without following a link. One that is not there is
 * made, with mode 0, by which it is known again as ours; what is found must be
 * empty. The host's is there, and is the one that was handed in (host_dir.h); it is
 * mounted in the mount namespace of process 1, and the host hands it on to whoever
 * follows its mounts. Ids are not mapped there.
 *
 * As in node.h, all functions run their work in a child with a deadline. To
 * mount is to wait for the device's worker, so a child may outlive its
 * deadline until the device has stopped.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "driver/base/err.h"
#include "driver/privileged/host_dir.h"
#include "driver/privileged/node.h"

struct filesystem_spec {
	unsigned int filesystem; /* enum catalog_filesystem, checked */
	const char *path;	 /* checked with text_mount_path_ok() */
	uint32_t dev_id;	 /* /dev/ublkbN, which must be major:minor */
	uint32_t major;
	uint32_t minor;
	bool read_only;			 /* the device, and so its file system */
	bool mount_read_only;		 /* this mount of it */
	bool shared;			 /* the host has it elsewhere too, and keeps that */
	const struct host_dir *host_dir; /* it is for the host, on this; NULL: for a container */
	uint32_t host_uid;		 /* whose that is, if it is not root's */
};

/*
 * Mounts it there. -ENOTEMPTY: the directory has something in it; -EBUSY: an earlier
 * device of this number is still mounted somewhere. What is shared is one file system. *ret_dev is
 * what files in it show as their device.
 */
int filesystem_insert(const struct node_place *place, const struct filesystem_spec *spec,
		      uint64_t *ret_dev, struct err *e);

/* Is it mounted there, and nothing over it? -ENOENT: no. */
int filesystem_look(const struct node_place *place, const struct filesystem_spec *spec,
		    struct err *e);

enum filesystem_way {
	FILESYSTEM_UNUSED,  /* -EBUSY while somebody uses it, or it is mounted elsewhere too */
	FILESYSTEM_SYNCED,  /* from wherever there it is; what was written is, first */
	FILESYSTEM_AT_ONCE, /* the same without the last: the device may not answer */
};

/*
 * Takes it away. Who has a file in it open keeps the superblock, and so the device, unless
 * FILESYSTEM_UNUSED went well. Not there is fine. What is shared goes from its place only.
 */
int filesystem_remove(const struct node_place *place, const struct filesystem_spec *spec,
		      enum filesystem_way way, struct err *e);

/*
 * Waits until it is mounted nowhere, and no file system on its way out writes to it any more.
 * -ETIMEDOUT: somebody keeps it.
 */
int filesystem_wait_gone(const struct filesystem_spec *spec, int timeout_ms, struct err *e);
