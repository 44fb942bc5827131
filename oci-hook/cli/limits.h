/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What limits a device's I/O at this moment, by the kernel's own account (io.max, cgroup v2): of
 * its container for the device, and of its worker for the disk its backing file is on. Whoever
 * set it, and in whichever cgroup on the way up.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "driver/wire/wire.h"
#include "oci-hook/auto_json.h"

/* "io_limits_in_force": { "device": [ ... ], "backing": [ ... ] }; what cannot be seen is null. */
void limits_add(struct json_object *o, const struct wire_details *d);

/* A line of io.max, if it is this device's: "259:0 rbps=max wbps=4194304 riops=max wiops=max". */
bool limits_parse(const char *line, uint32_t major, uint32_t minor, struct wire_io *ret);
