/* SPDX-License-Identifier: Apache-2.0 */
/* What a target is asked for an operation of the model. */
#pragma once

#include "targets/target.h"
#include "tests/unit/model.h"

static inline struct io model_io(const struct model_op *op)
{
	static const enum io_op ops[] = {
		[MODEL_READ] = IO_READ,	      [MODEL_WRITE] = IO_WRITE,
		[MODEL_DISCARD] = IO_DISCARD, [MODEL_ZERO] = IO_WRITE_ZEROES,
		[MODEL_FLUSH] = IO_FLUSH,
	};
	bool moves = op->kind == MODEL_READ || op->kind == MODEL_WRITE;

	return (struct io){ .op = ops[op->kind],
			    .fua = op->fua,
			    .keep_space = op->keep_space,
			    .off = op->off,
			    .len = op->len,
			    .buf = moves ? op->data : NULL };
}
