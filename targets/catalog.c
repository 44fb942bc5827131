/* SPDX-License-Identifier: Apache-2.0 */
#include "targets/catalog.h"

#include <string.h>

#include "driver/base/cleanup.h"

/* Of a delta: a bit for each cluster, of which the smallest has 4 KiB; the rest of it. */
#define CATALOG_MAP_PART 32768u
#define CATALOG_FRONT (3u << 20)

static const struct catalog_target targets[TARGET_END] = {
	[TARGET_NULL] = {
		.name = "null",
		.help = "reads zeroes, forgets what is written; for measuring",
		.needs_size = true,
		.discards = true,
		.zero_copy = true,
		.threads = true,
	},
	[TARGET_MEMORY] = {
		.name = "memory",
		.help = "memory of the host; gone when the device is",
		.needs_size = true,
		.made_by_helper = true,
		.discards = true,
		.zero_copy = true,
		.threads = true,
	},
	[TARGET_FILE] = {
		.name = "file",
		.help = "a regular file or a block device",
		.nr_fds = 1,
		.volatile_cache = true,
		.discards = true,
		.zero_copy = true,
		.threads = true,
	},
	[TARGET_NBD] = {
		.name = "nbd",
		.help = "a server that speaks NBD, reached at an address",
		.by_address = true,
		.volatile_cache = true,
		.discards = true,
	},
	[TARGET_FAULT] = {
		.name = "fault",
		.help = "a file that is slow, or fails, as it is told to; for tests",
		.nr_fds = 1,
		.volatile_cache = true,
		.discards = true,
		.zero_copy = true,
		.faults = true,
	},
	[TARGET_COW] = {
		.name = "cow",
		.help = "a private delta over a read-only base",
		.nr_fds = 2,
		.volatile_cache = true,
		.discards = true,
		.zero_copy = true,
		.based = true,
	},
	[TARGET_IMAGE] = {
		.name = "image",
		.help = "an image such as qcow2 or vmdk, by QEMU's own code, confined",
		.nr_fds = 1,
		.volatile_cache = true,
		.discards = true,
		.image = true,
	},
};

static const struct catalog_key_row keys[KEY_END] = {
	[KEY_TARGET] = { "target", "NAME", "null, memory, file, nbd, fault, cow or image" },
	[KEY_BACKING] = { "backing", "PATH", "the file or block device behind the target" },
	[KEY_SIZE] = { "size", "BYTES", "size of the device; suffixes K, M, G, T" },
	[KEY_PATH] = { "path", "PATH", "where it appears in the container, below /dev" },
	[KEY_ACCESS] = { "access", "rw|ro", "whether the container may write" },
	[KEY_QUEUES] = { "queues", "N",
			 "hardware queues, 1 to 16, from 3 on with a thread each; default 2" },
	[KEY_DEPTH] = { "depth", "N", "requests in flight per queue, 1 to 256; default 32" },
	[KEY_PROFILE] = { "profile", "latency|throughput",
			  "what matters more, one request or many; default latency" },
	[KEY_DATA_PATH] = { "data-path", "auto|copy|zero-copy|by-hand",
			    "how data travels; default auto: zero copy where it is granted" },
	[KEY_UID] = { "uid", "N", "owner of the node, as the container counts; default 0" },
	[KEY_GID] = { "gid", "N", "group of the node, as the container counts; default 0" },
	[KEY_MODE] = { "mode", "OCTAL", "permission bits of the node; default 0660" },
	[KEY_MOUNT] = { "mount", "PATH", "where its file system is mounted, in place of a device" },
	[KEY_FS] = { "fs", "ext4|xfs|btrfs", "which file system that is" },
	[KEY_VOLUME] = { "volume", "NAME", "a volume of the store, in place of target" },
	[KEY_DELAY] = { "delay", "MS", "target fault: each request takes so much longer" },
	[KEY_ERROR_RATIO] = { "error-ratio", "0..1",
			      "target fault: how many of the requests fail" },
	[KEY_ERROR_RANGE] = { "error-range", "OFFSET+BYTES",
			      "target fault: only those fail that touch these bytes" },
	[KEY_BASE] = { "base", "PATH",
		       "targets cow and image: what --backing is over; it is only read" },
	[KEY_CLUSTER] = { "cluster", "BYTES",
			  "target cow: of a delta that is made, 4K to 1M; default 64K" },
	[KEY_DELTA] = { "delta", "kept|ephemeral",
			"target cow: ephemeral: --backing is a directory, the delta ends with the "
			"device" },
	[KEY_NBD] = { "nbd", "ADDRESS",
		      "target nbd: its server, unix:/PATH or tcp:HOST:PORT, or exec:/usr/PROGRAM" },
	[KEY_EXPORT] = { "export", "NAME", "target nbd: what of the server's; default its own" },
	[KEY_CONNECTIONS] = { "connections", "N",
			      "target nbd: 1 to 4, where the server allows more than one; default "
			      "2" },
	[KEY_FORMAT] = { "format", "NAME",
			 "target image: qcow2, vmdk, vhdx, vdi, vpc, qed, parallels or raw" },
	[KEY_BASE_FORMAT] = { "base-format", "NAME", "target image: the same of --base" },
};

static const char *const filesystems[FILESYSTEM_END] = {
	[FILESYSTEM_EXT4] = "ext4",
	[FILESYSTEM_XFS] = "xfs",
	[FILESYSTEM_BTRFS] = "btrfs",
};

const struct catalog_target *catalog_target(unsigned int id)
{
	return id > TARGET_NONE && id < TARGET_END ? &targets[id] : NULL;
}

uint64_t catalog_file_bytes(unsigned int id, uint64_t dev_bytes)
{
	const struct catalog_target *target = catalog_target(id);

	return dev_bytes +
	       (target && target->based ? dev_bytes / CATALOG_MAP_PART + CATALOG_FRONT : 0);
}

enum target_id catalog_find(const char *name)
{
	for (unsigned int i = TARGET_NONE + 1; i < TARGET_END; i++) {
		if (!strcmp(targets[i].name, name))
			return (enum target_id)i;
	}
	return TARGET_NONE;
}

const char *catalog_filesystem(unsigned int id)
{
	return id < FILESYSTEM_END ? filesystems[id] : NULL;
}

enum catalog_filesystem catalog_find_filesystem(const char *name)
{
	for (unsigned int i = FILESYSTEM_NONE + 1; i < FILESYSTEM_END; i++) {
		if (!strcmp(filesystems[i], name))
			return (enum catalog_filesystem)i;
	}
	return FILESYSTEM_NONE;
}

const struct catalog_key_row *catalog_key(unsigned int key)
{
	return key > KEY_NONE && key < KEY_END ? &keys[key] : NULL;
}

enum catalog_key catalog_find_key(const char *name)
{
	for (unsigned int i = KEY_NONE + 1; i < KEY_END; i++) {
		if (!strcmp(keys[i].name, name))
			return (enum catalog_key)i;
	}
	return KEY_NONE;
}
