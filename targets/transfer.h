/* SPDX-License-Identifier: Apache-2.0 */
/* A read or write as ring operations on a file, for targets that pass it on as it is. */
#pragma once

#include "targets/target.h"

/* Moves what is left of io, between io's buffer and the file `file` of the target. */
void transfer_submit(struct target *t, struct queue *q, struct io *io, unsigned int file);

/* Its answer: goes on after a part, else ends the I/O. */
void transfer_complete(struct target *t, struct queue *q, struct io *io, unsigned int file,
		       int result);
