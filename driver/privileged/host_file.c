/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/host_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "driver/privileged/child.h"
#include "driver/privileged/mountinfo.h"
#include "driver/privileged/walk.h"

#define HOST_FILE_MODE 0600

struct host_file_work {
	const struct node_place *place;
	const struct host_file_spec *spec;
	int tree_fd;
	int proc_fd;
};

/* The directory a file is in, and its name there: an fd or -errno. */
static int host_file_above(const struct host_file_work *w, const char *path, const char **ret_name)
{
	auto_close int root_fd = -1;
	char above[PATH_MAX]; /* where it is by now may be longer than where it was put */
	const char *name = strrchr(path, '/') + 1;
	int r;

	r = host_dir_enter(w->place->mount_ns_fd, &root_fd, NULL);
	if (r < 0)
		return r;
	*ret_name = name;
	if (text_copy(above, sizeof(above), path + 1) < 0)
		return -ENAMETOOLONG;
	if (name == path + 1)
		return fd_take(&root_fd);
	above[name - path - 2] = '\0';
	return walk_down(root_fd, above, WALK_DIRECTORY);
}

static bool host_file_is_there(const struct host_file_work *w, int above_fd, const char *name)
{
	struct statx stx;

	return !statx(above_fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
		      STATX_TYPE, &stx) &&
	       stx.stx_attributes & STATX_ATTR_MOUNT_ROOT && S_ISBLK(stx.stx_mode) &&
	       stx.stx_rdev_major == w->spec->id.major && stx.stx_rdev_minor == w->spec->id.minor;
}

static int host_file_insert_inside(void *arg, struct err *e)
{
	const struct host_file_work *w = arg;
	auto_close int root_fd = -1, file_fd = -1;
	int r;

	r = host_dir_enter(w->place->mount_ns_fd, &root_fd, e);
	if (r < 0)
		return r;
	file_fd = host_dir_open(root_fd, HOST_FILE, w->spec->path, w->spec->file, w->spec->uid, e);
	if (file_fd < 0)
		return file_fd;
	if (move_mount(w->tree_fd, "", file_fd, "",
		       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_sys(e, errno, "cannot put the device at %s on the host", w->spec->path);
	return 0;
}

static int host_file_look_inside(void *arg, struct err *e)
{
	const struct host_file_work *w = arg;
	const char *name;
	auto_close int above_fd = host_file_above(w, w->spec->path, &name);

	if (above_fd >= 0 && host_file_is_there(w, above_fd, name))
		return 0;
	return err_set(e, ENOENT, "%s on the host is not this device", w->spec->path);
}

/*
 * By its name in a directory that is held open, after what is there was seen to be ours. -ENOENT:
 * it was not.
 */
static int host_file_remove_at(const struct host_file_work *w, const char *path)
{
	const char *name;
	auto_close int above_fd = host_file_above(w, path, &name);

	if (above_fd < 0 || !host_file_is_there(w, above_fd, name))
		return -ENOENT;
	return fchdir(above_fd) < 0 || umount2(name, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
}

/*
 * Not where it was put, it may be elsewhere, since a directory on the way has another name by now;
 * or something is mounted over that, until which is gone nobody comes to it.
 */
static int host_file_remove_others(const struct host_file_work *w, struct err *e)
{
	auto_mountinfo struct mountinfo m = MOUNTINFO_INIT;
	struct mountinfo_entry entry;
	int r;

	r = mountinfo_open(&m, w->proc_fd, "self/mountinfo");
	while (r == 0 && (r = mountinfo_next(&m, &entry)) > 0) {
		r = 0;
		if (node_is_root(&w->spec->id, entry.root) &&
		    host_file_remove_at(w, entry.point) < 0)
			return err_set(
				e, EBUSY,
				"what was put at %s on the host is still there, and cannot be "
				"reached: something is mounted over it",
				w->spec->path);
	}
	return r < 0 ? err_sys(e, -r, "cannot read the host's list of mounts") : 0;
}

static int host_file_remove_inside(void *arg, struct err *e)
{
	const struct host_file_work *w = arg;
	int r = host_file_remove_at(w, w->spec->path);

	if (r == -ENOENT)
		return host_file_remove_others(w, e);
	return r < 0 ? err_sys(e, -r, "cannot take %s on the host away", w->spec->path) : 0;
}

static int host_file_run(struct host_file_work *w, int (*inside)(void *arg, struct err *e),
			 struct err *e)
{
	int r = child_run(inside, w, w->place->timeout_ms, e);

	return r == -ETIMEDOUT ? err_prefix(e, r, "%s on the host", w->spec->path) : r;
}

int host_file_insert(const struct node_place *place, const char *store_dir,
		     const struct host_file_spec *spec, struct err *e)
{
	const struct node_spec node = { .id = spec->id, .mode = HOST_FILE_MODE };
	auto_close int tree_fd = node_store_clone(store_dir, &node, 0, 0, e);
	struct host_file_work w = { place, spec, tree_fd, -1 };
	int r;

	if (tree_fd < 0)
		return tree_fd;
	r = host_file_run(&w, host_file_insert_inside, e);
	/* A child that was killed may have done everything, or nothing. */
	if (r < 0)
		host_file_remove(place, store_dir, spec, NULL);
	return r;
}

int host_file_look(const struct node_place *place, const struct host_file_spec *spec, struct err *e)
{
	struct host_file_work w = { place, spec, -1, -1 };

	return host_file_run(&w, host_file_look_inside, e);
}

/* Where it is still mounted its mode lets nobody open it. */
int host_file_remove(const struct node_place *place, const char *store_dir,
		     const struct host_file_spec *spec, struct err *e)
{
	auto_close int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct host_file_work w = { place, spec, -1, proc_fd };
	struct err why = { "" };
	int r, disarmed;

	if (proc_fd < 0)
		return err_sys(e, errno, "cannot open /proc");
	r = host_file_run(&w, host_file_remove_inside, &why);
	disarmed = node_disarm(store_dir, &spec->id, e);
	if (r < 0)
		return err_set(e, -r, "%s", why.text);
	return disarmed;
}
