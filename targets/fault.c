/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What target file is, but slow, and failing, as it was asked to: for tests of
 * what stands on the device. A request waits for a timeout of the ring, then
 * fails with EIO or goes to the file. Which ones fail is drawn from a sequence
 * that begins anew with each worker, so that a test sees the same twice.
 */
#include "targets/registry.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <stdlib.h>

#define FAULT_ALL (1u << IO_READ | 1u << IO_WRITE | 1u << IO_FLUSH | IO_OPS_SPACE)
#define FAULT_PPM 1000000u

/* struct io's work while it is delayed. */
#define FAULT_WAITS 1

struct fault {
	struct __kernel_timespec delay; /* read by the kernel when it takes the entry */
	uint64_t random;		/* never 0 */
};

static const struct target_ring_op fault_ring_ops[] = {
	{ IORING_OP_READ_FIXED, 1 << IO_READ }, { IORING_OP_WRITE_FIXED, 1 << IO_WRITE },
	{ IORING_OP_FALLOCATE, IO_OPS_SPACE },	{ IORING_OP_FSYNC, 1 << IO_FLUSH },
	{ IORING_OP_TIMEOUT, FAULT_ALL },	{ 0, 0 },
};

static int fault_open(struct target *t, struct err *e)
{
	struct fault *f = calloc(1, sizeof(*f));

	if (!f)
		return err_sys(e, ENOMEM, "cannot begin");
	f->delay.tv_sec = t->fault.delay_us / 1000000;
	f->delay.tv_nsec = t->fault.delay_us % 1000000 * 1000LL;
	f->random = UINT64_C(0x9e3779b97f4a7c15);
	t->priv = f;
	return target_file.open(t, e);
}

/* xorshift64: even enough for a ratio. */
static uint32_t fault_draw(struct fault *f)
{
	f->random ^= f->random << 13;
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return (uint32_t)(f->random >> 32) % FAULT_PPM;
}

static bool fault_fails(const struct target *t, const struct io *io)
{
	const struct target_fault *f = &t->fault;

	if (!f->error_ppm)
		return false;
	if (f->error_len &&
	    (io->off >= f->error_off + f->error_len || io->off + io->len <= f->error_off))
		return false;
	return fault_draw(t->priv) < f->error_ppm;
}

static void fault_go_on(struct target *t, struct queue *q, struct io *io)
{
	io->work = 0;
	if (fault_fails(t, io))
		io_done(q, io, -EIO);
	else
		target_file.submit(t, q, io);
}

static void fault_submit(struct target *t, struct queue *q, struct io *io)
{
	const struct fault *f = t->priv;
	struct io_uring_sqe *sqe;

	if (!t->fault.delay_us) {
		fault_go_on(t, q, io);
		return;
	}
	io->work = FAULT_WAITS;
	sqe = io_sqe(t, q, io, 0);
	sqe->opcode = IORING_OP_TIMEOUT;
	sqe->addr = (uintptr_t)&f->delay;
	sqe->len = 1;
}

static void fault_complete(struct target *t, struct queue *q, struct io *io, int result)
{
	if (io->work == FAULT_WAITS)
		fault_go_on(t, q, io); /* -ETIME: as it is meant to end */
	else
		target_file.complete(t, q, io, result);
}

const struct target_ops target_fault = {
	.name = "fault",
	.nr_files = 1,
	.io_ops = FAULT_ALL,
	.ring_ops = fault_ring_ops,
	.open = fault_open,
	.submit = fault_submit,
	.complete = fault_complete,
};
