/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plug-in's volumes where the host has them mounted: by the helper, and known by its list only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "driver/wire/store.h"
#include "oci-hook/client.h"
#include "oci-hook/volume-plugin/kept.h"
#include "oci-hook/volume-plugin/plugin.h"

struct mounts {
	uint64_t generation; /* 0: the helper has none */
	bool there;	     /* and nobody unmounted it besides */
};

/* The one of this volume, in a list of the helper's. */
struct mounts mounts_among(const struct plugin *p, const struct client_devices *all,
			   const char *volume);

int mounts_find(const struct plugin *p, const char *volume, struct mounts *ret, struct err *e);

/* Mounted, also if it is already; *ret_generation is that of the mount. */
int mounts_make(const struct plugin *p, const struct store_volume *v, const struct kept *kept,
		uint64_t *ret_generation, struct err *e);

/*
 * Unmounted, and no device any more, if the store is there for that. -EBUSY: it is used; -EAGAIN:
 * it is under way, or the helper has no room.
 */
int mounts_end(const struct plugin *p, const char *volume, uint64_t generation, struct err *e);

/* DIR/VOLUME. */
void mounts_path(const struct plugin *p, const char *volume, char buf[WIRE_PATH_SIZE]);
