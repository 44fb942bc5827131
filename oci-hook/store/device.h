/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices volumes are: made ahead, of the volume's name, asked of the helper like any caller
 * asks. There is no other record of what is attached than the helper's, so none that could differ.
 */
#pragma once

#include <stdbool.h>

#include "driver/base/err.h"
#include "driver/wire/store.h"
#include "oci-hook/client.h"
#include "oci-hook/store/pools.h"

/* What the store's user had made, and is there. */
int device_list(struct client_devices *ret, struct err *e);

/* NULL: the volume is not attached. */
const struct wire_device *device_find(const struct client_devices *d, const char *name);

/* 0: it is not attached, or only read and that will do. -EBUSY; or it cannot be told. */
int device_check_free(const char *name, bool reading, struct err *e);

/* The same for who can copy what is written meanwhile: *ret_written, and not -EBUSY. */
int device_check_written(const char *name, bool *ret_written, struct err *e);

/* The volume as a device; the same asked twice is one. The volume is locked meanwhile. */
int device_attach(const struct place *place, const struct store_ask *ask, struct wire_reply *ret,
		  struct err *e);

/* 0 also when it is not attached. Else the device is as large then, or e says why not. */
int device_grow(const char *name, uint64_t size_bytes, struct err *e);

/* -ENODEV: it is not attached. */
int device_detach(const char *name, struct err *e);
