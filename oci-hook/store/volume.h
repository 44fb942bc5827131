/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume on disk: a directory of its name with two files, "data" (sparse, no shorter than
 * size_bytes; none when a back end has it) and "volume.json", which says what it is. That one is
 * written whole and durably, so it is always the old one or the new one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/base/err.h"
#include "driver/base/text.h"
#include "oci-hook/probe.h"
#include "targets/catalog.h"

#define VOLUME_NAME_SIZE (TEXT_DEVICE_NAME_MAX + 1)
#define VOLUME_BLOCK_BYTES 4096 /* sizes are multiples of it: every disk's blocks fit */
#define VOLUME_BYTES_MAX (INT64_MAX & ~(int64_t)(VOLUME_BLOCK_BYTES - 1))
#define VOLUME_RECORD "volume.json"
#define VOLUME_DATA "data"
#define VOLUME_IMAGE_SIZE 24
#define VOLUME_IMAGE_LENGTH 16 /* hexadecimal digits */
#define VOLUME_TEXT_MAX 1024   /* bytes of a volume.json */

struct volume {
	char name[VOLUME_NAME_SIZE];   /* a name of a device made ahead: it becomes one */
	char origin[VOLUME_NAME_SIZE]; /* the volume it was copied from; "": from none */
	uint64_t size_bytes;
	uint32_t owner_uid;		    /* who had it made */
	uint64_t created;		    /* seconds since 1970 */
	enum catalog_filesystem filesystem; /* the store made it there, when the volume was new */
	bool snapshot;			    /* never written again */
	/*
	 * Being made in a volume that was blank. On record before the first byte of it and until
	 * the last is on the disk: what is there meanwhile is neither data nor a file system.
	 */
	enum catalog_filesystem formatting;
	char backend[VOLUME_NAME_SIZE]; /* who has its data; "": the store itself */
	char image[VOLUME_IMAGE_SIZE];	/* the id it has there; "" without a back end */
	/* Its back end was asked for so much, and may have done it; 0: it was not. */
	uint64_t growing_bytes;
	char found[PROBE_TYPE_SIZE]; /* in the image it was made of; "": nothing that is known */
};

/* Is this a size a volume can have? */
bool volume_size_ok(uint64_t bytes);

/* The one text that says this, with a zero behind it; its length. */
size_t volume_format(const struct volume *v, char text[VOLUME_TEXT_MAX]);

/* -EINVAL for any text that volume_format() does not write. */
int volume_parse(struct volume *ret, const char *text, size_t size, struct err *e);

/* From and to the directory of the volume. */
int volume_load(struct volume *ret, int dir_fd, struct err *e);
int volume_save(int dir_fd, const struct volume *v, struct err *e);
