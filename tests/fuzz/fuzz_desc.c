/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any descriptor on any device: what io_from_desc() lets through lies inside
 * the device in whole blocks, fits the buffer, and changes nothing on a
 * read-only device. The rest becomes an errno the block layer knows.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver/worker/desc.h"
#include "driver/worker/queue.h"
#include "tests/fuzz/fuzz.h"

struct input {
	struct ublksrv_io_desc desc;
	uint64_t dev_blocks;
	uint8_t io_ops;
	uint8_t block_shift; /* 9 and up */
	uint8_t read_only;
	uint8_t buffer_pages;
	int32_t error;
};

static void check_io(const struct queue *q, const struct io *io, uint32_t op_flags)
{
	const struct target *t = q->target;

	must(io->op > IO_NONE && io->op < IO_OP_END && t->ops->io_ops & 1u << io->op);
	must(!t->read_only || io->op == IO_READ);
	must(t->discard || (io->op != IO_DISCARD && io->op != IO_WRITE_ZEROES));
	must(!io->fua || (io->op == IO_WRITE && op_flags & UBLK_IO_F_FUA));
	if (io->op == IO_FLUSH)
		return;
	must(io->len && io->len <= t->dev_bytes && io->off <= t->dev_bytes - io->len);
	must(io->off % q->block_bytes == 0 && io->len % q->block_bytes == 0);
	if (io->op == IO_READ || io->op == IO_WRITE)
		must(io->len <= q->max_io_bytes && io_result(io, 0) == (int)io->len);
	else
		must(io_result(io, 0) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct target_ops ops = { .name = "fuzz" };
	struct target t = { .ops = &ops };
	struct queue q = { .target = &t, .depth = 1 };
	struct io io = { 0 };
	struct input in;
	int r;

	if (size != sizeof(in))
		return 0;
	memcpy(&in, bytes, sizeof(in));
	q.block_bytes = 512u << in.block_shift % 4;
	q.max_io_bytes = (1u + in.buffer_pages) * 4096;
	ops.io_ops = in.io_ops;
	t.dev_bytes = in.dev_blocks % (INT64_MAX / q.block_bytes) * q.block_bytes;
	t.read_only = in.read_only & 1;
	t.discard = !(in.read_only & 2);
	r = io_from_desc(&q, &in.desc, &io);
	must(r <= 0);
	if (!r)
		check_io(&q, &io, in.desc.op_flags);
	if (in.error < 0)
		must(io_result(&io, in.error) < 0);
	return 0;
}
