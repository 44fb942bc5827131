/* SPDX-License-Identifier: Apache-2.0 */
/* `ublk-oci device restore`: devices made ahead are made again, as their users. */
#pragma once

#include "driver/base/err.h"
#include "oci-hook/client.h"
#include "oci-hook/keys.h"

int device_restore(int argc, char **argv);

/* Asks the helper for what the keys say, made ahead, with this process's rights. */
int device_make(const struct attach_options *keys, struct wire_reply *ret, struct err *e);

/* Puts the name of a device into its keys. */
int device_set_name(struct attach_options *keys, const char *name, struct err *e);
