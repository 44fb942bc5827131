/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What crosses between the helper and the connector, which has the network and an uid of its own:
 * it finds an NBD server, agrees with it on an export, and hands the connected sockets over.
 *
 *   helper                          connector
 *   CONNECT_MAKE                 ->           an address, or connected sockets to agree on
 *                                <- CONNECT_MADE + sockets, or why not
 *   CONNECT_END + sockets        ->           of a worker that is gone
 *                                <- CONNECT_ENDED: 0 when the server has closed them all
 *
 * One request per connection. Of an answer the helper reads numbers, each held against what can
 * be true, and words for people.
 */
#pragma once

#include <assert.h>
#include <stdint.h>

#include "driver/wire/wire.h"

#define CONNECT_SOCKET "/run/ublk-oci/nbd.sock" /* root's, 0600 */
#define CONNECT_MAGIC 0x636e6275u
#define CONNECT_VERSION 1
#define CONNECT_REASON_SIZE 192

enum connect_type {
	CONNECT_NONE,
	CONNECT_MAKE,
	CONNECT_END,
	CONNECT_MADE = 64,
	CONNECT_ENDED,
};

struct connect_head {
	uint32_t magic;
	uint16_t version;
	uint16_t type; /* enum connect_type */
	uint32_t size; /* of the whole packet, bytes */
	uint32_t nr_fds;
};
static_assert(sizeof(struct connect_head) == 16, "connect format changed");

/*
 * fds: connected sockets on which nothing was said yet, and then no address; or none. So many
 * connections are made as are asked for if the server allows it, else one.
 */
struct connect_make {
	struct connect_head head;
	uint32_t nr_connections; /* 1 to WIRE_CONNECTIONS_MAX */
	uint32_t timeout_ms;
	char address[WIRE_ADDRESS_SIZE];    /* "unix:/PATH", "tcp:HOST:PORT" */
	char export_name[WIRE_EXPORT_SIZE]; /* may be empty: the server's default */
};
static_assert(sizeof(struct connect_make) == 408, "connect format changed");

/* fds: the sockets. */
struct connect_end {
	struct connect_head head;
	uint32_t timeout_ms;
	uint32_t pad;
};
static_assert(sizeof(struct connect_end) == 24, "connect format changed");

/* Answer to both. fds of CONNECT_MADE: the sockets, blocking, past option haggling. */
struct connect_made {
	struct connect_head head;
	int32_t status; /* 0 or -errno; then the rest but the reason is zero */
	uint32_t flags; /* enum start_nbd_flag */
	uint64_t bytes;
	uint32_t min_block_bytes; /* 0: it does not say */
	uint32_t preferred_block_bytes;
	uint32_t max_block_bytes;
	uint32_t pad;
	char reason[CONNECT_REASON_SIZE];
};
static_assert(sizeof(struct connect_made) == 240, "connect format changed");
