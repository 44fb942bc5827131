/* SPDX-License-Identifier: Apache-2.0 */
/* A store in memory, in place of volumes_call() (--wrap=volumes_call). */
#pragma once

#include "oci-hook/volumes.h"

#define STORE_FAKE_MAX 16
#define STORE_FAKE_ROOM (UINT64_C(1) << 32)

struct store_fake {
	struct store_volume rows[STORE_FAKE_MAX];
	size_t nr;
	int fails; /* the next request, with this -errno; 0: none does */
	unsigned int asked, changed;
	char warning[64]; /* goes with growing a volume */
};

extern struct store_fake store_fake;

/* Empty again. */
void store_fake_begin(void);

/* NULL: there is none. */
struct store_volume *store_fake_find(const char *name);
