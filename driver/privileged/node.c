/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/node.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/log.h"
#include "driver/privileged/child.h"
#include "driver/privileged/hierarchy.h"
#include "driver/privileged/dir_lock.h"
#include "driver/privileged/node_dir.h"
#include "driver/privileged/node_map.h"

/* What the helper's side hands to the child, and (made) gets back. */
struct node_work {
	struct node_host host;
	const struct node_place *place;
	const struct node_spec *spec;
	struct node_dir dir;
	int tree_fd;
	int init_cgroup_fd;
	uid_t root_uid; /* of the container, as the host counts */
	gid_t root_gid;
	unsigned int made;
};

static void node_work_free(struct node_work **w)
{
	if (!*w)
		return;
	node_host_close(&(*w)->host);
	close_fdp(&(*w)->tree_fd);
	close_fdp(&(*w)->init_cgroup_fd);
	child_unshare(*w, sizeof(**w));
}

#define auto_node_work cleanup_with(node_work_free)

static int node_work_new(struct node_work **ret, const struct node_place *place,
			 const struct node_spec *spec, struct err *e)
{
	auto_node_work struct node_work *w = child_share(sizeof(*w));
	int r;

	if (!w)
		return err_sys(e, ENOMEM, "cannot share memory with a child");
	w->host = (struct node_host)NODE_HOST_INIT;
	w->tree_fd = -1;
	w->init_cgroup_fd = -1;
	w->place = place;
	w->spec = spec;
	r = node_dir_init(&w->dir, spec->path, e);
	if (!r)
		r = node_host_open(&w->host, e);
	if (!r)
		*ret = ptr_take(w);
	return r;
}

/* --- the store ----------------------------------------------------------- */

static bool node_store_mounted(const char *dir)
{
	struct statx stx;
	struct statfs fs;

	return !statx(AT_FDCWD, dir, AT_NO_AUTOMOUNT, STATX_TYPE, &stx) &&
	       (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT) && !statfs(dir, &fs) &&
	       fs.f_type == TMPFS_MAGIC;
}

/* In a mount namespace of its own what the helper mounts goes when it goes. */
static bool node_store_will_be_lost(void)
{
	struct stat own, host;

	return !stat("/proc/self/ns/mnt", &own) && !stat("/proc/1/ns/mnt", &host) &&
	       own.st_ino != host.st_ino;
}

int node_store_mount(const char *dir, struct err *e)
{
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "cannot make %s", dir);
	if (!node_store_mounted(dir) && node_store_will_be_lost())
		log_warning(
			"%s is mounted in a mount namespace of the helper's own: the next helper "
			"cannot close nodes that containers keep; mount a tmpfs there on the host",
			dir);
	/* Private mounts: the tmpfs does not spread to other namespaces, ... */
	if (!node_store_mounted(dir)) {
		if (mount(dir, dir, NULL, MS_BIND, NULL) < 0 ||
		    mount(NULL, dir, NULL, MS_PRIVATE, NULL) < 0 ||
		    mount("ublk-oci", dir, "tmpfs", MS_NOSUID | MS_NOEXEC,
			  "mode=0700,size=64k,nr_inodes=65536") < 0)
			return err_sys(e, errno, "cannot mount a tmpfs at %s", dir);
	}
	/* ... nor does what a container mounts over its clone of a node spread to the host. */
	if (mount(NULL, dir, NULL, MS_PRIVATE, NULL) < 0)
		return err_sys(e, errno, "cannot make %s a private mount", dir);
	return 0;
}

#define NODE_STORE_NAME_SIZE 32
#define NODE_LOCK_MS 5000

static void node_store_name(char name[NODE_STORE_NAME_SIZE], const struct node_id *id)
{
	int n = snprintf(name, NODE_STORE_NAME_SIZE, "%" PRIu32 ":%" PRIu32, id->major, id->minor);

	if (id->claim)
		snprintf(name + n, (size_t)(NODE_STORE_NAME_SIZE - n), ".%08" PRIx32, id->claim);
}

int node_disarm(const char *store_dir, const struct node_id *id, struct err *e)
{
	auto_close int store_fd = open(store_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char name[NODE_STORE_NAME_SIZE];

	node_store_name(name, id);
	if (store_fd < 0)
		return err_sys(e, errno, "cannot open %s", store_dir);
	/* In this order: an owner who is the container's could give it a mode in between. */
	if ((fchownat(store_fd, name, 0, 0, AT_SYMLINK_NOFOLLOW) < 0 ||
	     fchmodat(store_fd, name, 0, 0) < 0 || unlinkat(store_fd, name, 0) < 0) &&
	    errno != ENOENT)
		return err_sys(e, errno, "cannot close the device node %s", name);
	return 0;
}

bool node_is_root(const struct node_id *id, const char *root)
{
	static const char removed[] = "//deleted";
	char name[NODE_STORE_NAME_SIZE];
	size_t n;

	node_store_name(name, id);
	n = strlen(name);
	return *root == '/' && !strncmp(root + 1, name, n) &&
	       (!root[1 + n] || !strcmp(root + 1 + n, removed));
}

int node_store_each(const char *store_dir, int (*found)(void *arg, const struct node_id *id),
		    void *arg, struct err *e)
{
	auto_closedir DIR *d = opendir(store_dir);
	char name[NODE_STORE_NAME_SIZE];
	struct dirent *entry;
	int r;

	if (!d)
		return err_sys(e, errno, "cannot read %s", store_dir);
	while ((entry = readdir(d))) {
		struct node_id id = { 0 };

		if (sscanf(entry->d_name, "%" SCNu32 ":%" SCNu32 ".%" SCNx32, &id.major, &id.minor,
			   &id.claim) < 2)
			continue;
		node_store_name(name, &id);
		if (strcmp(name, entry->d_name))
			continue; /* not a name of ours */
		r = found(arg, &id);
		if (r < 0)
			return err_sys(e, -r, "cannot look at the nodes in %s", store_dir);
	}
	return 0;
}

int node_reclaim(const char *store_dir, const struct node_id *id, bool (*wanted)(void *arg),
		 void *arg, struct err *e)
{
	auto_close int lock_fd = -1;
	int r;

	r = dir_lock(AT_FDCWD, store_dir, NODE_LOCK_MS, &lock_fd, e);
	if (r < 0)
		return r;
	if (wanted(arg))
		return err_set(e, EBUSY, "it is somebody's by now");
	return node_disarm(store_dir, id, e);
}

/* Makes the node and clones it as a detached mount: an fd or -errno. */
static int node_store_make(int store_fd, const struct node_spec *spec, uid_t uid, gid_t gid,
			   struct err *e)
{
	char name[NODE_STORE_NAME_SIZE];
	int fd;

	node_store_name(name, &spec->id);
	if (mknodat(store_fd, name, S_IFBLK, makedev(spec->id.major, spec->id.minor)) < 0)
		return err_sys(e, errno, "cannot make a device node in the store");
	/* In this order the helper needs no right over files of others. */
	if (fchmodat(store_fd, name, spec->mode & 0777, 0) < 0 ||
	    fchownat(store_fd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, errno, "cannot give the device node its owner and mode");
	fd = open_tree(store_fd, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
	return fd < 0 ? err_sys(e, errno, "cannot clone the device node as a mount") : fd;
}

/* In place of one of an earlier device of this number, whose record was lost. */
int node_store_clone(const char *store_dir, const struct node_spec *spec, uid_t uid, gid_t gid,
		     struct err *e)
{
	auto_close int store_fd = -1;
	int r;

	r = dir_lock(AT_FDCWD, store_dir, NODE_LOCK_MS, &store_fd, e);
	if (!r)
		r = node_disarm(store_dir, &spec->id, e);
	return r < 0 ? r : node_store_make(store_fd, spec, uid, gid, e);
}

/* --- inserting ----------------------------------------------------------- */

/* What a node is put over: recognised again by node_look(). */
static int node_make_placeholder(const struct node_work *w, struct err *e)
{
	int fd = openat(node_dir_fd(&w->dir), node_dir_name(&w->dir),
			O_CREAT | O_EXCL | O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);

	if (fd >= 0)
		return fd;
	if (errno == EEXIST)
		return err_set(e, EEXIST, "%s exists in the container already", w->spec->path);
	return err_sys(e, errno, "cannot make %s in the container", w->spec->path);
}

/* Where only owners may remove (a sticky directory), as the owner, who is the container's root. */
static void node_remove_placeholder(const struct node_work *w)
{
	if (!unlinkat(node_dir_fd(&w->dir), node_dir_name(&w->dir), 0) || errno != EPERM)
		return;
	if (!node_map_act_as(w->root_uid, w->root_gid, NULL))
		unlinkat(node_dir_fd(&w->dir), node_dir_name(&w->dir), 0);
	node_map_act_as_root();
}

static int node_insert_inside(void *arg, struct err *e)
{
	struct node_work *w = arg;
	auto_close int dev_fd = -1, file_fd = -1;
	struct node_dir *dir = &w->dir; /* its fds end with this process */
	int r;

	umask(0);
	r = node_enter(&w->host, w->place->mount_ns_fd, &dev_fd, e);
	if (!r)
		r = node_map_act_as(w->root_uid, w->root_gid, e);
	if (r < 0)
		return r;
	r = node_dir_walk(dir, dev_fd, &w->made, e);
	if (!r)
		r = file_fd = node_make_placeholder(w, e);
	node_map_act_as_root();
	if (r >= 0 && move_mount(w->tree_fd, "", file_fd, "",
				 MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		r = err_sys(e, errno, "cannot mount the device node in the container");
	if (r < 0) {
		if (file_fd >= 0)
			node_remove_placeholder(w);
		node_dir_prune(dir, w->made);
		w->made = 0;
		return r;
	}
	return 0;
}

int node_insert(const struct node_place *place, const char *store_dir, const struct node_spec *spec,
		unsigned int *ret_made_dirs, struct err *e)
{
	auto_node_work struct node_work *w = NULL;
	uint32_t uid, gid;
	int r;

	r = node_work_new(&w, place, spec, e);
	if (!r)
		r = node_map_id(place->proc_fd, "uid_map", spec->uid, &uid, e);
	if (!r)
		r = node_map_id(place->proc_fd, "gid_map", spec->gid, &gid, e);
	if (!r)
		r = node_map_id(place->proc_fd, "uid_map", 0, &w->root_uid, e);
	if (!r)
		r = node_map_id(place->proc_fd, "gid_map", 0, &w->root_gid, e);
	if (r < 0)
		return r;
	r = w->tree_fd = node_store_clone(store_dir, spec, uid, gid, e);
	if (r >= 0)
		r = child_run(node_insert_inside, w, place->timeout_ms, e);
	/* A child that was killed may have done everything, or nothing. */
	if (r == -ETIMEDOUT || r == -EIO)
		node_remove(place, spec, w->made, NULL);
	if (r < 0)
		node_disarm(store_dir, &spec->id, NULL);
	else
		*ret_made_dirs = w->made;
	return r;
}

/* --- looking and opening ------------------------------------------------- */

enum node_thing { NODE_ABSENT, NODE_OURS, NODE_PLACEHOLDER, NODE_FOREIGN };

/* What is at the path; *ret_fd (O_PATH) is it, unless absent. */
static enum node_thing node_look(const struct node_work *w, int *ret_fd)
{
	const struct node_spec *spec = w->spec;
	struct statx stx;
	int fd = openat(node_dir_fd(&w->dir), node_dir_name(&w->dir),
			O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return NODE_ABSENT;
	*ret_fd = fd;
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &stx) < 0)
		return NODE_FOREIGN;
	if (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT)
		return S_ISBLK(stx.stx_mode) && stx.stx_rdev_major == spec->id.major &&
				       stx.stx_rdev_minor == spec->id.minor
			       ? NODE_OURS
			       : NODE_FOREIGN;
	/* The device node was unmounted by somebody in the container. */
	return stx.stx_mode == S_IFREG && !stx.stx_size ? NODE_PLACEHOLDER : NODE_FOREIGN;
}

static int node_open_inside(const struct node_work *w, struct err *e)
{
	auto_close int fd = openat(node_dir_fd(&w->dir), node_dir_name(&w->dir),
				   O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0)
		return 0;
	if (errno == EPERM)
		return err_set(e, EACCES,
			       "the device filter of the container does not let it open %s",
			       w->spec->path);
	return err_sys(e, errno, "%s cannot be opened in the container", w->spec->path);
}

/* The cgroup the init process is in now, which may be below the container's; or -1. */
static int node_open_init_cgroup(const struct node_place *place)
{
	auto_close int fd = openat(place->proc_fd, "cgroup", O_RDONLY | O_CLOEXEC);
	const char *root = hierarchy_root();
	char text[PATH_MAX + 1024] = "", path[sizeof(text) + 32];
	char *line;

	if (!root || fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		return -1;
	line = strncmp(text, "0::/", 4) ? strstr(text, "\n0::/") : text;
	if (!line)
		return -1;
	line = strchr(line, '/');
	snprintf(path, sizeof(path), "%s%.*s", root, (int)strcspn(line, "\n"), line);
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int node_join(int cgroup_fd)
{
	auto_close int fd = openat(cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, "0", 1) < 0 ? -errno : 0;
}

/*
 * A cgroup that gives resources to cgroups below it takes no process (EBUSY);
 * device filters of the ones above apply there too.
 */
static int node_join_cgroup(const struct node_work *w, struct err *e)
{
	int r = 0;

	if (w->place->devices_fd >= 0)
		r = node_join(w->place->devices_fd);
	if (r == 0 && w->place->cgroup_fd >= 0)
		r = node_join(w->place->cgroup_fd);
	if (r == -EBUSY && w->init_cgroup_fd >= 0)
		r = node_join(w->init_cgroup_fd);
	return r < 0 ? err_sys(e, -r, "cannot enter the container's cgroup") : 0;
}

static int node_try_inside(void *arg, struct err *e)
{
	struct node_work *w = arg;
	auto_close int dev_fd = -1, node_fd = -1;
	struct node_dir *dir = &w->dir;
	int r;

	r = node_enter(&w->host, w->place->mount_ns_fd, &dev_fd, e);
	if (!r)
		r = node_dir_walk(dir, dev_fd, NULL, e);
	if (r < 0)
		return r;
	if (node_look(w, &node_fd) != NODE_OURS)
		return err_set(e, ENODEV, "%s in the container is not device %" PRIu32 ":%" PRIu32,
			       w->spec->path, w->spec->id.major, w->spec->id.minor);
	/* Last: a frozen cgroup stops the child here. */
	r = node_join_cgroup(w, e);
	return r < 0 ? r : node_open_inside(w, e);
}

static bool node_cgroup_says(int cgroup_fd, const char *file, const char *what)
{
	auto_close int fd = openat(cgroup_fd, file, O_RDONLY | O_CLOEXEC);
	char text[256] = "";

	return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && strstr(text, what);
}

/* Asked to be, itself; or with a cgroup above it, which shows only while nobody in it is dying. */
static bool node_frozen(int cgroup_fd)
{
	return node_cgroup_says(cgroup_fd, "cgroup.freeze", "1") ||
	       node_cgroup_says(cgroup_fd, "cgroup.events", "frozen 1");
}

int node_try(const struct node_place *place, const struct node_spec *spec, struct err *e)
{
	auto_node_work struct node_work *w = NULL;
	bool frozen = place->cgroup_fd >= 0 && node_frozen(place->cgroup_fd);
	int r;

	r = node_work_new(&w, place, spec, e);
	if (r < 0)
		return r;
	w->init_cgroup_fd = node_open_init_cgroup(place);
	r = child_run(node_try_inside, w, place->timeout_ms, e);
	if (r == -ETIMEDOUT && place->cgroup_fd >= 0 && !frozen)
		frozen = node_frozen(place->cgroup_fd);
	if (r == -ETIMEDOUT && frozen)
		return err_set(e, ETIMEDOUT,
			       "the container is frozen, so %s could not be tried in it",
			       spec->path);
	if (r == -ETIMEDOUT)
		return err_prefix(e, r, "trying %s in the container", spec->path);
	return r;
}

/* --- removing ------------------------------------------------------------ */

static int node_unmount(const struct node_work *w, int node_fd, struct err *e)
{
	char link[32];

	/* By descriptor, because the container may have moved something else to the name. */
	snprintf(link, sizeof(link), "self/fd/%d", node_fd);
	if (fchdir(w->host.proc_fd) < 0 || umount2(link, MNT_DETACH) < 0)
		return err_sys(e, errno, "cannot unmount %s in the container", w->spec->path);
	return 0;
}

static int node_remove_inside(void *arg, struct err *e)
{
	struct node_work *w = arg;
	auto_close int dev_fd = -1, node_fd = -1;
	struct node_dir *dir = &w->dir;
	enum node_thing thing;
	int r;

	r = node_enter(&w->host, w->place->mount_ns_fd, &dev_fd, e);
	if (!r)
		r = node_dir_walk(dir, dev_fd, NULL, e);
	/* A container that took its /dev or the directory away took the node with it. */
	if (r < 0)
		goto prune;
	thing = node_look(w, &node_fd);
	if (thing == NODE_OURS) {
		r = node_unmount(w, node_fd, e);
		if (r < 0)
			return r;
		close_fdp(&node_fd);
		thing = node_look(w, &node_fd);
	}
	if (thing == NODE_PLACEHOLDER)
		node_remove_placeholder(w);
prune:
	node_dir_prune(dir, w->made);
	return r == -ENOTSUP || r == -ENOENT || r == -ENOTDIR || r == -EXDEV ? 0 : r;
}

int node_remove(const struct node_place *place, const struct node_spec *spec,
		unsigned int made_dirs, struct err *e)
{
	auto_node_work struct node_work *w = NULL;
	int r;

	r = node_work_new(&w, place, spec, e);
	if (r < 0)
		return r;
	w->made = made_dirs;
	if (node_map_id(place->proc_fd, "uid_map", 0, &w->root_uid, NULL) < 0 ||
	    node_map_id(place->proc_fd, "gid_map", 0, &w->root_gid, NULL) < 0)
		w->root_uid = w->root_gid = 0; /* it has ended, or has no root */
	r = child_run(node_remove_inside, w, place->timeout_ms, e);
	return r == -ETIMEDOUT ? err_prefix(e, r, "removing %s from the container", spec->path) : r;
}
