/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another worker for a device. What follows when one died: the container's requests wait, those the
 * dead worker had are asked again, and another worker takes over with the same descriptors. Whoever
 * uses the device sees a pause.
 *
 * Every step may be the last of this process. The record says which worker was
 * made, and, for kernels before 6.16, whether it may have begun to fetch: there
 * another one must not be tried then (the driver would break).
 */
#pragma once

#include "driver/privileged/op.h"

/*
 * For a device whose worker has ended. 0: it is served again, or is settled
 * otherwise (ended, failed, somebody else's work). -errno: not this time; it may be tried again.
 */
int recover_run(const struct op *op, uint64_t generation, struct err *e);

struct recover_upgraded {
	pid_t old_pid;
	pid_t new_pid;
	uint32_t pause_us; /* between the two no request was served */
	uint64_t size_bytes;
};

/*
 * What is to be another with the next worker: changes the record. backing_fd is what it serves
 * from; -1: a server, of which an image is to be made as large as the record then says. -EALREADY:
 * it is so, and needs no other worker.
 */
typedef int recover_change(const struct op *op, void *arg, struct record *rec, int backing_fd,
			   struct err *e);

/*
 * Another worker for a device that is served. Until all that can fail has been done by the new
 * one the old one goes on, and is there still when that fails. change may be NULL.
 */
int recover_upgrade(const struct op *op, uint64_t generation, recover_change *change, void *arg,
		    struct recover_upgraded *ret_upgraded, struct err *e);

/* No other worker: whoever has the device open gets errors from now on, and why is on record. */
int recover_give_up(const struct op *op, uint64_t generation, const char *why, struct err *e);
