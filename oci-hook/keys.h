/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of an attach, in the words of the catalog: as one text
 * ("target=memory,size=64M,path=/dev/data", an annotation), or key by key
 * (options of a command). Values of a text are percent-decoded. Between keys a
 * semicolon is as good as a comma: podman divides what its users write at commas.
 *
 * Everything here runs with the caller's own rights. The helper checks all of
 * it again; it is checked here so that the words fit what was written.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/base/err.h"
#include "driver/base/text.h"
#include "driver/wire/wire.h"
#include "targets/catalog.h"

#define KEYS_TEXT_MAX 8192 /* characters of one text */
#define KEYS_QUEUES_MAX 16
#define KEYS_DEPTH_MAX 256
#define KEYS_BLOCK_BYTES 512

struct attach_options {
	bool given[KEY_END];
	enum target_id target;
	uint64_t size_bytes; /* 0: as large as the backing file */
	bool read_only;
	uint32_t path_flags; /* enum wire_flag: how data and commands travel */
	uint16_t nr_queues;  /* 0: the helper's default */
	uint16_t depth;
	uint32_t uid;
	uint32_t gid;
	uint32_t mode;
	struct wire_fault fault;
	enum catalog_filesystem filesystem; /* mounted at path, in place of a device */
	bool on_file; /* path is an empty file of the host, and becomes the device */
	char path[WIRE_PATH_SIZE];
	char backing[PATH_MAX];
	char volume[TEXT_DEVICE_NAME_MAX + 1];
	char base[PATH_MAX];
	uint32_t cluster_bytes; /* of a delta that is made; 0: the default */
	char address[WIRE_ADDRESS_SIZE];
	char export_name[WIRE_EXPORT_SIZE];
	uint32_t nr_connections; /* 0: the helper's default */
	unsigned int format;	 /* enum image_format, of backing */
	unsigned int base_format;
	bool ephemeral; /* backing is the directory of a delta nobody keeps */
};

void keys_init(struct attach_options *o);

/* "key=value,key=value", or with ";". An unknown key is an error that lists the known ones. */
int keys_parse(struct attach_options *o, const char *text, struct err *e);

/*
 * With volume: that is what the device is made of, and path is "/dev/VOLUME" if none is given.
 */
void keys_default_path(struct attach_options *o);

/* Into a message whose head, labels and timeout the caller fills in. */
void keys_fill(const struct attach_options *o, bool host, struct wire_attach *ret);
