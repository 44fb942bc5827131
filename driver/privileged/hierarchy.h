/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the cgroup hierarchies are. Version 2 is at /sys/fs/cgroup, or, where that is version
 * 1's, at unified/ in there; where it is at neither the helper mounts it for itself. Device
 * filters are version 1's where its devices controller is mounted (devices/ in there): runtimes
 * then use no other.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "driver/base/err.h"

#define HIERARCHY_TOP "/sys/fs/cgroup"
#define HIERARCHY_OWN "/run/ublk-oci/cgroup"

/* The directory of version 2; NULL: it is not mounted. */
const char *hierarchy_root(void);

/* Sees to it that it is: at HIERARCHY_OWN where it is nowhere else. */
int hierarchy_mount(struct err *e);

/* Is the devices controller of version 1 in use? */
bool hierarchy_has_devices(void);

/* A cgroup there ("/a/b"): an O_PATH descriptor. -ENOENT: there is none, or it is the root. */
int hierarchy_open_devices(const char *cgroup);

/*
 * The path in the line "N:devices:/path" of /proc/PID/cgroup, ended in place; NULL: there is no
 * such line. The controller may share its hierarchy with others ("cpu,devices").
 */
char *hierarchy_parse_devices(char *text);
