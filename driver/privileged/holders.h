/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who keeps a block device busy, in words for the person who wants it back.
 * Looking at other processes' files may hang: run these in child_run().
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "driver/base/err.h"

/*
 * Writes a list such as "mounted at /mnt by pid 123 (sleep), open in pid 77 (dd),
 * and 2 more" and returns how many there are: one per mount namespace and mount
 * point, per process that has it open, per kernel user (dm, md, swap). The
 * calling process does not count, nor do those of the mount namespace but_ns_fd
 * (-1: none), of which there may be many. -errno when /proc cannot be read.
 */
int holders_find(uint32_t major, uint32_t minor, int but_ns_fd, char *text, size_t size,
		 struct err *e);

/*
 * The same of a file system that is mounted: who has something in it open, as a current
 * directory, a root or a program too. dev: what its files show as their device.
 */
int holders_find_inside(uint64_t dev, char *text, size_t size, struct err *e);

/*
 * 0: nobody holds it exclusively; -EBUSY: it is mounted, swapped to, or part of
 * another device, in whatever namespace. Plain opens are not noticed.
 */
int holders_probe_busy(const char *node_path, struct err *e);
