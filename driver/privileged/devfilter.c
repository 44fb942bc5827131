/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/devfilter.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/bpf.h"
#include "driver/privileged/devfilter_bpf.h"
#include "driver/privileged/devfilter_pins.h"
#include "driver/privileged/devfilter_print.h"
#include "driver/privileged/devfilter_v1.h"
#include "driver/privileged/devfilter_wrap.h"
#include "driver/privileged/dir_lock.h"

#define DEVFILTER_CGROUP_PATH_MAX 4096
#define DEVFILTER_OWN ""	 /* level: the container's cgroup */
#define DEVFILTER_SCOPE "-scope" /* level: the scope around it */
#define BPFFS "/sys/fs/bpf"

static bool is_bpffs(const char *path)
{
	struct statfs s;

	return !statfs(path, &s) && s.f_type == BPF_FS_MAGIC;
}

int devfilter_open(const char *dir, struct err *e)
{
	if (!is_bpffs(BPFFS) &&
	    mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		return err_sys(e, errno, "cannot mount a bpf file system at " BPFFS);
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "cannot make %s", dir);
	if (!is_bpffs(dir))
		return err_set(e, EINVAL, "%s is not on a bpf file system", dir);
	return 0;
}

static int devfilter_inode(int cgroup_fd, uint64_t *ret, struct err *e)
{
	struct stat st;

	if (fstat(cgroup_fd, &st) < 0)
		return err_sys(e, errno, "cannot look at the cgroup");
	*ret = st.st_ino;
	return 0;
}

int devfilter_scope_open(int cgroup_fd)
{
	static const char tail[] = ".scope/container";
	char link[64], path[DEVFILTER_CGROUP_PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", cgroup_fd);
	n = readlink(link, path, sizeof(path));
	if (n < (ssize_t)strlen(tail) || n == sizeof(path) ||
	    memcmp(path + n - strlen(tail), tail, strlen(tail)) != 0)
		return -1;
	return openat(cgroup_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int devfilter_add(struct devfilter_pins *d, const struct devfilter_key *key,
			 unsigned int how, struct err *e)
{
	uint32_t access = BPF_DEVCG_ACC_READ | (how & DEVFILTER_WRITE ? BPF_DEVCG_ACC_WRITE : 0);
	int r;

	if (mkdir(d->dir, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "cannot make %s", d->dir);
	r = devfilter_pins_map_open(d, e);
	if (r < 0)
		return r;
	r = bpf_map_put(d->map_fd, key, &access);
	if (r < 0)
		return err_sys(e, -r, "cannot put the device into the bpf map");
	return devfilter_wrap_all(d, how, e);
}

static int devfilter_allow_in(const char *dir, uint64_t inode, const char *level, int cgroup_fd,
			      const struct devfilter_key *key, unsigned int how, struct err *e)
{
	auto_devfilter_pins struct devfilter_pins d = DEVFILTER_PINS_INIT;
	int r;

	d.cgroup_fd = cgroup_fd;
	r = devfilter_pins_begin(&d, dir, inode, level, e);
	if (!r)
		r = devfilter_pins_query(&d, e);
	/* Nothing is filtered here, so nothing keeps the container from the device. */
	if (r < 0 || !d.nr_attached)
		return r;
	r = devfilter_add(&d, key, how, e);
	if (r < 0) {
		if (d.map_fd >= 0)
			bpf_map_remove(d.map_fd, key);
		devfilter_wrap_end_if_empty(&d, NULL);
	}
	return r;
}

int devfilter_allow(const char *dir, int cgroup_fd, uint32_t major, uint32_t minor,
		    unsigned int how, struct err *e)
{
	struct devfilter_key key = { major, minor };
	auto_close int scope_fd = -1;
	uint64_t inode = 0;
	int r;

	if (devfilter_v1_is(cgroup_fd))
		return devfilter_v1_allow(cgroup_fd, major, minor, how, e);
	r = devfilter_inode(cgroup_fd, &inode, e);
	if (!r)
		r = devfilter_allow_in(dir, inode, DEVFILTER_OWN, cgroup_fd, &key, how, e);
	if (r < 0)
		return r;
	scope_fd = devfilter_scope_open(cgroup_fd);
	if (scope_fd < 0)
		return 0;
	r = devfilter_allow_in(dir, inode, DEVFILTER_SCOPE, scope_fd, &key, how, e);
	if (r < 0)
		devfilter_revoke(dir, cgroup_fd, major, minor, NULL);
	return r;
}

/* --- what is there -------------------------------------------------------------------------- */

static int devfilter_query_at(struct devfilter_pins *d, const char *dir, uint64_t inode,
			      const char *level, uint64_t *print, struct err *e)
{
	int r = devfilter_pins_name(d, dir, inode, level, e);

	if (!r)
		r = devfilter_pins_query(d, e);
	if (r < 0)
		return r;
	devfilter_print_add(print, &d->nr_attached, sizeof(d->nr_attached));
	devfilter_print_add(print, d->attached, d->nr_attached * sizeof(d->attached[0]));
	return 0;
}

/* Whose the programs are that were asked for. */
static int devfilter_judge(struct devfilter_pins *d, struct devfilter_look *look, struct err *e)
{
	uint32_t nr_ours = 0;
	int r = devfilter_wrap_skip(d, e);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < d->nr_attached; i++)
		nr_ours += !d->attached[i];
	look->ours &= nr_ours == d->nr_attached;
	look->wrapped |= nr_ours > 0;
	look->systemds |= devfilter_wrap_skip_systemds(d, false);
	return 0;
}

int devfilter_look(const char *dir, int cgroup_fd, uint64_t known, struct devfilter_look *ret,
		   struct err *e)
{
	auto_devfilter_pins struct devfilter_pins own = DEVFILTER_PINS_INIT,
						  scope = DEVFILTER_PINS_INIT;
	auto_close int scope_fd = -1;
	uint64_t inode = 0;
	int r;

	*ret = (struct devfilter_look){ .print = DEVFILTER_PRINT_INIT, .ours = true };
	if (devfilter_v1_is(cgroup_fd))
		return devfilter_v1_look(cgroup_fd, ret, e);
	scope_fd = devfilter_scope_open(cgroup_fd);
	own.cgroup_fd = cgroup_fd;
	scope.cgroup_fd = scope_fd;
	r = devfilter_inode(cgroup_fd, &inode, e);
	if (!r)
		r = devfilter_query_at(&own, dir, inode, DEVFILTER_OWN, &ret->print, e);
	if (!r && scope_fd >= 0)
		r = devfilter_query_at(&scope, dir, inode, DEVFILTER_SCOPE, &ret->print, e);
	if (r < 0 || ret->print == known)
		return r;
	r = devfilter_judge(&own, ret, e);
	return r < 0 || scope_fd < 0 ? r : devfilter_judge(&scope, ret, e);
}

/* --- the way back -------------------------------------------------------------------------- */

/*
 * cgroup_fd is -1 when there is no cgroup any more, only pins. stray: NULL, or whom to ask
 * whether it is wanted.
 */
static int devfilter_take_out(const char *dir, uint64_t inode, const char *level, int cgroup_fd,
			      const struct devfilter_key *key, const struct devfilter_stray *stray,
			      struct err *e)
{
	auto_devfilter_pins struct devfilter_pins d = DEVFILTER_PINS_INIT;
	char path[DEVFILTER_PINS_PATH_MAX];
	int r;

	d.cgroup_fd = cgroup_fd;
	r = devfilter_pins_begin(&d, dir, inode, level, e);
	if (r < 0)
		return r;
	if (stray && stray->wanted(stray->arg))
		return err_set(e, EBUSY, "it is somebody's by now");
	d.map_fd = bpf_open(devfilter_pins_path(&d, path, 'm', 0));
	if (d.map_fd < 0 && d.map_fd != -ENOENT)
		return err_sys(e, -d.map_fd, "cannot open %s", path);
	if (d.map_fd >= 0) {
		r = bpf_map_remove(d.map_fd, key);
		if (r < 0 && r != -ENOENT)
			return err_sys(e, -r, "cannot take the device out of the bpf map");
	}
	return devfilter_wrap_end_if_empty(&d, e);
}

int devfilter_revoke(const char *dir, int cgroup_fd, uint32_t major, uint32_t minor, struct err *e)
{
	struct devfilter_key key = { major, minor };
	auto_close int scope_fd = -1;
	uint64_t inode = 0;
	int r, r_scope;

	if (devfilter_v1_is(cgroup_fd))
		return devfilter_v1_deny(cgroup_fd, major, minor, e);
	r = devfilter_inode(cgroup_fd, &inode, e);
	if (r < 0)
		return r;
	scope_fd = devfilter_scope_open(cgroup_fd);
	r = devfilter_take_out(dir, inode, DEVFILTER_OWN, cgroup_fd, &key, NULL, e);
	r_scope = devfilter_take_out(dir, inode, DEVFILTER_SCOPE, scope_fd, &key, NULL,
				     r < 0 ? NULL : e);
	return r < 0 ? r : r_scope;
}

int devfilter_forget(const char *dir, uint64_t cgroup_inode, uint32_t major, uint32_t minor,
		     struct err *e)
{
	struct devfilter_key key = { major, minor };
	int r, r_scope;

	r = devfilter_take_out(dir, cgroup_inode, DEVFILTER_OWN, -1, &key, NULL, e);
	r_scope = devfilter_take_out(dir, cgroup_inode, DEVFILTER_SCOPE, -1, &key, NULL,
				     r < 0 ? NULL : e);
	return r < 0 ? r : r_scope;
}

/* --- what nobody wants --------------------------------------------------------------------- */

int devfilter_reclaim(const char *dir, const struct devfilter_stray *stray, struct err *e)
{
	struct devfilter_key key = { stray->major, stray->minor };
	auto_close int scope_fd =
		stray->cgroup_fd < 0 ? -1 : devfilter_scope_open(stray->cgroup_fd);
	int r, r_scope;

	r = devfilter_take_out(dir, stray->cgroup_inode, DEVFILTER_OWN, stray->cgroup_fd, &key,
			       stray, e);
	r_scope = devfilter_take_out(dir, stray->cgroup_inode, DEVFILTER_SCOPE, scope_fd, &key,
				     stray, r < 0 ? NULL : e);
	return r < 0 ? r : r_scope;
}

/* The devices in one map, or 0:0. */
static int devfilter_each_device(const char *pins, uint64_t inode,
				 int (*found)(void *arg, uint64_t cgroup_inode, uint32_t major,
					      uint32_t minor),
				 void *arg)
{
	struct devfilter_key key = { 0, 0 }, next;
	char path[DEVFILTER_PINS_PATH_MAX];
	auto_close int map_fd = -1;
	unsigned int n = 0;
	int r;

	if (snprintf(path, sizeof(path), "%s/map", pins) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	map_fd = bpf_open(path);
	if (map_fd < 0)
		return map_fd == -ENOENT ? found(arg, inode, 0, 0) : map_fd;
	for (r = bpf_map_first(map_fd, &next); r == 0 && n < DEVFILTER_PINS_DEVICES_MAX; n++) {
		key = next;
		r = found(arg, inode, key.major, key.minor);
		if (r == 0)
			r = bpf_map_next(map_fd, &key, &next);
	}
	if (r < 0 && r != -ENOENT)
		return r;
	return n ? 0 : found(arg, inode, 0, 0);
}

int devfilter_each(const char *dir, int timeout_ms,
		   int (*found)(void *arg, uint64_t cgroup_inode, uint32_t major, uint32_t minor),
		   void *arg, struct err *e)
{
	auto_close int lock_fd = -1;
	auto_closedir DIR *d = NULL;
	char pins[DEVFILTER_PINS_PATH_MAX];
	struct dirent *entry;
	uint64_t inode;
	char *end;
	int r;

	r = dir_lock(AT_FDCWD, dir, timeout_ms, &lock_fd, e);
	if (r < 0)
		return r;
	d = opendir(dir);
	if (!d)
		return err_sys(e, errno, "cannot read %s", dir);
	while ((entry = readdir(d))) {
		inode = strtoull(entry->d_name, &end, 10);
		if (end == entry->d_name ||
		    (strcmp(end, DEVFILTER_OWN) && strcmp(end, DEVFILTER_SCOPE)) ||
		    snprintf(pins, sizeof(pins), "%s/%s", dir, entry->d_name) >= (int)sizeof(pins))
			continue; /* no pins of ours */
		r = devfilter_each_device(pins, inode, found, arg);
		if (r < 0)
			return err_sys(e, -r, "cannot read the pins in %s", pins);
	}
	return 0;
}
