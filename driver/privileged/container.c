/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/container.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/process.h"

#define CONTAINER_CGROUP_ROOT "/sys/fs/cgroup"

void container_fini(struct container *c)
{
	close_fdp(&c->pidfd);
	close_fdp(&c->proc_fd);
	close_fdp(&c->mount_ns_fd);
	close_fdp(&c->cgroup_fd);
}

static int container_ended(struct err *e)
{
	return err_set(e, ESRCH, "the container's process has ended");
}

static int container_inode(int fd, uint64_t *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = st.st_ino;
	return 0;
}

/* Its mount namespace, which must not be one the host lives in. */
static int container_open_mount_ns(struct container *c, struct err *e)
{
	static const char *const ours[] = { "/proc/self/ns/mnt", "/proc/1/ns/mnt" };
	struct stat st;
	int r;

	c->mount_ns_fd = openat(c->proc_fd, "ns/mnt", O_RDONLY | O_CLOEXEC);
	if (c->mount_ns_fd < 0)
		return errno == ENOENT || errno == ESRCH
			       ? container_ended(e)
			       : err_sys(e, errno, "cannot open the container's mount namespace");
	r = container_inode(c->mount_ns_fd, &c->mount_ns_inode);
	if (r < 0)
		return err_sys(e, -r, "cannot look at the container's mount namespace");
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		if (stat(ours[i], &st) < 0)
			return err_sys(e, errno, "cannot look at %s", ours[i]);
		if (st.st_ino == c->mount_ns_inode)
			return err_set(e, EPERM,
				       "process %d is not in a container: it shares the "
				       "host's mount namespace",
				       (int)c->pid);
	}
	return 0;
}

/* The line "0::/path" of /proc/PID/cgroup names its cgroup in the v2 hierarchy. */
static int container_open_cgroup(struct container *c, struct err *e)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	auto_close int root_fd = open(CONTAINER_CGROUP_ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char text[4096], *path, *end;
	ssize_t n;
	int r;

	n = process_read(c->proc_fd, "cgroup", text, sizeof(text));
	if (n < 0)
		return n == -ESRCH ? container_ended(e)
				   : err_sys(e, (int)-n, "cannot read the container's cgroup");
	path = !strncmp(text, "0::", 3) ? text + 3 : strstr(text, "\n0::");
	if (!path || root_fd < 0)
		return err_set(e, ENOTSUP,
			       "no cgroup v2 at " CONTAINER_CGROUP_ROOT
			       ": boot with systemd.unified_cgroup_hierarchy=1");
	path = strchr(path, '/');
	if (!path)
		return err_set(e, EINVAL, "cannot read the container's cgroup");
	end = strchrnul(path, '\n');
	*end = '\0';
	if (!path[1] || !strncmp(path, "/..", 3))
		return 0; /* the root, or outside of what we see: not its own */
	c->cgroup_fd = (int)syscall(SYS_openat2, root_fd, path + 1, &how, sizeof(how));
	if (c->cgroup_fd < 0)
		return err_sys(e, errno, "cannot open the container's cgroup %s", path);
	r = container_inode(c->cgroup_fd, &c->cgroup_inode);
	return r < 0 ? err_sys(e, -r, "cannot look at the container's cgroup") : 0;
}

int container_identify(struct container *c, int pidfd, struct err *e)
{
	int r;

	c->pidfd = pidfd;
	r = process_of_pidfd(pidfd, &c->pid);
	if (r == -ESRCH)
		return container_ended(e);
	if (r < 0)
		return err_set(e, EINVAL, "the container's descriptor is not a pidfd");
	c->proc_fd = process_proc_open(c->pid);
	if (c->proc_fd < 0 || process_start_time(c->proc_fd, &c->start_ticks) < 0 ||
	    process_ended(pidfd))
		return container_ended(e);
	r = container_open_mount_ns(c, e);
	if (r < 0)
		return r;
	r = container_open_cgroup(c, e);
	if (r < 0)
		return r;
	/* All of it was read from one process only if that is still there. */
	return process_ended(pidfd) ? container_ended(e) : 0;
}

/* An init process may have moved into a cgroup below the one that was seen first. */
static void container_climb(struct container *c, uint64_t cgroup_inode)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	int above;

	while (c->cgroup_fd >= 0 && c->cgroup_inode != cgroup_inode) {
		above = (int)syscall(SYS_openat2, c->cgroup_fd, "..", &how, sizeof(how));
		close_fdp(&c->cgroup_fd);
		if (above >= 0 && container_inode(above, &c->cgroup_inode) == 0)
			c->cgroup_fd = fd_take(&above);
		close_fdp(&above);
	}
}

int container_find(struct container *c, pid_t pid, uint64_t start_ticks, uint64_t mount_ns_inode,
		   uint64_t cgroup_inode, struct err *e)
{
	c->pidfd = process_pin(pid, start_ticks);
	if (c->pidfd == -ESRCH)
		return container_ended(e);
	if (c->pidfd < 0)
		return err_sys(e, -c->pidfd, "cannot look at the container's process");
	c->pid = pid;
	c->start_ticks = start_ticks;
	c->proc_fd = process_proc_open(pid);
	if (c->proc_fd < 0)
		return c->proc_fd == -ESRCH
			       ? container_ended(e)
			       : err_sys(e, -c->proc_fd, "cannot look at the container's process");
	if (container_open_mount_ns(c, NULL) < 0 || c->mount_ns_inode != mount_ns_inode)
		close_fdp(&c->mount_ns_fd);
	if (container_open_cgroup(c, NULL) < 0)
		close_fdp(&c->cgroup_fd);
	container_climb(c, cgroup_inode);
	return process_ended(c->pidfd) ? container_ended(e) : 0;
}

int container_check_peer(const struct container *c, uid_t peer_uid, uid_t hook_uid, struct err *e)
{
	auto_close int user_ns = -1, own_user_ns = -1;
	struct stat theirs, own;
	uid_t owner;

	if (peer_uid == 0 || peer_uid == hook_uid)
		return 0;
	user_ns = ioctl(c->mount_ns_fd, NS_GET_USERNS);
	own_user_ns = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
	if (user_ns < 0 || own_user_ns < 0 || fstat(user_ns, &theirs) < 0 ||
	    fstat(own_user_ns, &own) < 0)
		return err_sys(e, errno, "cannot tell who owns the container");
	if (theirs.st_ino == own.st_ino)
		return err_set(e, EPERM, "the container belongs to root, not to uid %u", peer_uid);
	if (ioctl(user_ns, NS_GET_OWNER_UID, &owner) < 0)
		return err_sys(e, errno, "cannot tell who owns the container");
	if (owner != peer_uid)
		return err_set(e, EPERM, "the container belongs to uid %u, not to uid %u", owner,
			       peer_uid);
	return 0;
}

struct node_place container_place(const struct container *c, int timeout_ms)
{
	return (struct node_place){
		.pidfd = c->pidfd,
		.mount_ns_fd = c->mount_ns_fd,
		.proc_fd = c->proc_fd,
		.cgroup_fd = c->cgroup_fd,
		.timeout_ms = timeout_ms,
	};
}
