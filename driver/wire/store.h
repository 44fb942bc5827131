/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What front-ends ask the store of volumes, and its answers: packets in the form of wire.h, with
 * a magic of their own, on a socket of its own. The helper does not speak it.
 *
 * A connection carries one request. Its answer is a STORE_VOLUME for each volume it is about, if
 * any, STORE_PROGRESS now and then while it takes long, and one STORE_REPLY at its end. Whoever
 * hangs up before that has it stopped, and what was half made removed. What does not match in
 * magic, size or number of fds ends the connection without an answer.
 */
#pragma once

#include <assert.h>
#include <stdint.h>

#include "driver/wire/wire.h"

#define STORE_SOCKET "/run/ublk-oci-store/store.sock"
#define STORE_MAGIC 0x6f6b7673u /* "svko" */
#define STORE_VERSION 1
#define STORE_NAME_SIZE 64 /* of a volume; the last byte is 0 */
#define STORE_POOL_SIZE 64

enum store_type {
	STORE_NONE,
	STORE_LIST,    /* all volumes the caller may see */
	STORE_INSPECT, /* name */
	STORE_CREATE, /* name, size_bytes, pool; of from, or of a file (fd), or empty; filesystem */
	STORE_SNAPSHOT, /* name, from, pool */
	STORE_RESIZE,	/* name, size_bytes */
	STORE_EXPORT,	/* name; fd: a new, empty file */
	STORE_DELETE,	/* name, STORE_WIPE */
	STORE_ATTACH,	/* name and what a device is asked for with: made ahead, of this name */
	STORE_DETACH,	/* name: that device is removed */
	STORE_FORMAT,	/* name, filesystem: in a volume that is blank */
	STORE_CHECK,	/* name: its file system, mended where that is safe */
	STORE_CAPACITY, /* pool: what it has room for, as STORE_ROOM */
	STORE_END,
	/* answers */
	STORE_REPLY = 64,
	STORE_VOLUME,
	STORE_PROGRESS,
	STORE_FOUND, /* behind the volume, when it was looked at or checked */
	STORE_ROOM,
};

enum store_flag {
	STORE_WIPE = 1 << 0, /* zeroes over the data first */
	STORE_LOOK = 1 << 1, /* of inspect: what is in it, too */
};

struct store_ask {
	struct wire_head head;
	uint64_t size_bytes;   /* 0: as large as what it is made of */
	uint32_t flags;	       /* enum store_flag */
	uint32_t device_flags; /* enum wire_flag: STORE_DEVICE_FLAGS of them */
	uint32_t uid;	       /* of the node, as in struct wire_attach; and the rest */
	uint32_t gid;
	uint32_t mode;
	uint16_t nr_queues;
	uint16_t depth;
	uint32_t filesystem; /* enum catalog_filesystem: of a new, empty volume */
	uint32_t pad;
	char name[STORE_NAME_SIZE];
	char from[STORE_NAME_SIZE]; /* a volume */
	char pool[STORE_POOL_SIZE]; /* "": the first one; of a copy: where from is */
};
static_assert(sizeof(struct store_ask) == 248, "wire format changed");

#define STORE_DEVICE_FLAGS                                                                         \
	(WIRE_READ_ONLY | WIRE_COPY | WIRE_ZERO_COPY | WIRE_BY_HAND | WIRE_THROUGHPUT)

enum store_volume_flag {
	STORE_IS_SNAPSHOT = 1 << 0,
	STORE_IS_ATTACHED = 1 << 1,  /* dev_id and generation are of its device */
	STORE_IS_READ_ONLY = 1 << 2, /* that is */
	STORE_IS_NEW = 1 << 4,	     /* the device, by this request */
	STORE_IS_UNKNOWN = 1 << 3,   /* the helper does not say whether it is attached */
};

struct store_volume {
	struct wire_head head;
	uint64_t size_bytes;
	uint64_t used_bytes; /* on the disk; what is shared with others counts for each */
	uint64_t created;    /* seconds since 1970 */
	uint64_t generation;
	uint32_t owner_uid;
	uint32_t flags; /* enum store_volume_flag */
	uint32_t dev_id;
	uint32_t filesystem; /* enum catalog_filesystem: the store made it there */
	char name[STORE_NAME_SIZE];
	char origin[STORE_NAME_SIZE]; /* the volume it was copied from */
	char pool[STORE_POOL_SIZE];
};
static_assert(sizeof(struct store_volume) == 256, "wire format changed");

enum store_content {
	STORE_NOT_LOOKED,
	STORE_CONTENT_UNKNOWN, /* words say why */
	STORE_CONTENT_BLANK,
	STORE_CONTENT_USED, /* by type */
};

enum store_verdict {
	STORE_NOT_CHECKED,
	STORE_CLEAN,
	STORE_MENDED,
	STORE_DAMAGED,
};

/* What was seen in a volume's data: words of strangers, in printable ASCII. */
struct store_found {
	struct wire_head head;
	uint32_t content; /* enum store_content */
	uint32_t verdict; /* enum store_verdict */
	char type[32];
	char label[64];
	char uuid[40];
	char words[120];
};
static_assert(sizeof(struct store_found) == 280, "wire format changed");

struct store_progress {
	struct wire_head head;
	uint64_t done_bytes;
	uint64_t all_bytes;
};
static_assert(sizeof(struct store_progress) == 32, "wire format changed");

/* For volumes of whoever asks. */
struct store_room {
	struct wire_head head;
	uint64_t room_bytes;	/* that pool and filesystem have left for volumes */
	uint64_t largest_bytes; /* of one volume more, as the policy has it too; 0: none */
	char pool[STORE_POOL_SIZE];
};
static_assert(sizeof(struct store_room) == 96, "wire format changed");

struct store_reply {
	struct wire_head head;
	int32_t status; /* 0 or -errno */
	uint32_t pad;
	char reason[WIRE_REASON_SIZE]; /* for people; on success a warning */
};
static_assert(sizeof(struct store_reply) == 344, "wire format changed");
