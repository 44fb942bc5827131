/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's names for what CSI names. A volume keeps its name, and a snapshot one that begins
 * with "snapshot-", when the store can have it; else it is the name's SHA-256. So a name has one
 * id, two names have two, and no volume has the id of a snapshot.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "driver/base/text.h"

#define IDS_NAME_MAX 128 /* bytes of a name, as CSI has them */
#define IDS_SIZE (TEXT_DEVICE_NAME_MAX + 1)

/* -EINVAL: empty, or longer than CSI allows. */
int ids_of_volume(const char *name, char ret[IDS_SIZE]);
int ids_of_snapshot(const char *name, char ret[IDS_SIZE]);

/* Of a volume that a pod brings with it. No other has this id, whatever it is called. */
int ids_of_inline(const char *name, char ret[IDS_SIZE]);

/* Is this id one that ids_of_snapshot() makes? */
bool ids_is_snapshot(const char *id);

/* A number for an id; another one for another id, as far as that can be. */
uint64_t ids_number(const char *id);
