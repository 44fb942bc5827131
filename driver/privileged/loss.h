/* SPDX-License-Identifier: Apache-2.0 */
/* What ends with a device that is ended now, in words for whoever asks for that. */
#pragma once

#include <stdbool.h>

#include "driver/privileged/op.h"

/*
 * Is it in use? -EBUSY: *e says by whom. Looks at others' files: not for longer than timeout_ms,
 * then -ETIMEDOUT.
 */
int loss_in_use(const struct op *op, const struct record *rec, int timeout_ms, struct err *e);

/* The same of the file system that is mounted in place of a node, and is meant to be. */
int loss_in_use_inside(const struct op *op, const struct record *rec, int timeout_ms,
		       struct err *e);

#define LOSS_MAX 4

struct loss {
	bool suspect; /* its worker does not run: nothing is to wait for it */
	unsigned int nr;
	char text[LOSS_MAX][WIRE_REASON_SIZE];
};

/* Never fails: what cannot be found out is said to be so. */
void loss_find(struct loss *ret, const struct op *op, const struct record *rec);
