/* SPDX-License-Identifier: Apache-2.0 */
/* Names of the ublk driver's features, and asking the driver which it has. */
#pragma once

#include <json-c/json.h>
#include <stdint.h>

#include "driver/base/err.h"

#define FEATURES_CONTROL "/dev/ublk-control"

/* Their names, unknown bits as hex; owned by the caller. */
struct json_object *features_json(uint64_t features);

/* The same as one text, at most size - 1 bytes. Returns buf. */
char *features_text(uint64_t features, char *buf, size_t size);

/* From the driver; only who may open the control device can. */
int features_ask(uint64_t *ret, struct err *e);
