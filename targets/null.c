/* SPDX-License-Identifier: Apache-2.0 */
#include "targets/registry.h"

#include <string.h>

static void null_submit(struct target *t, struct queue *q, struct io *io)
{
	if (io->op == IO_READ)
		memset(io->buf, 0, io->len);
	io_done(q, io, 0);
}

const struct target_ops target_null = {
	.name = "null",
	.io_ops = 1 << IO_READ | 1 << IO_WRITE | 1 << IO_FLUSH | 1 << IO_DISCARD |
		  1 << IO_WRITE_ZEROES,
	.submit = null_submit,
};
