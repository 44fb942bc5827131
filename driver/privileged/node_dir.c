/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/node_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "driver/privileged/mountinfo.h"
#include "driver/privileged/walk.h"

static int node_host_add(struct node_host *h, size_t *room, dev_t device)
{
	dev_t *more;

	if (h->nr == *room) {
		*room = *room ? *room * 2 : 64;
		more = reallocarray(h->devices, *room, sizeof(*more));
		if (!more)
			return -ENOMEM;
		h->devices = more;
	}
	h->devices[h->nr++] = device;
	return 0;
}

int node_host_open(struct node_host *h, struct err *e)
{
	auto_mountinfo struct mountinfo m = MOUNTINFO_INIT;
	struct mountinfo_entry entry;
	size_t room = 0;
	int r;

	h->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (h->proc_fd < 0)
		return err_sys(e, errno, "cannot open /proc");
	r = mountinfo_open(&m, h->proc_fd, "self/mountinfo");
	while (!r && (r = mountinfo_next(&m, &entry)) > 0)
		r = node_host_add(h, &room, makedev(entry.major, entry.minor));
	return r < 0 ? err_sys(e, -r, "cannot read the list of mounts") : 0;
}

void node_host_close(struct node_host *h)
{
	close_fdp(&h->proc_fd);
	free(h->devices);
	h->devices = NULL;
}

/* A superblock the helper has mounted too is the host's, or shared with it. */
static bool node_host_has(const struct node_host *h, dev_t device)
{
	for (size_t i = 0; i < h->nr; i++) {
		if (h->devices[i] == device)
			return true;
	}
	return false;
}

/* Opens path, an absolute one, if a tmpfs that only the container has is mounted there. */
static int node_open_own_tmpfs(const struct node_host *h, const char *path)
{
	auto_close int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_close int fd = -1;
	struct statfs fs;
	struct stat st;

	if (root_fd < 0)
		return -errno;
	fd = walk_down(root_fd, path + 1, WALK_DIRECTORY);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return -errno;
	if (fs.f_type != TMPFS_MAGIC || node_host_has(h, st.st_dev))
		return -ENOTSUP;
	return fd_take(&fd);
}

static bool node_candidate(const struct node_host *h, const struct mountinfo_entry *entry)
{
	size_t n = strlen(entry->point);

	return n > 4 && !strcmp(entry->point + n - 4, "/dev") && !strcmp(entry->type, "tmpfs") &&
	       !node_host_has(h, makedev(entry->major, entry->minor));
}

static bool node_same_dir(int a_fd, int b_fd)
{
	struct stat a, b;

	return !fstat(a_fd, &a) && !fstat(b_fd, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/*
 * Before pivot_root the container's /dev is at ROOTFS/dev, and /dev the host's.
 * Read after entering: those paths and this process have the same root.
 */
static int node_find_before_pivot(const struct node_host *h, char path[PATH_MAX], struct err *e)
{
	auto_mountinfo struct mountinfo m = MOUNTINFO_INIT;
	struct mountinfo_entry entry;
	auto_close int found_fd = -1;
	int r, fd;

	r = mountinfo_open(&m, h->proc_fd, "self/mountinfo");
	while (!r && (r = mountinfo_next(&m, &entry)) > 0) {
		r = 0;
		if (!node_candidate(h, &entry))
			continue;
		fd = node_open_own_tmpfs(h, entry.point);
		if (fd < 0)
			continue;
		if (found_fd >= 0 && !node_same_dir(fd, found_fd)) {
			close(fd);
			return err_set(e, ENOTSUP,
				       "the container has more than one tmpfs mounted "
				       "on a directory called dev");
		}
		close_fdp(&found_fd);
		found_fd = fd;
		if (text_copy(path, PATH_MAX, entry.point) < 0)
			return err_set(e, ENAMETOOLONG,
				       "the path of the container's /dev is too long");
	}
	if (r < 0)
		return err_sys(e, -r, "cannot read the container's list of mounts");
	if (found_fd < 0)
		return err_set(
			e, ENOTSUP,
			"the container has no /dev of its own (a tmpfs the host does not have)");
	return fd_take(&found_fd);
}

/* Enters; the container's /dev, and its path. */
static int node_enter_dev(const struct node_host *h, int mount_ns_fd, char path[PATH_MAX],
			  struct err *e)
{
	int fd;

	if (setns(mount_ns_fd, CLONE_NEWNS) < 0)
		return err_sys(e, errno, "cannot enter the container's mount namespace");
	text_copy(path, PATH_MAX, "/dev");
	fd = node_open_own_tmpfs(h, path);
	return fd < 0 ? node_find_before_pivot(h, path, e) : fd;
}

int node_enter(const struct node_host *h, int mount_ns_fd, int *ret_dev_fd, struct err *e)
{
	char path[PATH_MAX];
	int fd = node_enter_dev(h, mount_ns_fd, path, e);

	if (fd < 0)
		return fd;
	*ret_dev_fd = fd;
	return 0;
}

int node_enter_root(const struct node_host *h, int mount_ns_fd, int *ret_root_fd, struct err *e)
{
	char path[PATH_MAX];
	auto_close int dev_fd = node_enter_dev(h, mount_ns_fd, path, e), fd = -1;

	if (dev_fd < 0)
		return dev_fd;
	fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "cannot open the container's root");
	path[strlen(path) - strlen("/dev")] = '\0';
	if (*path) {
		*ret_root_fd = walk_down(fd, path + 1, WALK_DIRECTORY);
		if (*ret_root_fd < 0)
			return err_sys(e, -*ret_root_fd, "cannot open the container's root");
		return 0;
	}
	*ret_root_fd = fd_take(&fd);
	return 0;
}

int node_dir_init(struct node_dir *d, const char *path, struct err *e)
{
	char *rest = d->text;

	d->nr = 0;
	if (text_copy(d->text, sizeof(d->text), path + strlen("/dev/")) < 0)
		return err_set(e, ENAMETOOLONG, "%.64s... is too long", path);
	while (rest) {
		if (d->nr == NODE_DEPTH_MAX)
			return err_set(e, ENAMETOOLONG, "%.64s... has more than %d components",
				       path, NODE_DEPTH_MAX);
		d->fds[d->nr] = -1;
		d->names[d->nr++] = strsep(&rest, "/");
	}
	return 0;
}

static int node_dir_step(struct node_dir *d, unsigned int i, unsigned int *ret_made, struct err *e)
{
	const unsigned int rules = WALK_DIRECTORY | WALK_ONE_MOUNT;
	int fd = walk_down(d->fds[i], d->names[i], rules);

	if (fd == -ENOENT && ret_made) {
		if (mkdirat(d->fds[i], d->names[i], 0755) < 0)
			return err_sys(e, errno, "cannot make the directory %s in the container",
				       d->names[i]);
		++*ret_made;
		fd = walk_down(d->fds[i], d->names[i], rules);
	}
	if (fd == -EXDEV)
		return err_set(e, EXDEV, "%s in the container's /dev is a file system of its own",
			       d->names[i]);
	if (fd == -ELOOP || fd == -ENOTDIR)
		return err_set(e, ENOTDIR, "%s in the container's /dev is no directory",
			       d->names[i]);
	if (fd < 0)
		return err_sys(e, -fd, "cannot enter the directory %s in the container",
			       d->names[i]);
	d->fds[i + 1] = fd;
	return 0;
}

int node_dir_walk(struct node_dir *d, int dev_fd, unsigned int *ret_made, struct err *e)
{
	int r = 0;

	d->fds[0] = fcntl(dev_fd, F_DUPFD_CLOEXEC, 0);
	if (d->fds[0] < 0)
		return err_sys(e, errno, "cannot keep the container's /dev open");
	for (unsigned int i = 0; !r && i + 1 < d->nr; i++)
		r = node_dir_step(d, i, ret_made, e);
	return r;
}

void node_dir_prune(const struct node_dir *d, unsigned int made)
{
	for (unsigned int i = d->nr - 1; made && i > 0; i--) {
		/* A walk that failed half way never came as deep as that. */
		if (d->fds[i - 1] < 0)
			continue;
		if (!unlinkat(d->fds[i - 1], d->names[i - 1], AT_REMOVEDIR))
			made--;
		else if (errno != ENOENT)
			return;
	}
}
