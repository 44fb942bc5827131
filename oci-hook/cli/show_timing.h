/* SPDX-License-Identifier: Apache-2.0 */
/* What a request took, step by step, for people and for programs. */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "driver/wire/timing.h"
#include "oci-hook/auto_json.h"

/* client_us: from the command's begin to the helper's answer. */
void show_timing_add(struct json_object *o, const struct wire_timing *timing, int64_t client_us);
void show_timing_print(const struct wire_timing *timing, int64_t client_us);
