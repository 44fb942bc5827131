/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Constant facts about each target, for everybody who has to name one: the
 * policy, the helper, the front-ends, the man pages. No code of a target is
 * here, so that the helper can link this without linking a target.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum target_id {
	TARGET_NONE, /* so that a zero is never a target */
	TARGET_NULL,
	TARGET_MEMORY,
	TARGET_FILE,
	TARGET_NBD,
	TARGET_FAULT,
	TARGET_COW,
	TARGET_IMAGE,
	TARGET_END, /* one past the last */
};

struct catalog_target {
	const char *name;
	const char *help;
	unsigned int nr_fds; /* backing files the caller passes */
	bool needs_size;     /* a size must be given; else it is the backing file's */
	bool made_by_helper; /* the backing file is a memfd the helper makes */
	bool volatile_cache; /* what is written is safe only after a flush */
	bool discards;	     /* discard and write-zeroes free space */
	bool zero_copy;	     /* it passes data on without looking at it */
	bool threads;	     /* several may serve it: it keeps nothing but what an I/O has */
	bool by_address;     /* reached at an address, which a policy must list */
	bool based;	     /* of its two files the second is read-only, and gives the size */
	bool image;	     /* its file has a format, and may have another behind it */
	bool faults;	     /* it is slow and fails as it is asked to */
};

/* NULL for an id that is none. */
const struct catalog_target *catalog_target(unsigned int id);

/*
 * What a device of so many bytes needs of its backing file at most, which is all its worker may
 * make of it: a delta has a header and a map in front, and whole clusters.
 */
uint64_t catalog_file_bytes(unsigned int id, uint64_t dev_bytes);

/* TARGET_NONE for a name that is none. */
enum target_id catalog_find(const char *name);

/* What the helper mounts for a container; never renumbered, only added to. */
enum catalog_filesystem {
	FILESYSTEM_NONE, /* the container gets the device */
	FILESYSTEM_EXT4,
	FILESYSTEM_XFS,
	FILESYSTEM_BTRFS,
	FILESYSTEM_END,
};

/* As the kernel names it; NULL for a number that is none. */
const char *catalog_filesystem(unsigned int id);

/* FILESYSTEM_NONE for a name that is none. */
enum catalog_filesystem catalog_find_filesystem(const char *name);

/*
 * The keys of an attach, as written in an annotation ("target=memory,size=64M"),
 * as options of `ublk-oci attach` ("--size 64M") and as plug-in parameters: one
 * table, so that no door knows a key another does not.
 */
enum catalog_key {
	KEY_NONE,
	KEY_TARGET,
	KEY_BACKING,
	KEY_SIZE,
	KEY_PATH,
	KEY_ACCESS,
	KEY_QUEUES,
	KEY_DEPTH,
	KEY_PROFILE,
	KEY_DATA_PATH,
	KEY_UID,
	KEY_GID,
	KEY_MODE,
	KEY_MOUNT,
	KEY_FS,
	KEY_VOLUME,
	KEY_DELAY,
	KEY_ERROR_RATIO,
	KEY_ERROR_RANGE,
	KEY_BASE,
	KEY_CLUSTER,
	KEY_DELTA,
	KEY_NBD,
	KEY_EXPORT,
	KEY_CONNECTIONS,
	KEY_FORMAT,
	KEY_BASE_FORMAT,
	KEY_END,
};

struct catalog_key_row {
	const char *name;
	const char *value; /* what stands behind '=' in help: "BYTES", "PATH" */
	const char *help;
};

const struct catalog_key_row *catalog_key(unsigned int key);
enum catalog_key catalog_find_key(const char *name);
