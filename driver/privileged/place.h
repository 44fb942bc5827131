/* SPDX-License-Identifier: Apache-2.0 */
/* A device that is served, on its way into a container: what it takes besides the device. */
#pragma once

#include "driver/privileged/container.h"
#include "driver/privileged/devfilter.h"
#include "driver/privileged/op.h"

/*
 * Facts about the container of pidfd, into c and the record, and whether the peer may name it.
 * Takes pidfd, whatever the outcome.
 */
int place_look(const struct op *op, struct container *c, struct record *rec, int pidfd,
	       struct err *e);

/*
 * The same where the host is to have it, its file system on a directory or itself on a file: into
 * c the host, into the record where fd is. Borrows fd. -EPERM: that is neither root's nor the
 * peer's.
 */
int place_look_host(const struct op *op, struct container *c, struct record *rec, int fd,
		    struct err *e);

/* The limits of the rule. -ENOTSUP: the container has nothing they could be put to. */
int place_limit(const struct op *op, const struct container *c, const struct record *rec,
		struct err *e);

/* The container's device filter lets it through. */
int place_allow(const struct op *op, const struct container *c, const struct record *rec,
		struct err *e);

/* How that lets it through, enum devfilter_how. */
static inline unsigned int place_filter_how(const struct record *rec)
{
	return (rec->flags & WIRE_READ_ONLY ? 0u : DEVFILTER_WRITE) |
	       (rec->grants & RECORD_UNIT ? DEVFILTER_IN_UNIT : 0u);
}

/* Its node there. Borrows from rec. */
static inline struct node_spec place_node(const struct record *rec)
{
	return (struct node_spec){
		.path = rec->path,
		.id = { rec->major, rec->minor,
			rec->flags & WIRE_CLAIMED ? (uint32_t)rec->generation : 0 },
		.uid = rec->node_uid,
		.gid = rec->node_gid,
		.mode = rec->node_mode,
	};
}

/* For a device that is in place already: what its container may have taken away. */
int place_again(const struct op *op, const struct container *c, struct record *rec, struct err *e);

/*
 * All of it, the node (or the file system in its stead), and an open from inside before it is
 * reported. What is done on the way is on record, for undo_run().
 */
int place_run(const struct op *op, const struct container *c, struct record *rec, struct err *e);
