/* SPDX-License-Identifier: Apache-2.0 */
/* What may be asked of the helper, in what shape: the table in request.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/privileged/op.h"
#include "driver/wire/packet.h"

struct request {
	uint16_t type;	  /* enum wire_type */
	const char *name; /* for the audit */
	uint32_t size;	  /* of the packet, exactly */
	uint32_t fds_max;
	bool root_only;
	/* Answers the peer. 0, or -errno with a reason, which becomes a refusal. */
	int (*serve)(struct op *op, struct packet *p, struct err *e);
};

/*
 * The row for a packet as it was received, or NULL: its size, its number of
 * fds or its words are not a request's, and the connection ends. A version
 * that is not ours gives *ret_version_refused.
 */
const struct request *request_admit(const void *bytes, size_t size, unsigned int nr_fds,
				    int *ret_version_refused);

/* Receives the peer's one request, serves it and answers. */
void request_run(struct op *op);

/* One audit line for a refusal that no rule decided; rec: what it is about, or NULL. */
void request_refused(const struct op *op, const char *what, const struct record *rec,
		     const char *reason);

/* A WIRE_REPLY: status 0 or -errno; rec: the device, or NULL. Waits a little for room. */
int request_reply(int peer_fd, int status, const struct record *rec, const char *reason);

/*
 * For the main process, which waits for nobody: who has not read what it was
 * sent does not read why it was refused either.
 */
int request_refuse_now(int peer_fd, int status, const char *reason);

/* It is done: what it took, for who wants to know, and a WIRE_REPLY. */
void request_done(const struct op *op, const struct record *rec);
