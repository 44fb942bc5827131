/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "driver/base/cleanup.h"

struct walk_look {
	uint64_t mount;
	mode_t type;
};

/* Without asking the file system, which may be anybody's. */
static int walk_look(int fd, struct walk_look *ret)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_MNT_ID, &stx) < 0)
		return -errno;
	if (!(stx.stx_mask & STATX_MNT_ID))
		return -EOPNOTSUPP;
	*ret = (struct walk_look){ stx.stx_mnt_id, stx.stx_mode & S_IFMT };
	return 0;
}

/* The component *path begins with; *path is behind it then, and "" at the end. */
static int walk_component(const char **path, char name[NAME_MAX + 1])
{
	size_t n = strcspn(*path, "/");

	if (n > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, *path, n);
	name[n] = '\0';
	*path += n;
	if (!n || !strcmp(name, ".") || !strcmp(name, "..") || !strcmp(*path, "/"))
		return -EINVAL;
	*path += **path == '/';
	return 0;
}

/*
 * Without O_DIRECTORY, so that a link is seen to be one, and that no automount
 * is set off. The descriptor keeps the mount, so its number stays its own.
 */
static int walk_step(int dir_fd, const char *name, struct walk_look *ret)
{
	auto_close int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = walk_look(fd, ret);
	if (r < 0)
		return r;
	return ret->type == S_IFLNK ? -ELOOP : fd_take(&fd);
}

int walk_down(int dir_fd, const char *path, unsigned int rules)
{
	auto_close int fd = -1;
	struct walk_look top, at;
	char name[NAME_MAX + 1];
	int next, r;

	r = walk_look(dir_fd, &top);
	if (r < 0)
		return r;
	do {
		r = walk_component(&path, name);
		if (r < 0)
			return r;
		next = walk_step(fd < 0 ? dir_fd : fd, name, &at);
		close_fdp(&fd);
		fd = next;
		if (fd < 0)
			return fd;
		if (rules & WALK_ONE_MOUNT && at.mount != top.mount)
			return -EXDEV;
	} while (*path);
	return rules & WALK_DIRECTORY && at.type != S_IFDIR ? -ENOTDIR : fd_take(&fd);
}

int walk_up(int dir_fd)
{
	struct walk_look from, to;
	auto_close int fd = -1;
	int r;

	r = walk_look(dir_fd, &from);
	if (r < 0)
		return r;
	fd = walk_step(dir_fd, "..", &to);
	if (fd < 0)
		return fd;
	return to.mount != from.mount ? -EXDEV : fd_take(&fd);
}
