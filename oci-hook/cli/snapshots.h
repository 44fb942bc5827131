/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshots inside an image, from what its tool says in a place without rights. Whoever made
 * the image chose what is in it, and may have taken the tool over: nothing of it is believed, and
 * what is shown is fit for a terminal.
 */
#pragma once

#include <stddef.h>

#include "driver/base/err.h"
#include "driver/wire/wire.h"
#include "oci-hook/auto_json.h"

#define SNAPSHOTS_MAX 512

/*
 * From the output of `qemu-img info --output=json`: an array of objects with "id", "name",
 * "created" (seconds since 1970) and "vm_state_bytes". -EINVAL: it says something else.
 */
int snapshots_parse(struct json_object **ret, const char *text, size_t size, struct err *e);

/* "snapshots": null with a reason in "snapshots_error", or null too where there can be none. */
void snapshots_add(struct json_object *o, const struct wire_device *d);
