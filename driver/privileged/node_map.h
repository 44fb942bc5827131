/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/uid_map and gid_map: from the numbers in a user namespace to the host's. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "driver/base/err.h"

/* 0 and the host's number of id, or -ENOENT when it is not mapped. */
int node_map_find(FILE *map, uint32_t id, uint32_t *ret);

/* The same for a process, /proc/PID of which proc_fd is; file: "uid_map" or "gid_map". */
int node_map_id(int proc_fd, const char *file, uint32_t id, uint32_t *ret, struct err *e);

/*
 * What is made in a container must belong to somebody its user namespace knows, else the
 * kernel refuses with EOVERFLOW: from here on files are made, and looked for, by these ids.
 */
int node_map_act_as(uid_t uid, gid_t gid, struct err *e);
void node_map_act_as_root(void);
