/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the name people gave a container to its ID, by reading what engines keep
 * on disk: OCI runtimes know no names, and to ask podman takes seconds.
 */
#pragma once

#include "driver/base/err.h"
#include "driver/wire/wire.h"

/*
 * 0: ret_id is the ID of the one container with this name. -ENOENT: no engine
 * knows it. -ENOTUNIQ: several do, which e names. Files that belong neither to root
 * nor to the caller say nothing.
 */
int names_find(char ret_id[WIRE_CONTAINER_SIZE], const char *name, struct err *e);

/* The same with another root ("" is "/") and data directory of the user (NULL: none). */
int names_find_below(char ret_id[WIRE_CONTAINER_SIZE], const char *root, const char *data_home,
		     const char *name, struct err *e);
