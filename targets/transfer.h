/* SPDX-License-Identifier: Apache-2.0 */
/* A read or write as ring operations on a file, for targets that pass it on as it is. */
#pragma once

#include "targets/target.h"

/*
 * Moves what is left of io, between io's buffer and the file `file` of the target, in which
 * the device begins at byte `begin`.
 */
void transfer_submit(struct target *t, struct queue *q, struct io *io, unsigned int file,
		     uint64_t begin);

/* Its answer: 1 when all is moved, -errno, or 0: there is more, which is under way. */
int transfer_go_on(struct target *t, struct queue *q, struct io *io, unsigned int file,
		   uint64_t begin, int result);

/* The same with begin 0, and it ends the I/O. */
void transfer_complete(struct target *t, struct queue *q, struct io *io, unsigned int file,
		       int result);
