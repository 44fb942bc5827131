/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much I/O a container may do to one device: a line of io.max, cgroup v2.
 *
 * The line goes to the nearest cgroup, from the container's own upwards, whose
 * io.max is root's. A rootless user owns the cgroups below the one that was
 * delegated, so could lift a limit there, and move the container between them.
 * A line above hurts nobody else: it speaks of a device nobody else can open.
 */
#pragma once

#include <stdint.h>

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

/* The line itself, "259:0 rbps=max wbps=4194304 riops=max wiops=max". */
#define IOLIMIT_LINE_SIZE 144
void iolimit_line(char line[IOLIMIT_LINE_SIZE], uint32_t major, uint32_t minor,
		  const struct wire_io *io);
