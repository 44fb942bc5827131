/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the device filter of one cgroup consists of (devfilter.h): its pins in the bpf file system,
 * and the programs that are attached to the cgroup.
 *
 * The pins are in dir/<cgroup inode>/ (and those of the scope around it in
 * dir/<cgroup inode>-scope/): "map", and for each program that
 * was replaced "o<id>" (the original; <id> is its number, which stays taken
 * while it is pinned), "a<id>" (the array with it) and "w<id>" (the wrapper).
 * "w" is pinned last: a wrapper without the other two is never attached.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "driver/base/cleanup.h"
#include "driver/base/err.h"

#define DEVFILTER_PINS_DEVICES_MAX 1024
#define DEVFILTER_PINS_PROGRAMS_MAX 64 /* the kernel's own limit for one cgroup */
#define DEVFILTER_PINS_PATH_MAX 256

struct devfilter_pins {
	char dir[DEVFILTER_PINS_PATH_MAX];
	int lock_fd;
	int cgroup_fd;
	int map_fd;
	uint32_t attach_flags;
	uint32_t nr_attached;
	uint32_t attached[DEVFILTER_PINS_PROGRAMS_MAX];
};

#define DEVFILTER_PINS_INIT                                                                        \
	{                                                                                          \
		.lock_fd = -1, .cgroup_fd = -1, .map_fd = -1                                       \
	}

void devfilter_pins_close(struct devfilter_pins *d);
#define auto_devfilter_pins cleanup_with(devfilter_pins_close)

/* Where they are: no more is touched. level: "", or what the scope around the cgroup adds. */
int devfilter_pins_name(struct devfilter_pins *d, const char *dir, uint64_t inode,
			const char *level, struct err *e);

/* The same, and nobody else changes any of dir until they are closed; -ETIMEDOUT. */
int devfilter_pins_begin(struct devfilter_pins *d, const char *dir, uint64_t inode,
			 const char *level, struct err *e);

/* kind 'w', 'a' or 'o' with the original's id; 'm' is the map. Returns path. */
const char *devfilter_pins_path(const struct devfilter_pins *d, char path[DEVFILTER_PINS_PATH_MAX],
				char kind, uint32_t id);

/* Opens the map, which is made and pinned where there is none. */
int devfilter_pins_map_open(struct devfilter_pins *d, struct err *e);

/* Removes the pins of one program that was replaced. */
void devfilter_pins_drop(const struct devfilter_pins *d, uint32_t id);

/* Whatever is pinned for this cgroup. Nothing there is fine. */
int devfilter_pins_remove(const struct devfilter_pins *d, struct err *e);

/* Calls each for the id of every "w<id>" until it fails. */
int devfilter_pins_each_wrapper(struct devfilter_pins *d,
				int (*each)(struct devfilter_pins *d, uint32_t id, struct err *e),
				struct err *e);

/* Which programs are attached to this cgroup itself: d->attached. */
int devfilter_pins_query(struct devfilter_pins *d, struct err *e);

/* Is it among these? */
bool devfilter_pins_attached(const struct devfilter_pins *d, uint32_t prog_id);

/* The kernel's number of the wrapper pinned for original id; 0 is never a program. */
uint32_t devfilter_pins_wrapper_id(const struct devfilter_pins *d, uint32_t id);
