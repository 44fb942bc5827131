/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes whose data is elsewhere: the store has their records, a back end their images. It is
 * asked through ublk-oci-pool, by the id that is on record before there is an image.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "driver/base/err.h"
#include "driver/wire/pool.h"
#include "oci-hook/store/volume.h"
#include "policy/policy.h"

static inline bool remote_is(const struct volume *v)
{
	return *v->backend;
}

/* A volume that is to be made in this pool is of its back end, if it has one, and has an id. */
int remote_begin(struct volume *v, const struct policy_pool *pool, struct err *e);

/* May this be asked (enum store_type) of the volume? What looks into its data may not. */
int remote_check(const struct volume *v, const struct policy_pool *pool, unsigned int type,
		 struct err *e);

/* Any verb may be asked again. Waits for as long as a program may take. */
int remote_ask(const struct volume *v, enum pool_verb verb, uint64_t size_bytes, struct err *e);

/* Where its server listens, while it is served. */
void remote_address(const struct volume *v, char address[WIRE_ADDRESS_SIZE]);
