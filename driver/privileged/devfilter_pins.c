/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/devfilter_pins.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "driver/privileged/bpf.h"
#include "driver/privileged/devfilter_bpf.h"
#include "driver/privileged/dir_lock.h"

#define DEVFILTER_PINS_LOCK_MS 5000

void devfilter_pins_close(struct devfilter_pins *d)
{
	close_fdp(&d->map_fd);
	close_fdp(&d->lock_fd);
}

int devfilter_pins_name(struct devfilter_pins *d, const char *dir, uint64_t inode,
			const char *level, struct err *e)
{
	if (snprintf(d->dir, sizeof(d->dir), "%s/%" PRIu64 "%s", dir, inode, level) >=
	    (int)sizeof(d->dir) - 32)
		return err_set(e, ENAMETOOLONG, "the path of the bpf pins is too long");
	return 0;
}

int devfilter_pins_begin(struct devfilter_pins *d, const char *dir, uint64_t inode,
			 const char *level, struct err *e)
{
	int r = devfilter_pins_name(d, dir, inode, level, e);

	/* Requests of several processes for one cgroup must not mix. */
	return r < 0 ? r : dir_lock(AT_FDCWD, dir, DEVFILTER_PINS_LOCK_MS, &d->lock_fd, e);
}

const char *devfilter_pins_path(const struct devfilter_pins *d, char path[DEVFILTER_PINS_PATH_MAX],
				char kind, uint32_t id)
{
	if (kind == 'm')
		snprintf(path, DEVFILTER_PINS_PATH_MAX, "%s/map", d->dir);
	else
		snprintf(path, DEVFILTER_PINS_PATH_MAX, "%s/%c%" PRIu32, d->dir, kind, id);
	return path;
}

void devfilter_pins_drop(const struct devfilter_pins *d, uint32_t id)
{
	char path[DEVFILTER_PINS_PATH_MAX];

	for (const char *kind = "wao"; *kind; kind++)
		unlink(devfilter_pins_path(d, path, *kind, id));
}

int devfilter_pins_each_wrapper(struct devfilter_pins *d,
				int (*each)(struct devfilter_pins *d, uint32_t id, struct err *e),
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

int devfilter_pins_remove(const struct devfilter_pins *d, struct err *e)
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

int devfilter_pins_query(struct devfilter_pins *d, struct err *e)
{
	struct bpf_attached attached = { .ids = d->attached, .nr = DEVFILTER_PINS_PROGRAMS_MAX };
	int r = bpf_attached(d->cgroup_fd, BPF_CGROUP_DEVICE, &attached);

	if (r < 0)
		return err_sys(e, -r, "cannot ask which device programs the cgroup has");
	d->nr_attached = attached.nr;
	d->attach_flags = attached.flags;
	return 0;
}

bool devfilter_pins_attached(const struct devfilter_pins *d, uint32_t prog_id)
{
	for (uint32_t i = 0; i < d->nr_attached; i++) {
		if (d->attached[i] == prog_id)
			return true;
	}
	return false;
}

uint32_t devfilter_pins_wrapper_id(const struct devfilter_pins *d, uint32_t id)
{
	char path[DEVFILTER_PINS_PATH_MAX];
	auto_close int fd = bpf_open(devfilter_pins_path(d, path, 'w', id));
	uint32_t wrapper_id = 0;

	return fd < 0 || bpf_program_id(fd, &wrapper_id) < 0 ? 0 : wrapper_id;
}

int devfilter_pins_map_open(struct devfilter_pins *d, struct err *e)
{
	static const struct bpf_map_shape shape = {
		.type = BPF_MAP_TYPE_HASH,
		.name = "ublk_devices",
		.key_bytes = sizeof(struct devfilter_key),
		.value_bytes = sizeof(uint32_t),
		.entries = DEVFILTER_PINS_DEVICES_MAX,
		.flags = BPF_F_NO_PREALLOC,
	};
	char path[DEVFILTER_PINS_PATH_MAX];
	int r;

	devfilter_pins_path(d, path, 'm', 0);
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
