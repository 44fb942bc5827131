/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Target nbd and a server in plain memory: what goes between them goes in pieces, and answers
 * come in any order. Below is tests/fake/core_fake.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "targets/target.h"
#include "tests/fake/core_fake.h"

#define NBD_WORLD_BYTES (1u << 20)
#define NBD_WORLD_TAGS 16
#define NBD_WORLD_CONNECTIONS 4
#define NBD_WORLD_ALL (TARGET_NBD_FLUSH | TARGET_NBD_FUA | TARGET_NBD_TRIM | TARGET_NBD_ZERO)

enum nbd_world_command { WORLD_READ, WORLD_WRITE, WORLD_FLUSH = 3, WORLD_TRIM, WORLD_ZERO = 6 };

/* As it came to the server. */
struct nbd_world_request {
	unsigned int connection;
	uint16_t flags;
	uint16_t type;
	uint64_t cookie;
	uint64_t off;
	uint32_t len;
};

struct nbd_world_way {
	unsigned char *bytes;
	size_t nr;
	size_t room;
};

struct nbd_world {
	struct target target;
	unsigned char *disk;
	struct nbd_world_way in[NBD_WORLD_CONNECTIONS];	 /* to the server */
	struct nbd_world_way out[NBD_WORLD_CONNECTIONS]; /* from it */
	struct nbd_world_request requests[NBD_WORLD_TAGS * 2];
	unsigned int nr_requests; /* that are not answered */
	unsigned int nr_seen;
	struct nbd_world_request last;
	uint64_t random;
	struct io ios[NBD_WORLD_TAGS];
	bool busy[NBD_WORLD_TAGS];
	int errors[NBD_WORLD_TAGS];
};

extern struct nbd_world *nbd_world;

void nbd_world_begin(uint32_t flags, unsigned int nr_connections, uint64_t seed);
void nbd_world_end(void);

/* A request of this tag; its data is the caller's. */
void nbd_world_submit(unsigned int tag, struct io io);

/* The server's answer to the request that is its nr-th, and which that was. */
struct nbd_world_request nbd_world_take(unsigned int nr);
void nbd_world_answer(const struct nbd_world_request *r, uint32_t magic, uint32_t error);

/* Something happens, if anything can: false: nothing does. */
bool nbd_world_move(void);  /* bytes */
bool nbd_world_serve(void); /* one answer, as it should be */
void nbd_world_run(void);   /* until nothing does */

/* One request by itself, to its end. */
int nbd_world_one(struct io io);
