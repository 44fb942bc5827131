/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/nsfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/process.h"

#define PEER_NR_UIDS 4 /* real, effective, saved, of file access */
#define PEER_REMEDY                                                                                \
	"start the container in a cgroup of its own (crun --cgroup-manager=systemd, or podman)"

/* A cgroup that is being looked at. */
struct peer_look {
	const char *path;
	uid_t uid;
	unsigned int nr_cgroups;
	unsigned int nr_processes;
};

/* 1: the helper's own; 0: another; -errno. */
static int peer_is_own_ns(int user_ns_fd)
{
	struct stat theirs, own;

	if (fstat(user_ns_fd, &theirs) < 0 || stat("/proc/self/ns/user", &own) < 0)
		return -errno;
	return theirs.st_dev == own.st_dev && theirs.st_ino == own.st_ino;
}

int peer_of_user_ns(int user_ns_fd, uid_t *ret_uid)
{
	auto_close int fd = fcntl(user_ns_fd, F_DUPFD_CLOEXEC, 0);
	uid_t owner = 0;
	int parent, r;

	if (fd < 0)
		return -errno;
	/* The kernel nests at most 33 of them; outside the helper's own there is no parent. */
	while ((r = peer_is_own_ns(fd)) == 0) {
		if (ioctl(fd, NS_GET_OWNER_UID, &owner) < 0)
			return -errno;
		parent = ioctl(fd, NS_GET_PARENT);
		if (parent < 0)
			return -errno;
		close_fdp(&fd);
		fd = parent;
	}
	if (r > 0)
		*ret_uid = owner;
	return r < 0 ? r : 0;
}

/*
 * Not process_read(): the file has a line of groups that whoever made a user
 * namespace can make as long as they like. The uids come before it.
 */
static int peer_process_uids(int proc_fd, uid_t uids[PEER_NR_UIDS])
{
	auto_close int fd = openat(proc_fd, "status", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[1024];
	const char *line;
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	line = strstr(text, "\nUid:\t"); /* the name above it has no line ends: they are escaped */
	if (!line || sscanf(line, "\nUid:\t%u\t%u\t%u\t%u", &uids[0], &uids[1], &uids[2],
			    &uids[3]) != PEER_NR_UIDS)
		return -EINVAL;
	return 0;
}

int peer_owns_process(int proc_fd, uid_t uid, uid_t *ret_other)
{
	auto_close int ns_fd = -1;
	uid_t uids[PEER_NR_UIDS] = { 0 }, other = uid, owner;
	int r;

	r = peer_process_uids(proc_fd, uids);
	if (r < 0)
		return r;
	for (size_t i = PEER_NR_UIDS; i-- > 0;)
		other = uids[i] != uid ? uids[i] : other;
	if (other == uid)
		return 1;
	ns_fd = openat(proc_fd, "ns/user", O_RDONLY | O_CLOEXEC);
	/* The link of a process that ended in between says EACCES. */
	if (ns_fd < 0)
		return errno == ENOENT || (errno == EACCES && peer_process_uids(proc_fd, uids) < 0)
			       ? -ESRCH
			       : -errno;
	r = peer_of_user_ns(ns_fd, &owner);
	if (r < 0 || owner == uid)
		return r < 0 ? r : 1;
	*ret_other = other;
	return 0;
}

static int peer_check_pid(struct peer_look *look, pid_t pid, struct err *e)
{
	auto_close int proc_fd = -1;
	uid_t other = 0;
	int r;

	if (++look->nr_processes > PEER_PROCESSES_MAX)
		return err_set(e, EPERM,
			       "there are more than %d processes in the container's cgroup %.80s, "
			       "too many to see whether all are yours",
			       PEER_PROCESSES_MAX, look->path);
	/* Not in the helper's pid namespace, so not to be looked at. */
	if (pid <= 0)
		return err_set(e, EPERM,
			       "a process the helper cannot see is in the container's cgroup "
			       "%.80s: " PEER_REMEDY,
			       look->path);
	proc_fd = process_proc_open(pid);
	r = proc_fd < 0 ? proc_fd : peer_owns_process(proc_fd, look->uid, &other);
	if (r == -ESRCH)
		return 0;
	if (r < 0)
		return err_sys(e, -r, "cannot tell whose process %d in the container's cgroup is",
			       (int)pid);
	if (!r)
		return err_set(
			e, EPERM,
			"process %d of uid %u is in the container's cgroup %.80s: " PEER_REMEDY,
			(int)pid, other, look->path);
	return 0;
}

/* cgroup.procs, or, where a cgroup has threads only and so cannot read that, cgroup.threads. */
static int peer_check_list(struct peer_look *look, int cgroup_fd, const char *name, struct err *e)
{
	auto_close int fd = openat(cgroup_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	auto_fclose FILE *list = NULL;
	int pid, r = 0;

	if (fd < 0 && errno == ENOENT)
		return 0; /* the cgroup was removed, so nobody was in it */
	list = fd < 0 ? NULL : fdopen(fd, "r");
	if (!list)
		return err_sys(e, errno, "cannot read who is in the container's cgroup");
	fd_take(&fd);
	errno = 0;
	while (!r && fscanf(list, "%d", &pid) == 1)
		r = peer_check_pid(look, pid, e);
	if (r < 0)
		return r;
	if (ferror(list) && errno == EOPNOTSUPP && !strcmp(name, "cgroup.procs"))
		return peer_check_list(look, cgroup_fd, "cgroup.threads", e);
	if (ferror(list) && errno != ENODEV)
		return err_sys(e, errno, "cannot read who is in the container's cgroup");
	return 0;
}

static int peer_look_at(struct peer_look *look, int cgroup_fd, unsigned int depth, struct err *e);

static int peer_look_below(struct peer_look *look, int cgroup_fd, const char *name,
			   unsigned int depth, struct err *e)
{
	auto_close int fd =
		openat(cgroup_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT
			       ? 0
			       : err_sys(e, errno, "cannot open a cgroup below the container's");
	return peer_look_at(look, fd, depth + 1, e);
}

static int peer_look_at(struct peer_look *look, int cgroup_fd, unsigned int depth, struct err *e)
{
	auto_closedir DIR *dir = NULL;
	auto_close int fd = -1;
	struct dirent *d;
	int r;

	if (++look->nr_cgroups > PEER_CGROUPS_MAX || depth > PEER_CGROUP_DEPTH_MAX)
		return err_set(e, EPERM,
			       "there are more than %d cgroups, or %d levels of them, below the "
			       "container's cgroup %.80s: too many to see whether all in them is "
			       "yours",
			       PEER_CGROUPS_MAX, PEER_CGROUP_DEPTH_MAX, look->path);
	r = peer_check_list(look, cgroup_fd, "cgroup.procs", e);
	if (r < 0)
		return r;
	fd = openat(cgroup_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return errno == ENOENT ? 0
				       : err_sys(e, errno, "cannot list the container's cgroup");
	fd_take(&fd);
	do {
		errno = 0;
		d = readdir(dir);
		if (!d && errno && errno != ENOENT)
			return err_sys(e, errno, "cannot list the container's cgroup");
		if (d && d->d_type == DT_DIR && strcmp(d->d_name, ".") && strcmp(d->d_name, ".."))
			r = peer_look_below(look, dirfd(dir), d->d_name, depth, e);
	} while (d && r == 0);
	return r;
}

int peer_check_cgroup(int cgroup_fd, const char *path, uid_t uid, struct err *e)
{
	struct peer_look look = { .path = path, .uid = uid };

	return peer_look_at(&look, cgroup_fd, 0, e);
}
