/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much I/O a container may do to one device: a line of io.max, cgroup v2.
 *
 * The line goes to the nearest cgroup, from the container's own upwards, whose
 * io.max is root's. A rootless user owns the cgroups below the one that was
 * delegated, so could lift a limit there, and move the container between them.
 * A line above hurts nobody else: it speaks of a device nobody else can open.
 *
 * Of such a container the disk behind the device is limited as well, in the cgroup of the worker,
 * which its owner neither owns nor can leave.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "driver/base/err.h"
#include "driver/wire/wire.h"

/*
 * cgroup_fd is the container's. -ENOENT: no cgroup up to the root has the io
 * controller; the reason says how to enable it.
 */
int iolimit_set(int cgroup_fd, uint32_t major, uint32_t minor, const struct wire_io *io,
		int timeout_ms, struct err *e);

/*
 * The way back, by the cgroup's path ("/a/b"): from it, or what is left of it,
 * to the root. A cgroup, a controller or a device that is gone is fine.
 */
int iolimit_lift(const char *cgroup, uint32_t major, uint32_t minor, int timeout_ms, struct err *e);

/* Is the container's io.max, or where it has none its cgroup, somebody else's than root's? */
bool iolimit_delegated(int cgroup_fd);

/*
 * The same limits for a worker, by the directory of its cgroup, on the disk that dev is or is a
 * part of. They end with the cgroup. -ENODEV: no disk, or none that can be limited.
 */
int iolimit_set_behind(const char *cgroup, dev_t dev, const struct wire_io *io, int timeout_ms,
		       struct err *e);

/* The disk that can be limited: dev, or that whose partition it is; 0: it is none. */
dev_t iolimit_disk(dev_t dev);

/* The line itself, "259:0 rbps=max wbps=4194304 riops=max wiops=max". */
#define IOLIMIT_LINE_SIZE 144
void iolimit_line(char line[IOLIMIT_LINE_SIZE], uint32_t major, uint32_t minor,
		  const struct wire_io *io);
