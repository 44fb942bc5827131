/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What containers have of devices that were made ahead, as the main process decides it. A claim
 * is a record like a device's, with a generation of its own and WIRE_CLAIMED: its container is
 * watched, and what was done for it is undone, like a device's. It has no worker: dev_id says
 * which device it is of, which does not go before its claims.
 */
#pragma once

#include "driver/privileged/registry.h"

#define CLAIMS_SHARED_MAX 128 /* of one device, on the host */

/*
 * Decides whether a container gets a device, or the host: *rec comes with its generation and the
 * facts of the container, and leaves as a claim, which is in the journal then.
 *
 *   0          go on
 *   -EALREADY  this container has it; *rec is its claim
 *   -EAGAIN    somebody is working on the device, on this claim, or on one it would share the
 *              device with; ask again
 *   -ENOENT    there is no such device, or no more
 *   -EEXIST    the container has another device of this name
 *   -EPERM     its rule does not allow it
 */
int claims_begin(struct registry *reg, const struct registry_peer *peer, struct record *rec,
		 struct err *e);

/*
 * A claim to this device; of a claim, another by which the host has that device in the same way,
 * so that what is mounted is one. One that is live is found first, one that ends last. NULL:
 * there is none.
 */
const struct device *claims_find(const struct registry *reg, const struct record *device);

/* The device of a claim; NULL: there is none any more. */
const struct device *claims_device(const struct registry *reg, const struct record *claim);
