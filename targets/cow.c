/* SPDX-License-Identifier: Apache-2.0 */
#include "targets/cow.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <unistd.h>

#include "targets/cow_commit.h"
#include "targets/cow_work.h"
#include "targets/registry.h"
#include "targets/transfer.h"

static const struct target_ring_op cow_ring_ops[] = {
	{ IORING_OP_READ_FIXED, 1 << IO_READ },
	{ IORING_OP_WRITE_FIXED, 1 << IO_WRITE },
	{ IORING_OP_FALLOCATE, IO_OPS_SPACE },
	{ IORING_OP_FSYNC, 1 << IO_FLUSH },
	/* Of its own memory: copies from the base, and blocks of the map. */
	{ IORING_OP_READ, IO_OPS_CHANGING },
	{ IORING_OP_WRITE, IO_OPS_CHANGING },
	{ 0, 0 },
};

/* --- opening --------------------------------------------------------------------------- */

/* Into memory that a file read past the page cache can be read to. */
static int cow_load(int fd, unsigned char *to, uint64_t off, uint64_t size, struct err *e)
{
	ssize_t n;

	for (; size; off += (uint64_t)n, to += n, size -= (uint64_t)n) {
		n = pread(fd, to, size < 1 << 30 ? size : 1 << 30, (off_t)off);
		if (n <= 0)
			return err_sys(e, n ? errno : EIO, "cannot read the delta");
	}
	return 0;
}

/*
 * Who made it or looked at it left pages of it in the page cache. As long as there is one, each
 * write looks for others in its place, before and after, and is ended by a thread of the kernel.
 */
static void cow_forget_pages(const struct target *t)
{
	posix_fadvise(t->fds[COW_DELTA], 0, 0, POSIX_FADV_DONTNEED);
}

static int cow_load_map(struct cow *c, const struct target *t, struct err *e)
{
	int r = cow_load(t->fds[COW_DELTA], c->map, c->layout.map_off, c->layout.map_bytes, e);

	if (r < 0)
		return r;
	cow_forget_pages(t);
	return cow_map_ok(&c->layout, c->map)
		       ? 0
		       : err_set(e, EINVAL, "the map of the delta is damaged");
}

static int cow_open_delta(struct cow *c, const struct target *t, struct err *e)
{
	off_t end = lseek(t->fds[COW_DELTA], 0, SEEK_END);
	struct cow_header h;
	int r;

	if (end < 0)
		return err_sys(e, errno, "cannot measure the delta");
	r = cow_load(t->fds[COW_DELTA], c->image, 0, COW_HEADER_BYTES, e);
	if (r == 0)
		r = cow_header_read(&h, &c->layout, c->image, (uint64_t)end, e);
	if (r < 0)
		return r;
	if (h.dev_bytes != t->dev_bytes)
		return err_set(e, EINVAL, "the delta is for a base of %llu bytes, not %llu",
			       (unsigned long long)h.dev_bytes, (unsigned long long)t->dev_bytes);
	c->syncs = !(h.flags & COW_EPHEMERAL);
	c->map = aligned_alloc(COW_ALIGN, c->layout.map_bytes);
	if (!c->map)
		return err_sys(e, ENOMEM, "no memory for a map of %llu bytes",
			       (unsigned long long)c->layout.map_bytes);
	return cow_load_map(c, t, e);
}

static int cow_open_base(const struct target *t, struct err *e)
{
	off_t end = lseek(t->fds[COW_BASE], 0, SEEK_END);

	if (end < 0)
		return err_sys(e, errno, "cannot measure the base");
	if ((uint64_t)end < t->dev_bytes)
		return err_set(e, ENOSPC, "the base is shorter than the device");
	return 0;
}

static int cow_open(struct target *t, struct err *e)
{
	struct cow *c = calloc(1, sizeof(*c));
	int r;

	static_assert(COW_HEADER_BYTES <= COW_BLOCK_BYTES, "the header is read into a block");
	if (!c)
		return err_sys(e, ENOMEM, "cannot begin");
	t->priv = c;
	c->map_writes = 1; /* what the worker before did may not be safe yet */
	r = cow_work_open(c, t, e);
	if (r == 0)
		r = cow_open_delta(c, t, e);
	return r < 0 ? r : cow_open_base(t, e);
}

/* The worker before may have served until now: what it changed is in the file alone. */
static int cow_begin(struct target *t, struct err *e)
{
	return cow_load_map(t->priv, t, e);
}

/* --- requests ------------------------------------------------------------------------------ */

static uint64_t cow_first(const struct cow *c, const struct io *io)
{
	return io->off / c->layout.cluster_bytes;
}

static uint64_t cow_end(const struct cow *c, const struct io *io)
{
	return (io->off + io->len - 1) / c->layout.cluster_bytes + 1;
}

static void cow_punch(struct target *t, struct queue *q, struct io *io)
{
	const struct cow *c = t->priv;
	struct io_uring_sqe *sqe = io_sqe(t, q, io, COW_DELTA);

	sqe->opcode = IORING_OP_FALLOCATE;
	sqe->off = c->layout.data_off + io->off;
	sqe->addr = io->len;
	sqe->len = FALLOC_FL_KEEP_SIZE |
		   (io->keep_space ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE);
}

void cow_pass(struct target *t, struct queue *q, struct io *io, enum cow_file file)
{
	const struct cow *c = t->priv;

	if (io->op == IO_READ || io->op == IO_WRITE)
		transfer_submit(t, q, io, file, file == COW_BASE ? 0 : c->layout.data_off);
	else
		cow_punch(t, q, io);
}

int cow_pass_go_on(struct target *t, struct queue *q, struct io *io, enum cow_file file, int result)
{
	const struct cow *c = t->priv;

	if (io->op == IO_READ || io->op == IO_WRITE)
		return transfer_go_on(t, q, io, file, file == COW_BASE ? 0 : c->layout.data_off,
				      result);
	return result < 0 ? result : 1;
}

static void cow_direct(struct target *t, struct queue *q, struct io *io, enum cow_file file)
{
	io->work = file == COW_BASE ? COW_ON_BASE : COW_ON_DELTA;
	cow_pass(t, q, io, file);
}

static bool cow_is_delta(const struct cow *c, uint64_t first, uint64_t end)
{
	return cow_map_get(c->map, first) && cow_map_run(c->map, first, end) == end;
}

/* All of it is in the delta. A write is safe when it is done only if its bits are. */
static void cow_change_delta(struct target *t, struct queue *q, struct io *io)
{
	struct cow *c = t->priv;

	if (!io->fua || c->map_synced == c->map_writes) {
		cow_direct(t, q, io, COW_DELTA);
		return;
	}
	cow_work_take(c, q, io, COW_WRITE_SYNC);
	io->fua = false;
	cow_pass(t, q, io, COW_DELTA);
}

static void cow_change(struct target *t, struct queue *q, struct io *io)
{
	struct cow *c = t->priv;
	uint64_t first = cow_first(c, io), end = cow_end(c, io);
	struct cow_work *w;

	io->fua &= c->syncs;
	if (cow_is_delta(c, first, end)) {
		cow_change_delta(t, q, io);
		return;
	}
	w = cow_work_take(c, q, io, COW_WAITS);
	w->first = first;
	w->end = end;
	w->fua = io->fua;
	io->fua = false;
	if (cow_work_must_wait(c, w))
		cow_work_push(&c->waiting, w);
	else
		cow_work_begin(t, w);
}

void cow_wake(struct target *t)
{
	struct cow *c = t->priv;
	struct cow_list all;
	struct cow_work *w;

	cow_work_move(&all, &c->waiting);
	while ((w = cow_work_pop(&all))) {
		struct queue *q = w->q;
		struct io *io = w->io;

		if (c->failed) {
			cow_work_finish(c, w, c->failed);
		} else if (cow_is_delta(c, w->first, w->end)) {
			io->fua = w->fua;
			cow_work_drop(c, w);
			cow_change_delta(t, q, io);
		} else if (cow_work_must_wait(c, w)) {
			cow_work_push(&c->waiting, w);
		} else {
			cow_work_begin(t, w);
		}
	}
}

/* A part of a read, as much as is in one place. */
static void cow_read_run(struct target *t, struct cow_work *w)
{
	const struct cow *c = t->priv;
	uint64_t cluster = w->at / c->layout.cluster_bytes;
	bool delta = cow_map_get(c->map, cluster);
	uint64_t end = cow_map_run(c->map, cluster, w->end) * c->layout.cluster_bytes;
	struct io_uring_sqe *sqe = io_sqe(t, w->q, w->io, delta ? COW_DELTA : COW_BASE);

	if (end > w->until)
		end = w->until;
	w->len = (uint32_t)(end - w->at < t->piece_bytes ? end - w->at : t->piece_bytes);
	sqe->opcode = IORING_OP_READ_FIXED;
	sqe->off = w->at + (delta ? c->layout.data_off : 0);
	sqe->addr = (uintptr_t)w->io->buf + (w->at - w->io->off);
	sqe->len = w->len;
	sqe->buf_index = w->io->buf_index;
}

static void cow_read(struct target *t, struct queue *q, struct io *io)
{
	struct cow *c = t->priv;
	uint64_t first = cow_first(c, io), end = cow_end(c, io);
	struct cow_work *w;

	if (cow_map_run(c->map, first, end) == end) {
		cow_direct(t, q, io, cow_map_get(c->map, first) ? COW_DELTA : COW_BASE);
		return;
	}
	w = cow_work_take(c, q, io, COW_READ_RUN);
	w->end = end;
	w->at = io->off;
	w->until = io->off + io->len;
	cow_read_run(t, w);
}

static void cow_read_done(struct target *t, struct cow_work *w, int result)
{
	w->at += result > 0 ? (uint32_t)result : 0;
	if (result > 0 && w->at < w->until)
		cow_read_run(t, w);
	else
		cow_work_finish(t->priv, w, result > 0 ? 0 : result ? result : -ENXIO);
}

static void cow_flush(struct target *t, struct queue *q, struct io *io)
{
	struct cow *c = t->priv;

	if (c->syncs)
		cow_commit_sync(t, cow_work_take(c, q, io, COW_SYNC));
	else
		io_done(q, io, 0);
}

static void (*const cow_start[IO_OP_END])(struct target *t, struct queue *q, struct io *io) = {
	[IO_READ] = cow_read,	   [IO_WRITE] = cow_change,	   [IO_FLUSH] = cow_flush,
	[IO_DISCARD] = cow_change, [IO_WRITE_ZEROES] = cow_change,
};

static void cow_submit(struct target *t, struct queue *q, struct io *io)
{
	const struct cow *c = t->priv;

	if (c->failed && io->op != IO_READ)
		io_done(q, io, c->failed);
	else
		cow_start[io->op](t, q, io);
}

/* --- answers of the ring ---------------------------------------------------------------------- */

static void cow_direct_done(struct target *t, struct queue *q, struct io *io, int result)
{
	struct cow *c = t->priv;
	int r;

	/* The kernel says only once that data is lost, to whoever syncs first: this may be it. */
	if (result < 0 && io->fua && !c->failed)
		c->failed = result;
	r = cow_pass_go_on(t, q, io, io->work == COW_ON_BASE ? COW_BASE : COW_DELTA, result);
	if (r)
		io_done(q, io, r < 0 ? r : 0);
}

static void cow_write_sync_done(struct target *t, struct cow_work *w, int result)
{
	int r = cow_pass_go_on(t, w->q, w->io, COW_DELTA, result);

	if (r < 0) {
		cow_work_finish(t->priv, w, r);
	} else if (r) {
		w->stage = COW_SYNC;
		cow_commit_sync(t, w);
	}
}

static void cow_sync_done(struct target *t, struct cow_work *w, int result)
{
	cow_work_finish(t->priv, w, cow_commit_synced(t->priv, w, result));
}

static void (*const cow_answer[])(struct target *t, struct cow_work *w, int result) = {
	[COW_COPY_READ] = cow_work_copied,
	[COW_COPY_WRITE] = cow_work_copied,
	[COW_DATA] = cow_work_data_done,
	[COW_COMMITS] = cow_commit_go_on,
	[COW_SYNC] = cow_sync_done,
	[COW_READ_RUN] = cow_read_done,
	[COW_WRITE_SYNC] = cow_write_sync_done,
};

static void cow_complete(struct target *t, struct queue *q, struct io *io, int result)
{
	struct cow_work *w;

	if (io->work >= COW_ON_DELTA) {
		cow_direct_done(t, q, io, result);
		return;
	}
	w = cow_work_of(t->priv, io);
	cow_answer[w->stage](t, w, result);
}

const struct target_ops target_cow = {
	.name = "cow",
	.nr_files = 2,
	.io_ops = 1 << IO_READ | 1 << IO_WRITE | 1 << IO_FLUSH | 1 << IO_DISCARD |
		  1 << IO_WRITE_ZEROES,
	.ring_ops = cow_ring_ops,
	.open = cow_open,
	.begin = cow_begin,
	.submit = cow_submit,
	.complete = cow_complete,
};
