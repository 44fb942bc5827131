/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in a volume, whether it is whole, and making it fit. Whatever is done to the data is
 * done by ublk-oci-probe, to what it finds there, not to what the record says was there once.
 */
#pragma once

#include <stdbool.h>

#include "driver/base/err.h"
#include "driver/wire/store.h"
#include "oci-hook/store/pools.h"
#include "oci-hook/store/probing.h"

/* All but the head of *ret; what cannot be read is unknown, and no failure. */
int examine_look(const struct place *place, const struct probing *p, struct store_found *ret,
		 struct err *e);

/* With its file system's fsck. -EINVAL: there is none in it that has one here. */
int examine_check(const struct place *place, bool read_only, const struct probing *p,
		  struct store_found *ret, struct err *e);

/*
 * The file system on record becomes as large as the volume, after a check; 0 also where none is on
 * record. -EOPNOTSUPP: that is done when it is mounted. Nobody else has the volume meanwhile.
 */
int examine_grow(const struct place *place, const struct probing *p, struct err *e);

/* The same in the data of a volume that is not there yet. */
int examine_grow_data(int fd, const struct volume *v, const struct probing *p, struct err *e);
