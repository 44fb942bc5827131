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
#include "driver/privileged/devfilter_print.h"
#include "driver/privileged/devfilter_v1.h"
#include "driver/privileged/dir_lock.h"

#define DEVFILTER_DEVICES_MAX 1024
#define DEVFILTER_PROGRAMS_MAX 64 /* the kernel's own limit for one cgroup */
#define DEVFILTER_LOCK_MS 5000
#define DEVFILTER_PATH_MAX 256
#define DEVFILTER_CGROUP_PATH_MAX 4096
#define DEVFILTER_OWN ""		/* level: the container's cgroup */
#define DEVFILTER_SCOPE "-scope"	/* level: the scope around it */
#define DEVFILTER_SYSTEMDS "sd_devices" /* what systemd calls its programs */
#define BPFFS "/sys/fs/bpf"

/*
 * One cgroup's pins, in dir/<cgroup inode>/ (and those of the scope around it in
 * dir/<cgroup inode>-scope/): "map", and for each program that
 * was replaced "o<id>" (the original; <id> is its number, which stays taken
 * while it is pinned), "a<id>" (the array with it) and "w<id>" (the wrapper).
 * "w" is pinned last: a wrapper without the other two is never attached.
 */
struct devfilter {
	char dir[DEVFILTER_PATH_MAX];
	int lock_fd;
	int cgroup_fd;
	int map_fd;
	uint32_t attach_flags;
	uint32_t nr_attached;
	uint32_t attached[DEVFILTER_PROGRAMS_MAX];
};

static void devfilter_close(struct devfilter *d)
{
	close_fdp(&d->map_fd);
	close_fdp(&d->lock_fd);
}

#define auto_devfilter cleanup_with(devfilter_close)
#define DEVFILTER_INIT                                                                             \
	{                                                                                          \
		.lock_fd = -1, .cgroup_fd = -1, .map_fd = -1                                       \
	}

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

static int devfilter_name(struct devfilter *d, const char *dir, uint64_t inode, const char *level,
			  struct err *e)
{
	if (snprintf(d->dir, sizeof(d->dir), "%s/%" PRIu64 "%s", dir, inode, level) >=
	    (int)sizeof(d->dir) - 32)
		return err_set(e, ENAMETOOLONG, "the path of the bpf pins is too long");
	return 0;
}

static int devfilter_begin(struct devfilter *d, const char *dir, uint64_t inode, const char *level,
			   struct err *e)
{
	int r = devfilter_name(d, dir, inode, level, e);

	/* Requests of several processes for one cgroup must not mix. */
	return r < 0 ? r : dir_lock(AT_FDCWD, dir, DEVFILTER_LOCK_MS, &d->lock_fd, e);
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

/* kind 'w', 'a' or 'o' with the original's id; 'm' is the map. */
static const char *devfilter_pin(const struct devfilter *d, char path[DEVFILTER_PATH_MAX],
				 char kind, uint32_t id)
{
	if (kind == 'm')
		snprintf(path, DEVFILTER_PATH_MAX, "%s/map", d->dir);
	else
		snprintf(path, DEVFILTER_PATH_MAX, "%s/%c%" PRIu32, d->dir, kind, id);
	return path;
}

static void devfilter_unpin(const struct devfilter *d, uint32_t id)
{
	char path[DEVFILTER_PATH_MAX];

	for (const char *kind = "wao"; *kind; kind++)
		unlink(devfilter_pin(d, path, *kind, id));
}

/* Calls each for the id of every "w<id>" until it fails. */
static int devfilter_each_wrapper(struct devfilter *d,
				  int (*each)(struct devfilter *d, uint32_t id, struct err *e),
				  struct err *e)
{
	auto_closedir DIR *dir = opendir(d->dir);
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return errno == ENOENT ? 0 : err_sys(e, errno, "cannot read %s", d->dir);
	while (!r && (entry = readdir(dir))) {
		if (entry->d_name[0] == 'w')
			r = each(d, (uint32_t)strtoul(entry->d_name + 1, NULL, 10), e);
	}
	return r;
}

/* Whatever is pinned for this cgroup. */
static int devfilter_remove_pins(const struct devfilter *d, struct err *e)
{
	auto_closedir DIR *dir = opendir(d->dir);
	struct dirent *entry;

	if (!dir)
		return errno == ENOENT ? 0 : err_sys(e, errno, "cannot read %s", d->dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	if (rmdir(d->dir) < 0)
		return err_sys(e, errno, "cannot remove %s", d->dir);
	return 0;
}

/* Which programs are attached to this cgroup itself. */
static int devfilter_query(struct devfilter *d, struct err *e)
{
	struct bpf_attached attached = { .ids = d->attached, .nr = DEVFILTER_PROGRAMS_MAX };
	int r = bpf_attached(d->cgroup_fd, BPF_CGROUP_DEVICE, &attached);

	if (r < 0)
		return err_sys(e, -r, "cannot ask which device programs the cgroup has");
	d->nr_attached = attached.nr;
	d->attach_flags = attached.flags;
	return 0;
}

static bool devfilter_attached(const struct devfilter *d, uint32_t prog_id)
{
	for (uint32_t i = 0; i < d->nr_attached; i++) {
		if (d->attached[i] == prog_id)
			return true;
	}
	return false;
}

/* The kernel's number of the wrapper pinned for original id; 0 is never a program. */
static uint32_t devfilter_wrapper_id(const struct devfilter *d, uint32_t id)
{
	char path[DEVFILTER_PATH_MAX];
	auto_close int fd = bpf_open(devfilter_pin(d, path, 'w', id));
	uint32_t wrapper_id = 0;

	return fd < 0 || bpf_program_id(fd, &wrapper_id) < 0 ? 0 : wrapper_id;
}

/*
 * Only a cgroup that allows several programs knows REPLACE. Elsewhere an attach
 * with the same flags takes the place of the one that is there.
 */
static int devfilter_replace(const struct devfilter *d, int old_fd, int new_fd)
{
	uint32_t replace = d->attach_flags & BPF_F_ALLOW_MULTI ? BPF_F_REPLACE : 0;

	return bpf_attach(d->cgroup_fd, BPF_CGROUP_DEVICE, new_fd, d->attach_flags | replace,
			  old_fd);
}

static int devfilter_map_open(struct devfilter *d, struct err *e)
{
	static const struct bpf_map_shape shape = {
		.type = BPF_MAP_TYPE_HASH,
		.name = "ublk_devices",
		.key_bytes = sizeof(struct devfilter_key),
		.value_bytes = sizeof(uint32_t),
		.entries = DEVFILTER_DEVICES_MAX,
		.flags = BPF_F_NO_PREALLOC,
	};
	char path[DEVFILTER_PATH_MAX];
	int r;

	devfilter_pin(d, path, 'm', 0);
	d->map_fd = bpf_open(path);
	if (d->map_fd >= 0)
		return 0;
	if (d->map_fd != -ENOENT)
		return err_sys(e, -d->map_fd, "cannot open %s", path);
	d->map_fd = bpf_map_make(&shape);
	if (d->map_fd < 0)
		return err_sys(e, -d->map_fd, "cannot make a bpf map");
	r = bpf_pin(d->map_fd, path);
	return r < 0 ? err_sys(e, -r, "cannot pin %s", path) : 0;
}

/*
 * Loads a wrapper and fills its array. An array takes only programs loaded with
 * the attach type of the program that uses it (6.18 and later), and what the
 * original was loaded with cannot be asked: runtimes leave it 0.
 */
static int devfilter_wrap(const struct devfilter *d, int original_fd, int *ret_array_fd,
			  int *ret_wrapper_fd, struct err *e)
{
	static const enum bpf_attach_type types[] = { 0, BPF_CGROUP_DEVICE };
	static const struct bpf_map_shape shape = {
		.type = BPF_MAP_TYPE_PROG_ARRAY,
		.name = "ublk_original",
		.key_bytes = sizeof(uint32_t),
		.value_bytes = sizeof(uint32_t),
		.entries = 1,
	};
	uint32_t slot = 0;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		auto_close int array_fd = bpf_map_make(&shape);
		auto_close int wrapper_fd = -1;

		if (array_fd < 0)
			return err_sys(e, -array_fd, "cannot make a bpf program array");
		wrapper_fd = devfilter_bpf_load(d->map_fd, array_fd, types[i]);
		if (wrapper_fd < 0)
			return err_sys(e, -wrapper_fd, "cannot load a bpf device program");
		r = bpf_map_put(array_fd, &slot, &original_fd);
		if (!r) {
			*ret_array_fd = fd_take(&array_fd);
			*ret_wrapper_fd = fd_take(&wrapper_fd);
			return 0;
		}
	}
	return err_sys(e, -r, "the cgroup's own device program cannot be called from another");
}

static int devfilter_pin_all(const struct devfilter *d, uint32_t id, int original_fd, int array_fd,
			     int wrapper_fd, struct err *e)
{
	const struct {
		char kind;
		int fd;
	} pins[] = { { 'o', original_fd }, { 'a', array_fd }, { 'w', wrapper_fd } };

	for (size_t i = 0; i < ARRAY_SIZE(pins); i++) {
		char path[DEVFILTER_PATH_MAX];
		int r = bpf_pin(pins[i].fd, devfilter_pin(d, path, pins[i].kind, id));

		if (r < 0)
			return err_sys(e, -r, "cannot pin %s", path);
	}
	return 0;
}

/* Puts a wrapper in the place of program id. */
static int devfilter_take_over(const struct devfilter *d, uint32_t id, struct err *e)
{
	auto_close int original_fd = bpf_program_open(id), array_fd = -1, wrapper_fd = -1;
	int r;

	if (original_fd < 0)
		return err_sys(e, -original_fd, "cannot open the cgroup's device program %" PRIu32,
			       id);
	devfilter_unpin(d, id); /* of somebody killed before the replacing below */
	r = devfilter_wrap(d, original_fd, &array_fd, &wrapper_fd, e);
	if (r < 0)
		return r;
	r = devfilter_pin_all(d, id, original_fd, array_fd, wrapper_fd, e);
	if (!r) {
		r = devfilter_replace(d, original_fd, wrapper_fd);
		if (r < 0)
			err_sys(e, -r, "cannot replace the cgroup's device program %" PRIu32, id);
	}
	if (r < 0)
		devfilter_unpin(d, id);
	return r;
}

/* A runtime that rebuilt its program left this wrapper unused. */
static int devfilter_drop_unused(struct devfilter *d, uint32_t id, struct err *e)
{
	if (!devfilter_attached(d, devfilter_wrapper_id(d, id)))
		devfilter_unpin(d, id);
	return 0;
}

/* Removes the numbers of our own wrappers from the list of what is attached. */
static int devfilter_skip_wrapper(struct devfilter *d, uint32_t id, struct err *e)
{
	uint32_t wrapper_id = devfilter_wrapper_id(d, id);

	for (uint32_t i = 0; i < d->nr_attached; i++) {
		if (d->attached[i] == wrapper_id)
			d->attached[i] = 0;
	}
	return 0;
}

static bool devfilter_is_systemds(int program_fd)
{
	char name[BPF_OBJ_NAME_LEN];

	return program_fd >= 0 && bpf_program_name(program_fd, name) == 0 &&
	       !strcmp(name, DEVFILTER_SYSTEMDS);
}

/*
 * Behind this wrapper is a program of systemd's, which has attached another since: the old one
 * would go on to decide by what its unit said before.
 */
static int devfilter_drop_replaced(struct devfilter *d, uint32_t id, struct err *e)
{
	char path[DEVFILTER_PATH_MAX];
	auto_close int original_fd = bpf_open(devfilter_pin(d, path, 'o', id));
	auto_close int wrapper_fd = bpf_open(devfilter_pin(d, path, 'w', id));
	int r;

	if (wrapper_fd < 0 || !devfilter_is_systemds(original_fd))
		return 0;
	r = bpf_detach(d->cgroup_fd, BPF_CGROUP_DEVICE, wrapper_fd);
	if (r < 0 && r != -ENOENT)
		return err_sys(e, -r, "cannot detach a program systemd has replaced");
	devfilter_unpin(d, id);
	return 0;
}

/* Forgets those of systemd's among what is attached, or only tells whether there are any. */
static bool devfilter_skip_systemds(struct devfilter *d, bool forget)
{
	bool any = false;

	for (uint32_t i = 0; i < d->nr_attached; i++) {
		auto_close int fd = d->attached[i] ? bpf_program_open(d->attached[i]) : -1;

		if (!devfilter_is_systemds(fd))
			continue;
		any = true;
		if (forget)
			d->attached[i] = 0;
	}
	return any;
}

/* Every attached program is one of our wrappers afterwards, but for systemd's with IN_UNIT. */
static int devfilter_take_over_all(struct devfilter *d, unsigned int how, struct err *e)
{
	int r;

	r = devfilter_each_wrapper(d, devfilter_drop_unused, e);
	if (!r)
		r = devfilter_each_wrapper(d, devfilter_skip_wrapper, e);
	if (!r && devfilter_skip_systemds(d, how & DEVFILTER_IN_UNIT))
		r = devfilter_each_wrapper(d, devfilter_drop_replaced, e);
	for (uint32_t i = 0; !r && i < d->nr_attached; i++) {
		if (d->attached[i])
			r = devfilter_take_over(d, d->attached[i], e);
	}
	return r;
}

/* Puts the program back that this wrapper replaced, if the wrapper is still in use. */
static int devfilter_restore(struct devfilter *d, uint32_t id, struct err *e)
{
	char path[DEVFILTER_PATH_MAX];
	auto_close int original_fd = -1, wrapper_fd = -1;
	int r;

	if (!devfilter_attached(d, devfilter_wrapper_id(d, id)))
		return 0;
	wrapper_fd = bpf_open(devfilter_pin(d, path, 'w', id));
	if (wrapper_fd < 0)
		return err_sys(e, -wrapper_fd, "cannot open %s", path);
	original_fd = bpf_open(devfilter_pin(d, path, 'o', id));
	if (original_fd < 0)
		return err_sys(e, -original_fd, "cannot open %s", path);
	r = devfilter_replace(d, wrapper_fd, original_fd);
	if (r < 0 && r != -ENOENT)
		return err_sys(e, -r, "cannot put the cgroup's device program %" PRIu32 " back",
			       id);
	return 0;
}

static bool devfilter_empty(const struct devfilter *d)
{
	struct devfilter_key key;

	return bpf_map_first(d->map_fd, &key) == -ENOENT;
}

/* With no device left: the cgroup as the runtime made it, and no pins. */
static int devfilter_end_if_empty(struct devfilter *d, struct err *e)
{
	int r;

	if (d->map_fd >= 0 && !devfilter_empty(d))
		return 0;
	/* A cgroup that is gone has nothing to restore. */
	if (!devfilter_query(d, NULL)) {
		r = devfilter_each_wrapper(d, devfilter_restore, e);
		if (r < 0)
			return r;
	}
	return devfilter_remove_pins(d, e);
}

static int devfilter_add(struct devfilter *d, const struct devfilter_key *key, unsigned int how,
			 struct err *e)
{
	uint32_t access = BPF_DEVCG_ACC_READ | (how & DEVFILTER_WRITE ? BPF_DEVCG_ACC_WRITE : 0);
	int r;

	if (mkdir(d->dir, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "cannot make %s", d->dir);
	r = devfilter_map_open(d, e);
	if (r < 0)
		return r;
	r = bpf_map_put(d->map_fd, key, &access);
	if (r < 0)
		return err_sys(e, -r, "cannot put the device into the bpf map");
	return devfilter_take_over_all(d, how, e);
}

static int devfilter_allow_in(const char *dir, uint64_t inode, const char *level, int cgroup_fd,
			      const struct devfilter_key *key, unsigned int how, struct err *e)
{
	auto_devfilter struct devfilter d = DEVFILTER_INIT;
	int r;

	d.cgroup_fd = cgroup_fd;
	r = devfilter_begin(&d, dir, inode, level, e);
	if (!r)
		r = devfilter_query(&d, e);
	/* Nothing is filtered here, so nothing keeps the container from the device. */
	if (r < 0 || !d.nr_attached)
		return r;
	r = devfilter_add(&d, key, how, e);
	if (r < 0) {
		if (d.map_fd >= 0)
			bpf_map_remove(d.map_fd, key);
		devfilter_end_if_empty(&d, NULL);
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

static int devfilter_query_at(struct devfilter *d, const char *dir, uint64_t inode,
			      const char *level, uint64_t *print, struct err *e)
{
	int r = devfilter_name(d, dir, inode, level, e);

	if (!r)
		r = devfilter_query(d, e);
	if (r < 0)
		return r;
	devfilter_print_add(print, &d->nr_attached, sizeof(d->nr_attached));
	devfilter_print_add(print, d->attached, d->nr_attached * sizeof(d->attached[0]));
	return 0;
}

/* Whose the programs are that were asked for. */
static int devfilter_judge(struct devfilter *d, struct devfilter_look *look, struct err *e)
{
	uint32_t nr_ours = 0;
	int r = devfilter_each_wrapper(d, devfilter_skip_wrapper, e);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < d->nr_attached; i++)
		nr_ours += !d->attached[i];
	look->ours &= nr_ours == d->nr_attached;
	look->wrapped |= nr_ours > 0;
	look->systemds |= devfilter_skip_systemds(d, false);
	return 0;
}

int devfilter_look(const char *dir, int cgroup_fd, uint64_t known, struct devfilter_look *ret,
		   struct err *e)
{
	auto_devfilter struct devfilter own = DEVFILTER_INIT, scope = DEVFILTER_INIT;
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
	auto_devfilter struct devfilter d = DEVFILTER_INIT;
	char path[DEVFILTER_PATH_MAX];
	int r;

	d.cgroup_fd = cgroup_fd;
	r = devfilter_begin(&d, dir, inode, level, e);
	if (r < 0)
		return r;
	if (stray && stray->wanted(stray->arg))
		return err_set(e, EBUSY, "it is somebody's by now");
	d.map_fd = bpf_open(devfilter_pin(&d, path, 'm', 0));
	if (d.map_fd < 0 && d.map_fd != -ENOENT)
		return err_sys(e, -d.map_fd, "cannot open %s", path);
	if (d.map_fd >= 0) {
		r = bpf_map_remove(d.map_fd, key);
		if (r < 0 && r != -ENOENT)
			return err_sys(e, -r, "cannot take the device out of the bpf map");
	}
	return devfilter_end_if_empty(&d, e);
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
	char path[DEVFILTER_PATH_MAX];
	auto_close int map_fd = -1;
	unsigned int n = 0;
	int r;

	if (snprintf(path, sizeof(path), "%s/map", pins) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	map_fd = bpf_open(path);
	if (map_fd < 0)
		return map_fd == -ENOENT ? found(arg, inode, 0, 0) : map_fd;
	for (r = bpf_map_first(map_fd, &next); r == 0 && n < DEVFILTER_DEVICES_MAX; n++) {
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
	char pins[DEVFILTER_PATH_MAX];
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
