/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of a FlexVolume call-out: what kubelet knows of the pod, and over it what whoever
 * made the pod or the PersistentVolume wrote. So all of it is text of strangers.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "driver/base/err.h"
#include "driver/wire/store.h"
#include "targets/catalog.h"

#define OPTIONS_TEXT_MAX (128u << 10) /* no argument of a program is longer */

struct options {
	char volume[STORE_NAME_SIZE];
	bool renamed;			    /* it is not the name kubelet calls it by */
	char pool[STORE_POOL_SIZE];	    /* "": any */
	uint64_t size_bytes;		    /* 0: it must be there */
	enum catalog_filesystem filesystem; /* FILESYSTEM_NONE: none is said */
	bool read_only;
};

/* An option that is not known is an error, but for those of Kubernetes itself. */
int options_parse(struct options *ret, const char *text, struct err *e);
