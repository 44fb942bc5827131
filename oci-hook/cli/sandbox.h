/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker may and what it cannot, as the kernel tells in /proc. Read by
 * the caller with its own rights: what it may not see is null.
 */
#pragma once

#include <sys/types.h>

#include "oci-hook/cli/show.h"

/* Adds its keys to the object of a worker. The caller makes sure that pid stays the worker's. */
void sandbox_add(struct json_object *worker, pid_t pid);
