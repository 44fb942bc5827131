/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker may and what it cannot, as the kernel tells in /proc. Read by
 * the caller with its own rights: what it may not see is null.
 */
#pragma once

#include <sys/types.h>

#include "oci-hook/cli/show.h"
#include "oci-hook/client.h"

/*
 * Adds its keys to the object of a worker. The caller makes sure that pid stays
 * the worker's. all: the devices there are, to see what their workers share.
 */
void sandbox_add(struct json_object *worker, pid_t pid, const struct client_devices *all);

/*
 * Is every wall there? Adds the keys "faults", what is not as it must be, and
 * "unseen", what the caller has no right to see. 0 when both are empty, else
 * -EPERM or -EACCES with their names as the reason.
 */
int sandbox_check(struct json_object *worker, const struct wire_details *d, struct err *e);
