/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume as a device of a container: the store has it made ahead, and the container claims it.
 * So the store never sees a container, and which one may have it says the rule for the store.
 */
#pragma once

#include "driver/base/err.h"
#include "oci-hook/client.h"
#include "oci-hook/keys.h"
#include "oci-hook/volumes.h"

/*
 * The device, for whoever claims it: made, or the one there is. One that was made otherwise and
 * that nobody has is made anew.
 */
int volume_device_make(const struct attach_options *o, int timeout_ms, struct store_volume *ret,
		       struct err *e);

/*
 * container, engine: labels; place_fd: its process, or the directory that the host is to mount it
 * on, or the file that becomes it. On success ret is the claim. What was made for nothing is
 * removed. What is attached already is mounted read-only as it is.
 */
int volume_device_claim(const struct attach_options *o, const char *container, const char *engine,
			int place_fd, int timeout_ms, struct wire_reply *ret, struct err *e);

/* The device, unless somebody has it. */
int volume_device_release(const char *volume, int timeout_ms, struct err *e);
