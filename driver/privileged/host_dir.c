/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/host_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "driver/privileged/child.h"
#include "driver/privileged/walk.h"

static const struct {
	mode_t types[2];
	unsigned int walk; /* enum walk_rules */
	int wrong;
	const char *what;
} host_kinds[] = {
	[HOST_DIRECTORY] = { { S_IFDIR, S_IFDIR }, WALK_DIRECTORY, ENOTDIR, "directory" },
	[HOST_FILE] = { { S_IFREG, S_IFBLK }, 0, EINVAL, "regular file" },
};

struct host_dir_work {
	enum host_kind kind;
	int dir_fd;
	int mount_ns_fd;
	int proc_fd; /* ours: by another one the descriptor would not be found */
	struct host_place place;
};

/* Without asking the file system more than it told when it was walked to. */
static int host_dir_identify(enum host_kind kind, int fd, struct host_dir *ret,
			     uint32_t *ret_owner_uid)
{
	const mode_t *types = host_kinds[kind].types;
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
		  STATX_TYPE | STATX_INO | STATX_UID | STATX_MNT_ID, &stx) < 0)
		return -errno;
	if (!(stx.stx_mask & STATX_MNT_ID))
		return -EOPNOTSUPP;
	if ((stx.stx_mode & S_IFMT) != types[0] && (stx.stx_mode & S_IFMT) != types[1])
		return -host_kinds[kind].wrong;
	*ret = (struct host_dir){
		.dev = makedev(stx.stx_dev_major, stx.stx_dev_minor),
		.inode = stx.stx_ino,
		.mount = stx.stx_mnt_id,
	};
	*ret_owner_uid = stx.stx_uid;
	return 0;
}

static bool host_dir_same(const struct host_dir *a, const struct host_dir *b)
{
	return a->dev == b->dev && a->inode == b->inode && a->mount == b->mount;
}

int host_dir_check_owner(const char *path, uid_t owner_uid, uid_t uid, struct err *e)
{
	if (!uid || !owner_uid || owner_uid == uid)
		return 0;
	return err_set(e, EPERM, "%s belongs to uid %u, not to root or uid %u", path, owner_uid,
		       uid);
}

int host_dir_enter(int mount_ns_fd, int *ret_root_fd, struct err *e)
{
	if (setns(mount_ns_fd, CLONE_NEWNS) < 0)
		return err_sys(e, errno, "cannot enter the host's mount namespace");
	*ret_root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return *ret_root_fd < 0 ? err_sys(e, errno, "cannot open the host's root") : 0;
}

/* By its path, and nothing else. */
static int host_dir_walk(int root_fd, enum host_kind kind, const char *path, struct err *e)
{
	int fd = walk_down(root_fd, path + 1, host_kinds[kind].walk);

	if (fd == -ELOOP)
		return err_set(e, ELOOP, "%s leads over a symbolic link", path);
	if (fd == -ENOTDIR)
		return err_set(e, ENOTDIR, "%s is no directory", path);
	return fd < 0 ? err_sys(e, -fd, "cannot come to %s on the host", path) : fd;
}

/* What a device is put on holds nothing that would be hidden. */
static int host_dir_check_file(int fd, const char *path, struct err *e)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_SIZE, &stx) < 0)
		return err_sys(e, errno, "cannot look at %s", path);
	return S_ISREG(stx.stx_mode) && !stx.stx_size
		       ? 0
		       : err_set(e, ENOTEMPTY, "%s on the host is no empty file", path);
}

int host_dir_open(int root_fd, enum host_kind kind, const char *path, const struct host_dir *want,
		  uid_t uid, struct err *e)
{
	auto_close int fd = host_dir_walk(root_fd, kind, path, e);
	struct host_dir found;
	uint32_t owner_uid;
	int r;

	if (fd < 0)
		return fd;
	r = host_dir_identify(kind, fd, &found, &owner_uid);
	if (r < 0)
		return err_sys(e, -r, "cannot look at %s", path);
	if (!host_dir_same(&found, want))
		return err_set(e, ESTALE, "%s is another %s by now", path, host_kinds[kind].what);
	r = host_dir_check_owner(path, owner_uid, uid, e);
	if (r == 0 && kind == HOST_FILE)
		r = host_dir_check_file(fd, path, e);
	return r < 0 ? r : fd_take(&fd);
}

/* The path the kernel gives, which begins at the root of who asks. */
static int host_dir_name(struct host_dir_work *w, struct err *e)
{
	char link[32], *path = w->place.path;
	const char *why;
	ssize_t n;

	snprintf(link, sizeof(link), "self/fd/%d", w->dir_fd);
	n = readlinkat(w->proc_fd, link, path, sizeof(w->place.path));
	if (n < 0)
		return err_sys(e, errno, "cannot tell where the directory is");
	if (n == sizeof(w->place.path))
		return err_set(e, ENAMETOOLONG,
			       "the directory's path on the host is longer than %zu bytes",
			       sizeof(w->place.path) - 1);
	path[n] = '\0';
	return text_mount_path_ok(path, &why)
		       ? 0
		       : err_set(e, EINVAL, "the directory's path on the host is not one: %s", why);
}

static int host_dir_look_inside(void *arg, struct err *e)
{
	struct host_dir_work *w = arg;
	auto_close int root_fd = -1, fd = -1;
	struct host_dir given;
	uint32_t uid;
	int r;

	r = host_dir_identify(w->kind, w->dir_fd, &given, &uid);
	if (r == -host_kinds[w->kind].wrong)
		return err_set(e, host_kinds[w->kind].wrong, "what came to mount on is no %s",
			       host_kinds[w->kind].what);
	if (r < 0)
		return err_sys(e, -r, "cannot look at the directory to mount on");
	r = host_dir_enter(w->mount_ns_fd, &root_fd, e);
	if (r == 0)
		r = host_dir_name(w, e);
	if (r < 0)
		return r;
	fd = walk_down(root_fd, w->place.path + 1, host_kinds[w->kind].walk);
	if (fd < 0 || host_dir_identify(w->kind, fd, &w->place.dir, &w->place.owner_uid) < 0 ||
	    !host_dir_same(&given, &w->place.dir))
		return err_set(e, ESTALE,
			       "the %s was renamed or removed, or is not the host's: open "
			       "it in the host's mount namespace",
			       w->kind == HOST_DIRECTORY ? "directory" : "file");
	return 0;
}

int host_dir_look(struct host_place *ret, enum host_kind kind, int fd, int mount_ns_fd,
		  int timeout_ms, struct err *e)
{
	auto_close int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct host_dir_work *w;
	int r;

	if (proc_fd < 0)
		return err_sys(e, errno, "cannot open /proc");
	w = child_share(sizeof(*w));
	if (!w)
		return err_sys(e, ENOMEM, "cannot share memory with a child");
	w->kind = kind;
	w->dir_fd = fd;
	w->mount_ns_fd = mount_ns_fd;
	w->proc_fd = proc_fd;
	r = child_run(host_dir_look_inside, w, timeout_ms, e);
	*ret = w->place;
	child_unshare(w, sizeof(*w));
	return r == -ETIMEDOUT ? err_prefix(e, r, "looking at the directory to mount on") : r;
}
