/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/filesystem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/text.h"
#include "driver/privileged/child.h"
#include "driver/privileged/filesystem_mount.h"
#include "driver/privileged/holders.h"
#include "driver/privileged/host_dir.h"
#include "driver/privileged/mountinfo.h"
#include "driver/privileged/node_dir.h"
#include "driver/privileged/node_map.h"
#include "driver/privileged/walk.h"
#include "driver/wire/wire.h"
#include "targets/catalog.h"

#define FILESYSTEM_MOUNTS_ROOM 64 /* at first: a container makes as many as the kernel lets it */
#define FILESYSTEM_LOOK_MS 20

struct filesystem_work {
	struct node_host host;
	const struct node_place *place;
	const struct filesystem_spec *spec;
	enum filesystem_way way;
	char source[FILESYSTEM_MOUNT_SOURCE_SIZE];
	char above[WIRE_PATH_SIZE]; /* the directory the place is in, relative; "": the root */
	const char *name;	    /* of the place in it */
	int own_ns_fd;
	int user_ns_fd; /* -1: the container has none of its own */
	uid_t root_uid; /* of the container, as the host counts */
	gid_t root_gid;
	uint64_t dev; /* what came of it */
};

static void filesystem_work_free(struct filesystem_work **w)
{
	if (!*w)
		return;
	node_host_close(&(*w)->host);
	close_fdp(&(*w)->own_ns_fd);
	close_fdp(&(*w)->user_ns_fd);
	child_unshare(*w, sizeof(**w));
}

#define auto_filesystem_work cleanup_with(filesystem_work_free)

/* The last component of an absolute path, and what is before it. */
static const char *filesystem_split(char *above, size_t size, const char *path)
{
	const char *name = strrchr(path, '/') + 1;

	text_copy(above, size, path + 1);
	above[name > path + 1 ? name - path - 2 : 0] = '\0';
	return name;
}

static int filesystem_work_new(struct filesystem_work **ret, const struct node_place *place,
			       const struct filesystem_spec *spec, struct err *e)
{
	auto_filesystem_work struct filesystem_work *w = child_share(sizeof(*w));
	int r;

	if (!w)
		return err_sys(e, ENOMEM, "cannot share memory with a child");
	w->host = (struct node_host)NODE_HOST_INIT;
	w->own_ns_fd = w->user_ns_fd = -1;
	w->place = place;
	w->spec = spec;
	filesystem_mount_source(spec, w->source);
	w->name = filesystem_split(w->above, sizeof(w->above), spec->path);
	r = node_host_open(&w->host, e);
	if (!r)
		*ret = ptr_take(w);
	return r;
}

/* For words. */
static const char *filesystem_where(const struct filesystem_work *w)
{
	return w->spec->host_dir ? "on the host" : "in the container";
}

static const char *filesystem_whose(const struct filesystem_work *w)
{
	return w->spec->host_dir ? "host" : "container";
}

/* --- whose it is --------------------------------------------------------- */

/* The user namespace of the container's process, if it is not ours. */
static int filesystem_open_user_ns(struct filesystem_work *w, struct err *e)
{
	struct stat own, its;

	w->user_ns_fd = openat(w->place->proc_fd, "ns/user", O_RDONLY | O_CLOEXEC);
	if (w->user_ns_fd < 0 || fstat(w->user_ns_fd, &its) < 0 ||
	    stat("/proc/self/ns/user", &own) < 0)
		return err_sys(e, errno, "cannot look at the container's user namespace");
	if (its.st_ino == own.st_ino)
		close_fdp(&w->user_ns_fd);
	return 0;
}

/* With no way back, but by the namespace that this one is in now. */
static int filesystem_enter(const struct filesystem_work *w, int *ret_root_fd, struct err *e)
{
	return w->spec->host_dir ? host_dir_enter(w->place->mount_ns_fd, ret_root_fd, e)
				 : node_enter_root(&w->host, w->place->mount_ns_fd, ret_root_fd, e);
}

/* --- the place ----------------------------------------------------------- */

static int filesystem_check_empty(const struct filesystem_work *w, int dir_fd, struct err *e)
{
	auto_closedir DIR *dir = NULL;
	auto_close int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return err_sys(e, errno, "cannot look into %s %s", w->spec->path,
			       filesystem_where(w));
	fd_take(&fd);
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return err_set(e, ENOTEMPTY, "%s %s is not empty", w->spec->path,
				       filesystem_where(w));
	}
	return 0;
}

/* Where a component is a link, or no directory, the words say so. */
static int filesystem_walk_failed(const struct filesystem_work *w, int r, struct err *e)
{
	if (r == -ELOOP)
		return err_set(e, ELOOP, "%s in the container leads over a symbolic link",
			       w->spec->path);
	if (r == -ENOTDIR)
		return err_set(e, ENOTDIR, "%s in the container is no directory", w->spec->path);
	return err_sys(e, -r, "cannot come to %s in the container", w->spec->path);
}

/* The directory the place is in: an fd or -errno. */
static int filesystem_walk_above(const struct filesystem_work *w, int root_fd)
{
	return *w->above ? walk_down(root_fd, w->above, WALK_DIRECTORY)
			 : fcntl(root_fd, F_DUPFD_CLOEXEC, 0);
}

/* Made by us, and by nobody else in this way; never what is mounted on it. */
static bool filesystem_is_placeholder(int above_fd, const char *name)
{
	struct statx stx;

	return !statx(above_fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
		      STATX_TYPE | STATX_MODE, &stx) &&
	       (stx.stx_mode & ~S_ISGID) == S_IFDIR &&
	       !(stx.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/* As whom it was made by; empty, or it stays. */
static void filesystem_remove_placeholder(const struct filesystem_work *w, int above_fd)
{
	if (!w->spec->host_dir && filesystem_is_placeholder(above_fd, w->name) &&
	    !node_map_act_as(w->root_uid, w->root_gid, NULL))
		unlinkat(above_fd, w->name, AT_REMOVEDIR);
	node_map_act_as_root();
}

/*
 * An fd (O_PATH) of the empty directory to mount on, or -errno. Done by the container's root,
 * so that it tells nobody of what is in directories that are the host's.
 */
static int filesystem_find_place(const struct filesystem_work *w, int above_fd, struct err *e)
{
	auto_close int fd = -1;
	int r;

	if (mkdirat(above_fd, w->name, 0) < 0 && errno != EEXIST)
		return err_sys(e, errno, "cannot make %s in the container", w->spec->path);
	fd = walk_down(above_fd, w->name, WALK_DIRECTORY);
	if (fd < 0)
		return filesystem_walk_failed(w, fd, e);
	r = filesystem_is_placeholder(above_fd, w->name) ? 0 : filesystem_check_empty(w, fd, e);
	return r < 0 ? r : fd_take(&fd);
}

/* --- inserting ----------------------------------------------------------- */

static uint64_t filesystem_dev(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? 0 : st.st_dev;
}

static int filesystem_move(struct filesystem_work *w, int place_fd, struct err *e)
{
	auto_close int mount_fd = -1;

	/* Its device is found, and waited for, where /dev is the host's. */
	if (setns(w->own_ns_fd, CLONE_NEWNS) < 0)
		return err_sys(e, errno, "cannot leave the %s's mount namespace",
			       filesystem_whose(w));
	mount_fd = filesystem_mount_new(w->spec, w->user_ns_fd, e);
	if (mount_fd < 0)
		return mount_fd;
	w->dev = filesystem_dev(mount_fd);
	if (setns(w->place->mount_ns_fd, CLONE_NEWNS) < 0)
		return err_sys(e, errno, "cannot enter the %s's mount namespace",
			       filesystem_whose(w));
	if (move_mount(mount_fd, "", place_fd, "",
		       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_sys(e, errno, "cannot mount it at %s %s", w->spec->path,
			       filesystem_where(w));
	return 0;
}

/* What is there belongs to whoever is to have it: nothing is made, and nothing left. */
static int filesystem_insert_host(struct filesystem_work *w, struct err *e)
{
	auto_close int root_fd = -1, place_fd = -1;
	int r;

	r = filesystem_enter(w, &root_fd, e);
	if (r < 0)
		return r;
	place_fd = host_dir_open(root_fd, HOST_DIRECTORY, w->spec->path, w->spec->host_dir,
				 w->spec->host_uid, e);
	if (place_fd < 0)
		return place_fd;
	r = filesystem_check_empty(w, place_fd, e);
	return r < 0 ? r : filesystem_move(w, place_fd, e);
}

/* First what costs nothing: a place that will not do mounts nothing, and writes nothing. */
static int filesystem_insert_inside(void *arg, struct err *e)
{
	struct filesystem_work *w = arg;
	auto_close int root_fd = -1, above_fd = -1, place_fd = -1;
	int r;

	if (w->spec->host_dir)
		return filesystem_insert_host(w, e);
	umask(0);
	r = filesystem_enter(w, &root_fd, e);
	if (r < 0)
		return r;
	r = node_map_act_as(w->root_uid, w->root_gid, e);
	if (r < 0)
		return r;
	above_fd = filesystem_walk_above(w, root_fd);
	if (above_fd < 0)
		return filesystem_walk_failed(w, above_fd, e);
	place_fd = filesystem_find_place(w, above_fd, e);
	node_map_act_as_root();
	r = place_fd < 0 ? place_fd : filesystem_move(w, place_fd, e);
	if (r < 0)
		filesystem_remove_placeholder(w, above_fd);
	return r;
}

/* Who root is in the container. On the host that is root. */
static int filesystem_look_ids(struct filesystem_work *w, struct err *e)
{
	int r;

	r = node_map_id(w->place->proc_fd, "uid_map", 0, &w->root_uid, e);
	if (!r)
		r = node_map_id(w->place->proc_fd, "gid_map", 0, &w->root_gid, e);
	return r < 0 ? r : filesystem_open_user_ns(w, e);
}

int filesystem_insert(const struct node_place *place, const struct filesystem_spec *spec,
		      uint64_t *ret_dev, struct err *e)
{
	auto_filesystem_work struct filesystem_work *w = NULL;
	int r;

	r = filesystem_work_new(&w, place, spec, e);
	if (!r && !spec->host_dir)
		r = filesystem_look_ids(w, e);
	if (r < 0)
		return r;
	w->own_ns_fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (w->own_ns_fd < 0)
		return err_sys(e, errno, "cannot open the helper's mount namespace");
	r = child_run(filesystem_insert_inside, w, place->timeout_ms, e);
	if (r == -ETIMEDOUT)
		return err_prefix(e, r, "mounting %s %s", spec->path, filesystem_where(w));
	if (r == 0)
		*ret_dev = w->dev;
	return r;
}

/* --- finding ------------------------------------------------------------- */

/* File systems of several devices (btrfs) show a number of their own, but name one. */
static bool filesystem_is(const struct filesystem_work *w, const struct mountinfo_entry *entry)
{
	const char *type = catalog_filesystem(w->spec->filesystem);

	if (entry->major == w->spec->major && entry->minor == w->spec->minor)
		return true;
	return !entry->major && (!type || !strcmp(entry->type, type)) &&
	       !strcmp(entry->source, w->source);
}

static bool filesystem_mount_id(int fd, uint32_t *ret)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &stx) < 0)
		return false;
	*ret = (uint32_t)stx.stx_mnt_id;
	return true;
}

/* Mounts of it in the namespace this process is in, those that were there first first. */
struct filesystem_mounts {
	uint32_t *ids;
	char **points;
	unsigned int nr;
	unsigned int room;
};

static void filesystem_mounts_fini(struct filesystem_mounts *m)
{
	while (m->nr)
		free(m->points[--m->nr]);
	free(m->points);
	free(m->ids);
}

#define auto_filesystem_mounts cleanup_with(filesystem_mounts_fini)

static int filesystem_mounts_add(struct filesystem_mounts *m, const struct mountinfo_entry *entry)
{
	unsigned int room = m->room ? 2 * m->room : FILESYSTEM_MOUNTS_ROOM;
	void *ids, *points;

	if (m->nr == m->room) {
		ids = reallocarray(m->ids, room, sizeof(*m->ids));
		m->ids = ids ? ids : m->ids;
		points = reallocarray(m->points, room, sizeof(*m->points));
		m->points = points ? points : m->points;
		if (!ids || !points)
			return -ENOMEM;
		m->room = room;
	}
	m->ids[m->nr] = entry->id;
	m->points[m->nr] = strdup(entry->point);
	if (!m->points[m->nr])
		return -ENOMEM;
	m->nr++;
	return 0;
}

static int filesystem_find(const struct filesystem_work *w, struct filesystem_mounts *ret,
			   struct err *e)
{
	auto_mountinfo struct mountinfo m = MOUNTINFO_INIT;
	struct mountinfo_entry entry;
	int r;

	r = mountinfo_open(&m, w->host.proc_fd, "self/mountinfo");
	while (!r && (r = mountinfo_next(&m, &entry)) > 0) {
		r = 0;
		if (filesystem_is(w, &entry))
			r = filesystem_mounts_add(ret, &entry);
	}
	return r < 0 ? err_sys(e, -r, "cannot read the %s's list of mounts", filesystem_whose(w))
		     : 0;
}

/* Is this mount of it what is at the place? */
static bool filesystem_at_place(const struct filesystem_work *w, int above_fd, uint32_t id)
{
	auto_close int fd = above_fd < 0 ? -1 : walk_down(above_fd, w->name, WALK_DIRECTORY);
	uint32_t there;

	return fd >= 0 && filesystem_mount_id(fd, &there) && there == id;
}

static int filesystem_look_inside(void *arg, struct err *e)
{
	auto_filesystem_mounts struct filesystem_mounts m = { 0 };
	struct filesystem_work *w = arg;
	auto_close int root_fd = -1, above_fd = -1;
	int r;

	r = filesystem_enter(w, &root_fd, e);
	if (!r)
		r = filesystem_find(w, &m, e);
	if (r < 0)
		return r;
	above_fd = filesystem_walk_above(w, root_fd);
	for (unsigned int i = 0; i < m.nr; i++) {
		if (filesystem_at_place(w, above_fd, m.ids[i]))
			return 0;
	}
	return err_set(e, ENOENT, "%s %s is not this device's file system", w->spec->path,
		       filesystem_where(w));
}

int filesystem_look(const struct node_place *place, const struct filesystem_spec *spec,
		    struct err *e)
{
	auto_filesystem_work struct filesystem_work *w = NULL;
	int r;

	r = filesystem_work_new(&w, place, spec, e);
	return r < 0 ? r : child_run(filesystem_look_inside, w, place->timeout_ms, e);
}

/* --- removing ------------------------------------------------------------ */

/*
 * By its name in the directory it is in, which is the current one then: a descriptor of the
 * mount itself would be a use of it. What is a mount point cannot be renamed by a container,
 * unless that may mount, and then what it puts there is its own.
 */
static int filesystem_unmount(const struct filesystem_work *w, int above_fd, const char *name,
			      int flags)
{
	if (fchdir(above_fd) < 0 || umount2(name, UMOUNT_NOFOLLOW | flags) < 0)
		return -errno;
	return 0;
}

static void filesystem_sync(int above_fd, const char *name)
{
	auto_close int fd = openat(above_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0)
		syncfs(fd);
}

/* One of its mounts, if that is what its path still leads to. */
static int filesystem_detach(const struct filesystem_work *w, const char *point, uint32_t id)
{
	auto_close int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), above_fd = -1;
	auto_close int fd = -1;
	char above[PATH_MAX];
	const char *name;
	uint32_t there;

	if (root_fd < 0 || *point != '/' || !point[1] || strlen(point) >= sizeof(above))
		return -EINVAL;
	name = filesystem_split(above, sizeof(above), point);
	above_fd = *above ? walk_down(root_fd, above, WALK_DIRECTORY) : fd_take(&root_fd);
	if (above_fd < 0)
		return above_fd;
	fd = walk_down(above_fd, name, 0);
	if (fd < 0 || !filesystem_mount_id(fd, &there) || there != id)
		return fd < 0 ? fd : -EBUSY;
	close_fdp(&fd); /* a use of it, until this process ends */
	if (w->way == FILESYSTEM_SYNCED)
		filesystem_sync(above_fd, name);
	return filesystem_unmount(w, above_fd, name, MNT_DETACH);
}

static int filesystem_remove_all(const struct filesystem_work *w, int above_fd, struct err *e)
{
	auto_filesystem_mounts struct filesystem_mounts m = { 0 };
	int r, first = 0;

	r = filesystem_find(w, &m, e);
	if (r < 0)
		return r;
	/* Later ones may be over, or below, earlier ones. */
	for (unsigned int i = m.nr; i-- > 0;) {
		if (w->spec->shared && !filesystem_at_place(w, above_fd, m.ids[i]))
			continue;
		r = filesystem_detach(w, m.points[i], m.ids[i]);
		if (r < 0 && !first)
			first = err_sys(e, -r, "cannot unmount it %s", filesystem_where(w));
	}
	return first;
}

static int filesystem_remove_unused(const struct filesystem_work *w, int above_fd, struct err *e)
{
	auto_filesystem_mounts struct filesystem_mounts m = { 0 };
	bool there = false;
	int r;

	r = filesystem_find(w, &m, e);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < m.nr; i++) {
		if (filesystem_at_place(w, above_fd, m.ids[i]))
			there = true;
		else if (!w->spec->shared)
			return err_set(e, EBUSY, "the %s has mounted it elsewhere, too",
				       filesystem_whose(w));
	}
	if (!there)
		return 0;
	r = filesystem_unmount(w, above_fd, w->name, 0);
	return r < 0 ? err_sys(e, -r, "cannot unmount %s %s", w->spec->path, filesystem_where(w))
		     : 0;
}

static int filesystem_remove_inside(void *arg, struct err *e)
{
	struct filesystem_work *w = arg;
	auto_close int root_fd = -1, above_fd = -1;
	int r;

	/* Without a /dev of its own by now, it may have mounts all the same. */
	r = filesystem_enter(w, &root_fd, e);
	if (r == -ENOTSUP) {
		root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		r = root_fd < 0 ? err_sys(e, errno, "cannot open the container's root") : 0;
	}
	if (r < 0)
		return r;
	above_fd = filesystem_walk_above(w, root_fd);
	r = w->way == FILESYSTEM_UNUSED ? filesystem_remove_unused(w, above_fd, e)
					: filesystem_remove_all(w, above_fd, e);
	if (r == 0 && above_fd >= 0)
		filesystem_remove_placeholder(w, above_fd);
	return r;
}

int filesystem_remove(const struct node_place *place, const struct filesystem_spec *spec,
		      enum filesystem_way way, struct err *e)
{
	auto_filesystem_work struct filesystem_work *w = NULL;
	int r;

	r = filesystem_work_new(&w, place, spec, e);
	if (r < 0)
		return r;
	w->way = way;
	if (!spec->host_dir && (node_map_id(place->proc_fd, "uid_map", 0, &w->root_uid, NULL) < 0 ||
				node_map_id(place->proc_fd, "gid_map", 0, &w->root_gid, NULL) < 0))
		w->root_uid = w->root_gid = 0; /* it has ended, or has no root */
	r = child_run(filesystem_remove_inside, w, place->timeout_ms, e);
	return r == -ETIMEDOUT
		       ? err_prefix(e, r, "unmounting %s %s", spec->path, filesystem_where(w))
		       : r;
}

static int filesystem_wait_inside(void *arg, struct err *e)
{
	const struct filesystem_spec *spec = arg;
	char path[FILESYSTEM_MOUNT_SOURCE_SIZE];

	filesystem_mount_source(spec, path);
	while (holders_probe_busy(path, e) == -EBUSY)
		clock_sleep_ms(FILESYSTEM_LOOK_MS);
	return 0;
}

int filesystem_wait_gone(const struct filesystem_spec *spec, int timeout_ms, struct err *e)
{
	return child_run(filesystem_wait_inside, (void *)spec, timeout_ms, e);
}
