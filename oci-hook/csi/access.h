/* SPDX-License-Identifier: Apache-2.0 */
/* How a volume is to be used: what a request's VolumeCapability say, and whether that is offered.
 */
#pragma once

#include <csi.pb-c.h>

#include "driver/wire/store.h"
#include "oci-hook/csi/call.h"
#include "targets/catalog.h"

struct access {
	bool block; /* one of them wants the device */
	bool mount; /* one of them wants a file system */
	bool read_only;
	bool several;			    /* more than one target may write */
	enum catalog_filesystem filesystem; /* FILESYSTEM_NONE: any */
};

/* INVALID_ARGUMENT: there is none, it lacks a part, or it is not offered. */
enum code access_parse(struct call *c, Csi__VolumeCapability *const *rows, size_t nr,
		       struct access *ret);

/* Can this volume be used so? Else INVALID_ARGUMENT, with the reason. */
enum code access_check(struct call *c, const struct access *a, const struct store_volume *v);

/* What a new volume gets: the file system that was asked for, or the usual one. */
enum catalog_filesystem access_filesystem(const struct access *a);
