/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/filesystem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/text.h"
#include "driver/privileged/child.h"
#include "driver/privileged/holders.h"
#include "driver/privileged/host_dir.h"
#include "driver/privileged/mountinfo.h"
#include "driver/privileged/node_dir.h"
#include "driver/privileged/node_map.h"
#include "driver/privileged/walk.h"
#include "driver/wire/wire.h"
#include "targets/catalog.h"

/* Linux 6.6; an enumerator of <linux/mount.h>, which older C libraries do not have. */
#define FILESYSTEM_CREATE_EXCL 8

#define FILESYSTEM_OPTIONS_MAX 3
#define FILESYSTEM_MOUNTS_ROOM 64 /* at first: a container makes as many as the kernel lets it */
#define FILESYSTEM_SOURCE_SIZE 32
#define FILESYSTEM_WORDS_SIZE 160
#define FILESYSTEM_LOOK_MS 20

/*
 * What a disk says must not decide what happens to the host: an ext4 superblock may ask for a
 * panic at the first error. Values that are NULL are flags.
 */
static const struct {
	const char *key;
	const char *value;
} filesystem_options[FILESYSTEM_END][FILESYSTEM_OPTIONS_MAX] = {
	[FILESYSTEM_EXT4] = { { "errors", "remount-ro" } },
	/* The same image may be mounted already, elsewhere and as another device. */
	[FILESYSTEM_XFS] = { { "nouuid", NULL } },
	/* One that was interrupted would go on, with the host's processors. */
	[FILESYSTEM_BTRFS] = { { "skip_balance", NULL } },
};

struct filesystem_work {
	struct node_host host;
	const struct node_place *place;
	const struct filesystem_spec *spec;
	enum filesystem_way way;
	char source[FILESYSTEM_SOURCE_SIZE];
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
	snprintf(w->source, sizeof(w->source), "/dev/ublkb%" PRIu32, spec->dev_id);
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

/* --- mounting ------------------------------------------------------------ */

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

/* What the file system says of a failure, in its last line: "e ext4: bad geometry". */
static void filesystem_words(int fs_fd, char words[FILESYSTEM_WORDS_SIZE])
{
	char line[512];
	ssize_t n;

	words[0] = '\0';
	while ((n = read(fs_fd, line, sizeof(line) - 1)) > 0) {
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
		for (char *p = line; *p; p++)
			*p = *p < ' ' || *p > '~' ? '?' : *p;
		if (n > 2 && line[0] != 'i')
			snprintf(words, FILESYSTEM_WORDS_SIZE, " (%.*s)", FILESYSTEM_WORDS_SIZE - 4,
				 line + 2);
	}
}

static int filesystem_configure(int fs_fd, const struct filesystem_work *w)
{
	unsigned int id = w->spec->filesystem;
	const char *key, *value;

	if (fsconfig(fs_fd, FSCONFIG_SET_STRING, "source", w->source, 0) < 0)
		return -errno;
	for (size_t i = 0; i < FILESYSTEM_OPTIONS_MAX; i++) {
		key = filesystem_options[id][i].key;
		value = filesystem_options[id][i].value;
		if (key && fsconfig(fs_fd, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key,
				    value, 0) < 0)
			return -errno;
	}
	if (w->spec->read_only && fsconfig(fs_fd, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0)
		return -errno;
	/*
	 * Never one that is there, unless it is known to be this device's: it would be of the
	 * device that had this number before.
	 */
	return fsconfig(fs_fd, w->spec->shared ? FSCONFIG_CMD_CREATE : FILESYSTEM_CREATE_EXCL, NULL,
			NULL, 0) < 0
		       ? -errno
		       : 0;
}

static int filesystem_check_source(const struct filesystem_work *w, struct err *e)
{
	struct stat st;

	if (stat(w->source, &st) < 0)
		return err_sys(e, errno, "cannot look at %s", w->source);
	if (!S_ISBLK(st.st_mode) || st.st_rdev != makedev(w->spec->major, w->spec->minor))
		return err_set(e, ENODEV, "%s is not the device that was started", w->source);
	return 0;
}

static int filesystem_map_ids(const struct filesystem_work *w, int mount_fd, struct err *e)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_IDMAP,
		.userns_fd = (uint64_t)w->user_ns_fd,
	};

	if (w->user_ns_fd < 0 || !mount_setattr(mount_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)))
		return 0;
	return err_sys(e, errno, "cannot map the ids of %s into the container's user namespace",
		       catalog_filesystem(w->spec->filesystem));
}

/* Detached, so that no mount namespace has it: an fd or -errno. */
static int filesystem_mount(const struct filesystem_work *w, struct err *e)
{
	const char *name = catalog_filesystem(w->spec->filesystem);
	auto_close int fs_fd = -1, mount_fd = -1;
	char words[FILESYSTEM_WORDS_SIZE];
	int r;

	r = filesystem_check_source(w, e);
	if (r < 0)
		return r;
	fs_fd = fsopen(name, FSOPEN_CLOEXEC);
	if (fs_fd < 0)
		return errno == ENODEV ? err_set(e, ENODEV, "this kernel has no %s", name)
				       : err_sys(e, errno, "cannot begin to mount %s", name);
	r = filesystem_configure(fs_fd, w);
	if (r == -EBUSY)
		return err_set(e, EBUSY,
			       "a file system of an earlier device %" PRIu32 ":%" PRIu32
			       " is still in use somewhere",
			       w->spec->major, w->spec->minor);
	filesystem_words(fs_fd, words);
	if (r < 0)
		return err_sys(e, -r, "cannot mount it as %s%s", name, words);
	mount_fd =
		fsmount(fs_fd, FSMOUNT_CLOEXEC,
			MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
				(w->spec->read_only || w->spec->mount_read_only ? MOUNT_ATTR_RDONLY
										: 0));
	if (mount_fd < 0)
		return err_sys(e, errno, "cannot mount it as %s", name);
	r = filesystem_map_ids(w, mount_fd, e);
	return r < 0 ? r : fd_take(&mount_fd);
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
	mount_fd = filesystem_mount(w, e);
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
	char path[FILESYSTEM_SOURCE_SIZE];

	snprintf(path, sizeof(path), "/dev/ublkb%" PRIu32, spec->dev_id);
	while (holders_probe_busy(path, e) == -EBUSY)
		clock_sleep_ms(FILESYSTEM_LOOK_MS);
	return 0;
}

int filesystem_wait_gone(const struct filesystem_spec *spec, int timeout_ms, struct err *e)
{
	return child_run(filesystem_wait_inside, (void *)spec, timeout_ms, e);
}

/* --- growing ------------------------------------------------------------- */

/* Linux's, of <ext2fs/ext2_fs.h> and <xfs/xfs_fs.h>, which not every machine that builds has. */
#define FILESYSTEM_EXT4_RESIZE _IOW('f', 16, uint64_t)

struct filesystem_xfs_geometry {
	uint32_t block_bytes;
	uint32_t pad[6];
	uint32_t inode_percent;
	uint64_t blocks;
	uint64_t rest[9];
};
static_assert(sizeof(struct filesystem_xfs_geometry) == 112 &&
		      offsetof(struct filesystem_xfs_geometry, inode_percent) == 28 &&
		      offsetof(struct filesystem_xfs_geometry, blocks) == 32,
	      "as XFS_IOC_FSGEOMETRY_V1 has it");

struct filesystem_xfs_grow {
	uint64_t blocks;
	uint32_t inode_percent;
};
#define FILESYSTEM_XFS_GEOMETRY _IOR('X', 100, struct filesystem_xfs_geometry)
#define FILESYSTEM_XFS_GROW _IOW('X', 110, struct filesystem_xfs_grow)

static int filesystem_grow_ext4(int fd, uint64_t device_bytes)
{
	struct statfs fs;
	uint64_t blocks;

	if (fstatfs(fd, &fs) < 0)
		return -errno;
	blocks = device_bytes / (uint64_t)fs.f_bsize;
	return ioctl(fd, FILESYSTEM_EXT4_RESIZE, &blocks) < 0 ? -errno : 0;
}

static int filesystem_grow_xfs(int fd, uint64_t device_bytes)
{
	struct filesystem_xfs_geometry now = { 0 };
	struct filesystem_xfs_grow grow;

	if (ioctl(fd, FILESYSTEM_XFS_GEOMETRY, &now) < 0)
		return -errno;
	if (!now.block_bytes)
		return -EINVAL;
	grow = (struct filesystem_xfs_grow){ device_bytes / now.block_bytes, now.inode_percent };
	if (grow.blocks <= now.blocks)
		return 0;
	return ioctl(fd, FILESYSTEM_XFS_GROW, &grow) < 0 ? -errno : 0;
}

static int filesystem_grow_btrfs(int fd, uint64_t device_bytes)
{
	struct btrfs_ioctl_vol_args args = { .name = "max" };

	(void)device_bytes; /* it asks the device */
	return ioctl(fd, BTRFS_IOC_RESIZE, &args) < 0 ? -errno : 0;
}

static int (*const filesystem_grows[FILESYSTEM_END])(int fd, uint64_t device_bytes) = {
	[FILESYSTEM_EXT4] = filesystem_grow_ext4,
	[FILESYSTEM_XFS] = filesystem_grow_xfs,
	[FILESYSTEM_BTRFS] = filesystem_grow_btrfs,
};

static uint64_t filesystem_device_bytes(const struct filesystem_work *w)
{
	auto_close int fd = open(w->source, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	uint64_t bytes = 0;

	return fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes) < 0 ? 0 : bytes;
}

/*
 * Through a mount of its own, in no namespace: who has it mounted may have unmounted it, or made
 * it read-only, and nothing of theirs is walked through.
 */
static int filesystem_grow_inside(void *arg, struct err *e)
{
	struct filesystem_work *w = arg;
	const char *name = catalog_filesystem(w->spec->filesystem);
	auto_close int mount_fd = filesystem_mount(w, e), fd = -1;
	uint64_t bytes;
	int r;

	if (mount_fd < 0)
		return mount_fd;
	fd = openat(mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "cannot open the %s of %s", name, w->source);
	bytes = filesystem_device_bytes(w);
	r = bytes ? filesystem_grows[w->spec->filesystem](fd, bytes) : -EIO;
	return r < 0 ? err_sys(e, -r, "cannot make the %s of %s larger", name, w->source) : 0;
}

int filesystem_grow(const struct filesystem_spec *spec, int timeout_ms, struct err *e)
{
	auto_filesystem_work struct filesystem_work *w = NULL;
	struct filesystem_spec own = *spec;
	int r;

	own.shared = true;
	own.mount_read_only = false;
	r = filesystem_work_new(&w, NULL, &own, e);
	if (r < 0)
		return r;
	r = child_run(filesystem_grow_inside, w, timeout_ms, e);
	return r == -ETIMEDOUT ? err_prefix(e, r, "making its file system larger") : r;
}
