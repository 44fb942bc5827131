/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What crosses between the helper and the keeper, which holds descriptors by
 * the generation of the device they belong to.
 *
 *   helper                          keeper
 *   KEEP_PUT + a box             ->           replaces what it has under that name
 *   KEEP_GET, KEEP_DROP          ->
 *                                <- KEEP_REPLY + a box, for a name it has
 *   KEEP_LIST                    ->
 *                                <- KEEP_NAMES: what it has, some at a time
 *
 * One request per connection: the keeper hangs up behind its answer. After
 * KEEP_STAY it does not, so that the helper learns of its end.
 *
 * A box is one end of a socket pair in which a packet with the descriptor is
 * queued, and whose other end is closed. The keeper holds, passes and closes
 * boxes only: to close a file may wait for its file system for ever, to close a
 * box may not, unless it is the last one. Hence what leaves the table goes to
 * who asked for it, who holds it until the keeper has hung up.
 *
 * All versions begin a request like struct keep_request and answer one of
 * another version with -EPROTONOSUPPORT in this struct keep_reply.
 */
#pragma once

#include "driver/wire/start.h"

#define KEEP_MAGIC 0x6b74736fu
#define KEEP_VERSION 1
#define KEEP_ENTRIES_MAX 4096
#define KEEP_CONNECTIONS_MAX 64 /* others wait until one of these has been answered */

enum keep_type {
	KEEP_NONE,
	KEEP_STAY,
	KEEP_PUT,
	KEEP_GET,
	KEEP_DROP,
	KEEP_LIST, /* generation: the place of the first name; a keeper before it hangs up */
	KEEP_TYPES,
	KEEP_REPLY = 64,
	KEEP_NAMES,
};

struct keep_request {
	uint32_t magic;
	uint16_t version;
	uint16_t type; /* enum keep_type */
	uint32_t size; /* of the whole packet, bytes */
	uint32_t nr_fds;
	uint64_t generation; /* KEEP_STAY: 0; KEEP_LIST: how many to leave out */
};
static_assert(sizeof(struct keep_request) == 24, "keep format changed");

struct keep_reply {
	uint32_t magic;
	uint16_t version;
	uint16_t type; /* KEEP_REPLY */
	uint32_t size;
	uint32_t nr_fds;
	int32_t status; /* 0 or -errno */
	uint32_t pad;
};
static_assert(sizeof(struct keep_reply) == 24, "keep format changed");

/* Fewer than KEEP_NAMES_MAX: these are the last. In no order, and what is dropped meanwhile may
 * hide another one. */
#define KEEP_NAMES_MAX 64

struct keep_names {
	uint32_t magic;
	uint16_t version;
	uint16_t type; /* KEEP_NAMES */
	uint32_t size;
	uint32_t nr_fds; /* 0 */
	uint32_t nr;
	uint32_t pad;
	uint64_t generations[KEEP_NAMES_MAX];
};
static_assert(sizeof(struct keep_names) == 536, "keep format changed");

/*
 * START_KEEP, the first packet on the keeper's START_CHANNEL_FD, with a bound
 * socket it is to listen on; answered by START_READY or START_FAILED.
 */
struct keep_start {
	struct start_head head;
	uint16_t nr_filter; /* instructions, at least one */
	uint16_t pad[3];
	uint64_t filter[START_FILTER_MAX]; /* as in struct start_spec */
};
static_assert(sizeof(struct keep_start) == 536, "keep format changed");
