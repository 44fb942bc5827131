/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store asks of ublk-oci-pool, which has the programs that make images in a cluster, and
 * the servers that show them: packets in the form of wire.h, with a magic of their own. A
 * connection carries one request and its answer.
 *
 * An image is called by the volume's name and an id that no other image ever has, so whatever is
 * asked twice means the same image, and never somebody else's.
 */
#pragma once

#include <assert.h>
#include <stdint.h>

#include "driver/wire/wire.h"

/* Of back end B: B.sock, for the store; B/ID, where a server of NBD listens, for the connector. */
#define POOL_DIR "/run/ublk-oci-pool"
#define POOL_MAGIC 0x6f6b7070u
#define POOL_VERSION 1
#define POOL_NAME_SIZE 64
#define POOL_ID_SIZE 24
#define POOL_ID_LENGTH 16 /* hexadecimal digits */
#define POOL_REASON_SIZE 192
#define POOL_WORK_MS 60000 /* a program has, for anything but to serve */

enum pool_verb {
	POOL_NONE,
	POOL_CREATE, /* an image of size_bytes; one that is there already is the one */
	POOL_REMOVE, /* it, and its server; one that is not there is removed */
	POOL_RESIZE, /* to size_bytes */
	POOL_SERVE,  /* until it is told to stop; it is there when the answer is */
	POOL_STOP,
	POOL_END,
	/* the answer */
	POOL_REPLY = 64,
};

struct pool_ask {
	struct wire_head head; /* type: enum pool_verb */
	uint64_t size_bytes;
	char name[POOL_NAME_SIZE];
	char id[POOL_ID_SIZE];
};
static_assert(sizeof(struct pool_ask) == 112, "pool format changed");

struct pool_reply {
	struct wire_head head;
	int32_t status; /* 0 or -errno */
	uint32_t pad;
	char reason[POOL_REASON_SIZE]; /* for people */
};
static_assert(sizeof(struct pool_reply) == 216, "pool format changed");
