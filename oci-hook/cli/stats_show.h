/* SPDX-License-Identifier: Apache-2.0 */
/* Devices' counters for people, and as JSON. */
#pragma once

#include <stddef.h>

#include "driver/wire/wire.h"
#include "oci-hook/auto_json.h"
#include "oci-hook/cli/counters.h"

struct stats_row {
	struct wire_device device;
	int fd;			 /* its counters */
	struct counters *now;	 /* as read for this table */
	struct counters *before; /* ... and for the one before; NULL: it is new */
};

void stats_show_table(const struct stats_row *rows, size_t nr);

/* Owned by the caller. */
struct json_object *stats_show_json(const struct stats_row *rows, size_t nr);
