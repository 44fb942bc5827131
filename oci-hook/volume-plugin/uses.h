/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who uses which volume: an empty file for each, VOLUME/GENERATION-ID. The generation is that of
 * the mount it uses, which is the helper's word and never used again. So whatever ends a mount, by
 * us or not, ends its uses, and there is nothing that could be half written. The directory is in
 * /run: a mount does not outlive the machine either.
 */
#pragma once

#include <stdint.h>

#include "driver/base/err.h"

#define USES_MAX 256 /* of one volume */

/* One more; the same again is the same. */
int uses_add(int dir_fd, const char *volume, uint64_t generation, const char *id, struct err *e);

/* One less, if there is such a one. */
int uses_drop(int dir_fd, const char *volume, uint64_t generation, const char *id, struct err *e);

/* How many use this mount. What used another one is forgotten. */
int uses_count(int dir_fd, const char *volume, uint64_t generation, struct err *e);

/* Nobody uses it. */
int uses_clear(int dir_fd, const char *volume, struct err *e);
