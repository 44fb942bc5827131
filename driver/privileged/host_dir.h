/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory of the host that a device's file system is mounted on, or a file that becomes the
 * device. A caller hands it in as a descriptor. Where it is we find out: in the mount namespace of
 * process 1, where the path that the kernel gives counts only if it leads there again, over no
 * link, by the same mount.
 *
 * Except host_dir_look(), which runs its work in a child with a deadline, all of this is for such
 * a child: the file system a directory is on may be anybody's, and not answer.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "driver/base/err.h"
#include "driver/wire/wire.h"

/* HOST_FILE: also the device that has been put on one. */
enum host_kind { HOST_DIRECTORY, HOST_FILE };

/* Which one it is, wherever it is called so. */
struct host_dir {
	uint64_t dev;
	uint64_t inode;
	uint64_t mount; /* by number, which is its own for as long as something is mounted on it */
};

struct host_place {
	struct host_dir dir;
	uint32_t owner_uid;
	char path[WIRE_PATH_SIZE]; /* as process 1 walks there; good for text_mount_path_ok() */
};

/*
 * Where is what a caller handed in? -ESTALE: it is nowhere on the host, or leads elsewhere by
 * now; -ENOTDIR, or what it is not; -EINVAL, -ENAMETOOLONG: there, but called in a way that we do
 * not write down.
 */
int host_dir_look(struct host_place *ret, enum host_kind kind, int fd, int mount_ns_fd,
		  int timeout_ms, struct err *e);

/* Enters the host's mount namespace, with no way back. *ret_root_fd is its root. */
int host_dir_enter(int mount_ns_fd, int *ret_root_fd, struct err *e);

/*
 * The directory, or the file, at path, relative to root_fd: an O_PATH descriptor. -ESTALE: that is
 * not what is in want. -EPERM: host_dir_check_owner() says no. -ENOTEMPTY: the file is no regular
 * one, or has something in it; in directories nobody looks.
 */
int host_dir_open(int root_fd, enum host_kind kind, const char *path, const struct host_dir *want,
		  uid_t uid, struct err *e);

/*
 * May who is uid have something mounted on what belongs to owner_uid? root may anywhere, others
 * on what is theirs or root's.
 */
int host_dir_check_owner(const char *path, uid_t owner_uid, uid_t uid, struct err *e);
