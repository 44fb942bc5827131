/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections to an NBD server, by the connector, which has the network and speaks with who
 * cannot be trusted. It is not believed either: what it hands back counts if it is stream sockets
 * and numbers that can be true.
 */
#pragma once

#include "driver/privileged/op.h"
#include "driver/wire/connect.h"
#include "driver/wire/start.h"

struct nbd_server {
	int fds[WIRE_CONNECTIONS_MAX]; /* owned */
	unsigned int nr;
	uint32_t flags; /* enum start_nbd_flag */
	uint64_t bytes;
	uint32_t min_block_bytes;
	uint32_t preferred_block_bytes;
	uint32_t max_block_bytes; /* 0: it does not say, as of the others */
};

#define NBD_SERVER_INIT                                                                            \
	{                                                                                          \
		.fds = { -1, -1, -1, -1 }                                                          \
	}

void nbd_server_fini(struct nbd_server *s);
#define auto_nbd_server __attribute__((cleanup(nbd_server_fini)))

/*
 * Where it is; or, with nr_given, connected sockets to it on which nothing was said yet, and what
 * it is called.
 */
struct nbd_place {
	const char *address;
	const char *export_name;
	unsigned int nr_connections;
	const int *given; /* borrowed */
	unsigned int nr_given;
};

/* -ENOTCONN: there is no connector; else what the server, or the way to it, has said. */
int nbd_connect(struct nbd_server *ret, const struct nbd_place *place, int timeout_ms,
		struct err *e);

/*
 * Sockets of a worker that is gone: 0 when the server has closed them, and so done all it was
 * asked by them. -EBUSY: it is not known.
 */
int nbd_end(const int *fds, unsigned int nr, int timeout_ms, struct err *e);

/* What the server is goes on record; -EINVAL or -EROFS: a device cannot be made of it. */
int nbd_note(struct record *rec, const struct nbd_server *s, struct err *e);

/*
 * The device is what it was made as: what it does, the next server must still be able to do.
 * -EINVAL or -EROFS: this one is not.
 */
int nbd_check_same(const struct record *rec, const struct nbd_server *s, struct err *e);

/* As they are kept, to be known again. */
int nbd_note_sockets(struct record *rec, const int *fds, unsigned int nr, struct err *e);

/*
 * Can it be known, once its worker is gone, that nothing can come of its connections any more? Not
 * 0: then nbd_reconnect() would say so, too late.
 */
int nbd_may_leave(const struct record *rec, struct err *e);

/*
 * The server of a device whose worker is gone, by new connections, when nothing can come of the
 * old ones any more. -ENOENT: that will never be known.
 */
int nbd_reconnect(struct nbd_server *ret, const struct record *rec, int timeout_ms, struct err *e);
