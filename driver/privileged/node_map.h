/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/uid_map and gid_map: from the numbers in a user namespace to the host's. */
#pragma once

#include <stdint.h>
#include <stdio.h>

/* 0 and the host's number of id, or -ENOENT when it is not mapped. */
int node_map_find(FILE *map, uint32_t id, uint32_t *ret);
