/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/container.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "driver/privileged/devfilter.h"
#include "driver/privileged/hierarchy.h"
#include "driver/privileged/peer.h"
#include "driver/privileged/process.h"
#include "driver/privileged/walk.h"

#define CONTAINER_CGROUP_TEXT_SIZE 4096

void container_fini(struct container *c)
{
	close_fdp(&c->pidfd);
	close_fdp(&c->proc_fd);
	close_fdp(&c->mount_ns_fd);
	close_fdp(&c->cgroup_fd);
	close_fdp(&c->devices_fd);
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

/*
 * The line "0::/path" of /proc/PID/cgroup names its cgroup in the v2 hierarchy. *ret_path, in
 * text, is that; "" for the root, or one outside of what we see: not its own.
 */
static int container_read_cgroup(const struct container *c, char *text, size_t size,
				 const char **ret_path, struct err *e)
{
	ssize_t n = process_read(c->proc_fd, "cgroup", text, size);
	const char *path;

	if (n < 0)
		return n == -ESRCH ? container_ended(e)
				   : err_sys(e, (int)-n, "cannot read the container's cgroup");
	path = process_parse_cgroup(text);
	if (!path)
		return err_set(e, ENOTSUP,
			       "there is no cgroup v2: boot with "
			       "systemd.unified_cgroup_hierarchy=1");
	*ret_path = !path[1] || !strncmp(path, "/..", 3) ? "" : path;
	return 0;
}

static int container_open_cgroup(struct container *c, const char *path, struct err *e)
{
	const char *root = *path ? hierarchy_root() : NULL;
	auto_close int root_fd = -1;
	int r;

	if (!*path)
		return 0;
	if (!root)
		return err_set(e, ENOTSUP, "cgroup v2 is not mounted at " HIERARCHY_TOP);
	root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return err_sys(e, errno, "cannot open %s", root);
	c->cgroup_fd = walk_down(root_fd, path + 1, WALK_DIRECTORY | WALK_ONE_MOUNT);
	if (c->cgroup_fd < 0)
		return err_sys(e, -c->cgroup_fd, "cannot open the container's cgroup %s", path);
	r = container_inode(c->cgroup_fd, &c->cgroup_inode);
	return r < 0 ? err_sys(e, -r, "cannot look at the container's cgroup") : 0;
}

/* Which one of version 1's filters its devices. *ret_path, in text, is "" for the root. */
static int container_open_devices(struct container *c, char *text, size_t size,
				  const char **ret_path, struct err *e)
{
	ssize_t n = process_read(c->proc_fd, "cgroup", text, size);
	const char *path;

	if (n < 0)
		return n == -ESRCH ? container_ended(e)
				   : err_sys(e, (int)-n, "cannot read the container's cgroup");
	path = hierarchy_parse_devices(text);
	*ret_path = !path || !path[1] || !strncmp(path, "/..", 3) ? "" : path;
	if (!**ret_path)
		return 0;
	c->devices_fd = hierarchy_open_devices(path);
	return c->devices_fd < 0 ? err_sys(e, -c->devices_fd,
					   "cannot open the container's devices cgroup %s", path)
				 : 0;
}

static int container_name_cgroup(struct container *c, const char *path, struct err *e)
{
	if (text_copy(c->cgroup, sizeof(c->cgroup), path) < 0)
		return err_set(e, ENAMETOOLONG,
			       "the name of the container's cgroup is longer than %d bytes",
			       CONTAINER_CGROUP_SIZE - 1);
	return 0;
}

static int container_look_cgroup(struct container *c, struct err *e)
{
	char text[CONTAINER_CGROUP_TEXT_SIZE];
	const char *path;
	int r;

	r = container_read_cgroup(c, text, sizeof(text), &path, e);
	if (r == 0)
		r = container_name_cgroup(c, path, e);
	if (r == 0)
		r = container_open_cgroup(c, path, e);
	if (r < 0 || !hierarchy_has_devices())
		return r;
	r = container_open_devices(c, text, sizeof(text), &path, e);
	return r < 0 ? r : container_name_cgroup(c, path, e);
}

static int container_look_owner(struct container *c, struct err *e)
{
	auto_close int user_ns = ioctl(c->mount_ns_fd, NS_GET_USERNS);
	int r = user_ns < 0 ? -errno : peer_of_user_ns(user_ns, &c->owner_uid);

	return r < 0 ? err_sys(e, -r, "cannot tell who owns the container") : 0;
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
	if (fcntl(pidfd, F_GETFL) & O_EXCL) /* PIDFD_THREAD */
		return err_set(e, EINVAL,
			       "the container's descriptor is of a thread, not a process");
	c->proc_fd = process_proc_open(c->pid);
	if (c->proc_fd < 0 || process_start_time(c->proc_fd, &c->start_ticks) < 0 ||
	    process_ended(pidfd))
		return container_ended(e);
	r = container_open_mount_ns(c, e);
	if (r < 0)
		return r;
	r = container_look_owner(c, e);
	if (r < 0)
		return r;
	r = container_look_cgroup(c, e);
	if (r < 0)
		return r;
	/* All of it was read from one process only if that is still there. */
	return process_ended(pidfd) ? container_ended(e) : 0;
}

/* An init process may have moved into a cgroup below the one that was seen first. */
static void container_climb(struct container *c, uint64_t cgroup_inode)
{
	int above;

	while (c->cgroup_fd >= 0 && c->cgroup_inode != cgroup_inode) {
		above = walk_up(c->cgroup_fd);
		close_fdp(&c->cgroup_fd);
		if (above >= 0 && container_inode(above, &c->cgroup_inode) == 0)
			c->cgroup_fd = fd_take(&above);
		close_fdp(&above);
	}
}

int container_find(struct container *c, pid_t pid, uint64_t start_ticks, uint64_t mount_ns_inode,
		   uint64_t cgroup_inode, struct err *e)
{
	char text[CONTAINER_CGROUP_TEXT_SIZE];
	const char *path;

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
	if (container_read_cgroup(c, text, sizeof(text), &path, NULL) < 0 ||
	    container_open_cgroup(c, path, NULL) < 0)
		close_fdp(&c->cgroup_fd);
	if (hierarchy_has_devices())
		container_open_devices(c, text, sizeof(text), &path, NULL);
	container_climb(c, cgroup_inode);
	return process_ended(c->pidfd) ? container_ended(e) : 0;
}

int container_host(struct container *c, struct err *e)
{
	c->pid = 1;
	c->proc_fd = process_proc_open(c->pid);
	if (c->proc_fd < 0)
		return err_sys(e, -c->proc_fd, "cannot look at process 1");
	c->mount_ns_fd = openat(c->proc_fd, "ns/mnt", O_RDONLY | O_CLOEXEC);
	if (c->mount_ns_fd < 0)
		return err_sys(e, errno, "cannot open the host's mount namespace");
	if (process_start_time(c->proc_fd, &c->start_ticks) == 0)
		c->pidfd = process_pin(c->pid, c->start_ticks);
	return c->pidfd < 0 ? err_set(e, ESRCH, "cannot pin process 1") : 0;
}

int container_filter_fd(const struct container *c)
{
	return c->devices_fd >= 0 ? c->devices_fd : c->cgroup_fd;
}

int container_open_filter(const char *cgroup, uint64_t cgroup_inode)
{
	auto_container struct container c = CONTAINER_INIT;
	int r;

	if (hierarchy_has_devices())
		return hierarchy_open_devices(cgroup);
	r = container_open_cgroup(&c, cgroup, NULL);
	if (r == 0 && c.cgroup_inode != cgroup_inode)
		r = -ENOENT;
	return r < 0 ? r : fd_take(&c.cgroup_fd);
}

int container_check_peer(const struct container *c, uid_t peer_uid, uid_t hook_uid, struct err *e)
{
	auto_close int scope_fd = -1;
	uid_t other = 0;
	int r;

	if (peer_uid == 0 || peer_uid == hook_uid)
		return 0;
	/* Nobody can delegate its filter there: it would be one that others share. */
	if (hierarchy_has_devices())
		return err_set(e, EPERM,
			       "with the devices controller of cgroup v1 only root may name "
			       "containers");
	if (c->owner_uid != peer_uid)
		return err_set(e, EPERM, "the container belongs to uid %u, not to uid %u",
			       c->owner_uid, peer_uid);
	/* Others may be in what is yours: the maps of ids that count are this process's. */
	r = peer_owns_process(c->proc_fd, peer_uid, &other);
	if (r == -ESRCH)
		return container_ended(e);
	if (r < 0)
		return err_sys(e, -r, "cannot tell whose the container's process is");
	if (!r)
		return err_set(e, EPERM, "the container's process %d is of uid %u, not of uid %u",
			       (int)c->pid, other, peer_uid);
	/*
	 * Nothing would be attached there, so nobody's filter would change. But then
	 * nothing holds this container apart from the rest of the machine: no rule by
	 * cgroup, no limit, and no filter that takes the device back.
	 */
	if (c->cgroup_fd < 0)
		return err_set(e, EPERM,
			       "process %d is in the root of all cgroups: start the container in a "
			       "cgroup of its own (crun --cgroup-manager=systemd, or podman)",
			       (int)c->pid);
	scope_fd = devfilter_scope_open(c->cgroup_fd);
	return peer_check_cgroup(scope_fd >= 0 ? scope_fd : c->cgroup_fd, c->cgroup, peer_uid, e);
}

struct node_place container_place(const struct container *c, int timeout_ms)
{
	return (struct node_place){
		.pidfd = c->pidfd,
		.mount_ns_fd = c->mount_ns_fd,
		.proc_fd = c->proc_fd,
		.cgroup_fd = c->cgroup_fd,
		.devices_fd = c->devices_fd,
		.timeout_ms = timeout_ms,
	};
}
