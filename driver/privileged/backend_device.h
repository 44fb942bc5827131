/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The back end of a device: there from its attach to its end, and started anew with each worker. So
 * nothing a dead worker asked for can come behind what the next one asks, and nothing has to be
 * kept: who comes next finds the image by its path, and counts only if it is the file on record.
 */
#pragma once

#include <string.h>

#include "driver/privileged/cgroup.h"
#include "driver/privileged/nbd.h"
#include "driver/privileged/op.h"
#include "targets/catalog.h"

#define BACKEND_ADDRESS "exec:"

/* Is what serves the device a program that we start? */
static inline bool backend_serves(const struct record *rec)
{
	const struct catalog_target *target = catalog_target(rec->target);

	return target &&
	       (target->image || (target->by_address && !strncmp(rec->backing, BACKEND_ADDRESS,
								 strlen(BACKEND_ADDRESS))));
}

/*
 * Ends the one that is there, starts another, and agrees with it on its export. In a child's place,
 * as spawn_worker(). The cgroup of rec has its name. ret_pid may be NULL: a child of the caller.
 */
int backend_device_start(const struct op *op, const struct record *rec, struct nbd_server *ret,
			 pid_t *ret_pid, struct err *e);

/*
 * What the one that served the device said, after it had begun to: one line in the log, once. The
 * keeper has it, since the request that started it is over.
 */
void backend_device_last_words(const struct record *rec);

/* One that was started when the size was not known may write as much as the record's allows. */
int backend_device_limit(const struct record *rec, pid_t pid, struct err *e);

/*
 * Ends the one that is there, and makes the image as large as rec says, by a tool in the same
 * place. -EPROTO: it says why not; also of one that is larger. The image is never made smaller.
 */
int backend_device_grow(const struct op *op, const struct record *rec, int timeout_ms,
			struct err *e);

/*
 * What the image's own tool says of it: a file of the caller's, sealed. In the same place, while
 * the back end goes on; who asks meanwhile ends who asked before.
 */
int backend_device_snapshots(const struct op *op, const struct record *rec, int timeout_ms,
			     int *ret_fd, struct err *e);

/* Is there what another one would be started from? */
int backend_device_may_leave(const struct op *op, const struct record *rec, struct err *e);

/* The cgroup of who reads and writes what is behind the device: its back end's, or its worker's. */
void backend_device_cgroup(const struct record *rec, char path[CGROUP_PATH_SIZE]);

/* When nobody asks it for anything any more. Not there is fine. */
int backend_device_end(const struct record *rec, struct err *e);
