/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A read-only base and a private delta over it (cow_format.h). A cluster is the
 * base's until it is first written; from then on it is the delta's for good.
 * So all there is to know is one bit per cluster, which only ever gets set.
 *
 * What is the delta's is read and written there, what is the base's is read
 * there, each with one ring operation. The first change of a cluster is work:
 *
 *   copy    of the base what the change leaves of its first and last cluster
 *   data    the change itself
 *   commit  sync the data; set the bits in the file; answer
 *
 * A bit in the file is thus never true before its data is safe, whatever the
 * disk does with what was not synced. Commits are one at a time, each for all
 * that wait for one. Works on the same clusters wait for each other.
 *
 * A work has one operation under way at a time, of its own request; a commit's
 * are those of its first request. One thread serves a device.
 */
#include "targets/registry.h"

#include <errno.h>
#include <linux/falloc.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "targets/cow_format.h"
#include "targets/transfer.h"

#define COW_COPIES 8 /* under way at once */
#define COW_COPY_BYTES (64u << 10)
#define COW_ALIGN 4096

enum cow_file { COW_DELTA, COW_BASE };

/* struct io's work: one more than its place in works, or a single operation on a file. */
enum { COW_ON_DELTA = UINT16_MAX - 1, COW_ON_BASE };

enum cow_stage {
	COW_FREE,
	COW_WAITS, /* for others on the same clusters, or for a copy's buffer */
	COW_COPY_READ,
	COW_COPY_WRITE,
	COW_DATA,
	COW_READY, /* for the next commit */
	COW_COMMITS,
	COW_SYNC, /* a flush, or a write that is to be safe when it is done */
	COW_READ_RUN,
	COW_WRITE_SYNC,
};

struct cow_work {
	struct cow_work *next; /* in the list it is in */
	struct queue *q;
	struct io *io;
	uint64_t first, end; /* clusters */
	uint64_t at, until;  /* bytes: of a copy, or of a read what is left */
	uint64_t seq;	     /* COW_SYNC: what it makes safe */
	uint32_t len;	     /* of the operation under way */
	enum cow_stage stage;
	bool tail; /* the copy is the one behind the change */
	bool fua;
	unsigned char *buffer; /* of its copies */
};

struct cow_list {
	struct cow_work *first;
	struct cow_work **end;
};

struct cow {
	struct cow_layout layout;
	bool syncs;
	unsigned char *map;
	struct cow_work *works;
	unsigned int nr_works;
	struct cow_list free, waiting, ready, committing;
	unsigned char *buffers[COW_COPIES];
	unsigned int nr_buffers;
	unsigned int nr_active; /* works that own clusters */
	uint64_t block;		/* the commit's, of the map */
	unsigned char *image;	/* what that block is to be */
	bool last_sync;		/* the commit's second one */
	uint64_t map_writes, map_synced;
	int failed; /* 0, or why nothing is changed any more */
};

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

/* --- lists ---------------------------------------------------------------------------- */

static void cow_list_init(struct cow_list *l)
{
	l->first = NULL;
	l->end = &l->first;
}

static void cow_push(struct cow_list *l, struct cow_work *w)
{
	w->next = NULL;
	*l->end = w;
	l->end = &w->next;
}

static struct cow_work *cow_pop(struct cow_list *l)
{
	struct cow_work *w = l->first;

	if (!w)
		return NULL;
	l->first = w->next;
	if (!l->first)
		l->end = &l->first;
	return w;
}

static void cow_move(struct cow_list *to, struct cow_list *from)
{
	struct cow_work *w;

	cow_list_init(to);
	while ((w = cow_pop(from)))
		cow_push(to, w);
}

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
	r = cow_load(t->fds[COW_DELTA], c->map, c->layout.map_off, c->layout.map_bytes, e);
	if (r < 0)
		return r;
	return cow_map_ok(&c->layout, c->map)
		       ? 0
		       : err_set(e, EINVAL, "the map of the delta is damaged");
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

static int cow_open_memory(struct cow *c, const struct target *t, struct err *e)
{
	unsigned char *buffers =
		t->read_only ? NULL : aligned_alloc(COW_ALIGN, COW_COPIES * COW_COPY_BYTES);

	c->image = aligned_alloc(COW_ALIGN, COW_BLOCK_BYTES);
	c->works = calloc(t->nr_tags, sizeof(*c->works));
	if (!c->image || !c->works || (!t->read_only && !buffers))
		return err_sys(e, ENOMEM, "no memory for copies");
	for (; buffers && c->nr_buffers < COW_COPIES; c->nr_buffers++)
		c->buffers[c->nr_buffers] = buffers + c->nr_buffers * (size_t)COW_COPY_BYTES;
	c->nr_works = t->nr_tags;
	for (unsigned int i = 0; i < c->nr_works; i++)
		cow_push(&c->free, &c->works[i]);
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
	cow_list_init(&c->free);
	cow_list_init(&c->waiting);
	cow_list_init(&c->ready);
	cow_list_init(&c->committing);
	c->map_writes = 1; /* what the worker before did may not be safe yet */
	r = cow_open_memory(c, t, e);
	if (r == 0)
		r = cow_open_delta(c, t, e);
	return r < 0 ? r : cow_open_base(t, e);
}

/* --- a work's life ----------------------------------------------------------------------- */

static uint64_t cow_first(const struct cow *c, const struct io *io)
{
	return io->off / c->layout.cluster_bytes;
}

static uint64_t cow_end(const struct cow *c, const struct io *io)
{
	return (io->off + io->len - 1) / c->layout.cluster_bytes + 1;
}

static struct cow_work *cow_work_of(struct cow *c, const struct io *io)
{
	return &c->works[io->work - 1];
}

/* There is one for every tag. */
static struct cow_work *cow_take(struct cow *c, struct queue *q, struct io *io,
				 enum cow_stage stage)
{
	struct cow_work *w = cow_pop(&c->free);

	if (!w)
		__builtin_trap();
	*w = (struct cow_work){ .q = q, .io = io, .stage = stage };
	io->work = (uint16_t)(w - c->works + 1);
	return w;
}

static void cow_give_buffer(struct cow *c, struct cow_work *w)
{
	if (w->buffer)
		c->buffers[c->nr_buffers++] = w->buffer;
	w->buffer = NULL;
}

static bool cow_owns(const struct cow_work *w)
{
	return w->stage >= COW_COPY_READ && w->stage <= COW_COMMITS;
}

/* The work is over; the request is the caller's to answer. */
static void cow_drop(struct cow *c, struct cow_work *w)
{
	if (cow_owns(w))
		c->nr_active--;
	cow_give_buffer(c, w);
	w->io->work = 0;
	w->stage = COW_FREE;
	cow_push(&c->free, w);
}

static void cow_finish(struct cow *c, struct cow_work *w, int error)
{
	struct queue *q = w->q;
	struct io *io = w->io;

	cow_drop(c, w);
	io_done(q, io, error);
}

static void cow_wake(struct target *t);

/* Others may have waited for its clusters. */
static void cow_fail(struct target *t, struct cow_work *w, int error)
{
	cow_finish(t->priv, w, error);
	cow_wake(t);
}

static void cow_sync(struct target *t, struct cow_work *w)
{
	struct cow *c = t->priv;
	struct io_uring_sqe *sqe = io_sqe(t, w->q, w->io, COW_DELTA);

	w->seq = c->map_writes;
	sqe->opcode = IORING_OP_FSYNC;
	sqe->fsync_flags = IORING_FSYNC_DATASYNC;
}

/*
 * A sync says once that something was lost, and not what: data of requests that were answered,
 * or blocks of the map. Nothing that came after could be promised. Reads go on.
 */
static int cow_synced(struct cow *c, const struct cow_work *w, int result)
{
	if (result < 0 && !c->failed)
		c->failed = result;
	if (!c->failed && w->seq > c->map_synced)
		c->map_synced = w->seq;
	return c->failed;
}

/* --- commit --------------------------------------------------------------------------- */

static void cow_commit(struct target *t);

/* Answers all of them, and begins the next. */
static void cow_commit_end(struct target *t, int error)
{
	struct cow *c = t->priv;
	struct cow_list done;
	struct cow_work *w;

	cow_move(&done, &c->committing);
	while ((w = cow_pop(&done)))
		cow_finish(c, w, error);
	cow_wake(t);
	cow_commit(t);
}

/* What a block of the map is to be; false: as it is. */
static bool cow_image(struct cow *c, uint64_t block)
{
	unsigned char *old = c->map + block * COW_BLOCK_BYTES;
	uint64_t first = block * COW_BLOCK_CLUSTERS, end = first + COW_BLOCK_CLUSTERS;

	memcpy(c->image, old, COW_BLOCK_BYTES);
	for (const struct cow_work *w = c->committing.first; w; w = w->next) {
		uint64_t to = w->end < end ? w->end : end;

		for (uint64_t i = w->first > first ? w->first : first; i < to; i++)
			cow_map_set(c->image, i - first);
	}
	return memcmp(c->image, old, COW_BLOCK_BYTES);
}

/* The next block that a work of the commit has clusters in. */
static uint64_t cow_next_block(const struct cow *c, uint64_t from)
{
	uint64_t next = UINT64_MAX;

	for (const struct cow_work *w = c->committing.first; w; w = w->next) {
		uint64_t first = w->first / COW_BLOCK_CLUSTERS;

		if (first < from)
			first = from;
		if (first <= (w->end - 1) / COW_BLOCK_CLUSTERS && first < next)
			next = first;
	}
	return next;
}

static void cow_commit_last(struct target *t)
{
	struct cow *c = t->priv;
	bool fua = false;

	for (const struct cow_work *w = c->committing.first; w; w = w->next)
		fua |= w->fua;
	if (!fua || !c->syncs) {
		cow_commit_end(t, 0);
		return;
	}
	c->last_sync = true;
	cow_sync(t, c->committing.first);
}

static void cow_commit_map(struct target *t, uint64_t from)
{
	struct cow *c = t->priv;
	struct cow_work *w = c->committing.first;
	struct io_uring_sqe *sqe;

	do {
		c->block = cow_next_block(c, from);
		from = c->block + 1;
	} while (c->block != UINT64_MAX && !cow_image(c, c->block));
	if (c->block == UINT64_MAX) {
		cow_commit_last(t);
		return;
	}
	sqe = io_sqe(t, w->q, w->io, COW_DELTA);
	sqe->opcode = IORING_OP_WRITE;
	sqe->off = c->layout.map_off + c->block * COW_BLOCK_BYTES;
	sqe->addr = (uintptr_t)c->image;
	sqe->len = COW_BLOCK_BYTES;
}

/* Begins one for all that are ready, if none is under way. */
static void cow_commit(struct target *t)
{
	struct cow *c = t->priv;

	if (c->committing.first || !c->ready.first)
		return;
	cow_move(&c->committing, &c->ready);
	c->block = UINT64_MAX;
	c->last_sync = false;
	for (struct cow_work *w = c->committing.first; w; w = w->next)
		w->stage = COW_COMMITS;
	if (c->syncs)
		cow_sync(t, c->committing.first);
	else
		cow_commit_map(t, 0);
}

static void cow_commit_go_on(struct target *t, int result)
{
	struct cow *c = t->priv;

	if (c->block == UINT64_MAX || c->last_sync) { /* a sync */
		int r = cow_synced(c, c->committing.first, result);

		if (r < 0 || c->last_sync)
			cow_commit_end(t, r);
		else
			cow_commit_map(t, 0);
		return;
	}
	if (result != COW_BLOCK_BYTES) {
		cow_commit_end(t, result < 0 ? result : -EIO);
		return;
	}
	/* In the file, so it is true. */
	memcpy(c->map + c->block * COW_BLOCK_BYTES, c->image, COW_BLOCK_BYTES);
	c->map_writes++;
	cow_commit_map(t, c->block + 1);
}

static void cow_join(struct target *t, struct cow_work *w)
{
	struct cow *c = t->priv;

	cow_give_buffer(c, w);
	if (c->failed) {
		cow_fail(t, w, c->failed);
		return;
	}
	w->stage = COW_READY;
	cow_push(&c->ready, w);
	cow_commit(t);
}

/* --- the first change of a cluster ---------------------------------------------------------- */

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

static void cow_data(struct target *t, struct cow_work *w)
{
	const struct cow *c = t->priv;

	w->stage = COW_DATA;
	if (w->io->op == IO_WRITE)
		transfer_submit(t, w->q, w->io, COW_DELTA, c->layout.data_off);
	else
		cow_punch(t, w->q, w->io);
}

/* Through its buffer, either way; at most piece_bytes. */
static void cow_copy(struct target *t, struct cow_work *w, enum cow_stage stage)
{
	const struct cow *c = t->priv;
	bool reads = stage == COW_COPY_READ;
	struct io_uring_sqe *sqe = io_sqe(t, w->q, w->io, reads ? COW_BASE : COW_DELTA);

	w->stage = stage;
	sqe->opcode = reads ? IORING_OP_READ : IORING_OP_WRITE;
	sqe->off = reads ? w->at : c->layout.data_off + w->at;
	sqe->addr = (uintptr_t)w->buffer;
	sqe->len = w->len;
}

static void cow_copy_next(struct target *t, struct cow_work *w)
{
	const struct cow *c = t->priv;
	uint64_t most = t->piece_bytes < COW_COPY_BYTES ? t->piece_bytes : COW_COPY_BYTES;

	if (w->at == w->until && !w->tail) { /* in front of the change all is done */
		w->tail = true;
		w->at = w->until = w->io->off + w->io->len;
		if (!cow_map_get(c->map, w->end - 1))
			w->until = w->end * c->layout.cluster_bytes;
		if (w->until > c->layout.dev_bytes)
			w->until = c->layout.dev_bytes;
	}
	if (w->at == w->until) {
		cow_data(t, w);
		return;
	}
	w->len = (uint32_t)(w->until - w->at < most ? w->until - w->at : most);
	cow_copy(t, w, COW_COPY_READ);
}

static void cow_copied(struct target *t, struct cow_work *w, int result)
{
	if (result <= 0) {
		cow_fail(t, w, result ? result : -ENXIO);
		return;
	}
	if (w->stage == COW_COPY_READ) {
		w->len = (uint32_t)result;
		cow_copy(t, w, COW_COPY_WRITE);
		return;
	}
	w->at += (uint32_t)result;
	w->len -= (uint32_t)result;
	if (!w->len) {
		cow_copy_next(t, w);
		return;
	}
	memmove(w->buffer, w->buffer + result, w->len);
	cow_copy(t, w, COW_COPY_WRITE);
}

static bool cow_copies(const struct cow *c, const struct cow_work *w)
{
	uint64_t end = w->io->off + w->io->len;

	return (w->io->off % c->layout.cluster_bytes && !cow_map_get(c->map, w->first)) ||
	       (end % c->layout.cluster_bytes && end < c->layout.dev_bytes &&
		!cow_map_get(c->map, w->end - 1));
}

/* Somebody else changes its clusters for the first time, or all buffers are used. */
static bool cow_must_wait(const struct cow *c, const struct cow_work *w)
{
	for (unsigned int i = 0; c->nr_active && i < c->nr_works; i++) {
		const struct cow_work *other = &c->works[i];

		if (cow_owns(other) && other->first < w->end && w->first < other->end)
			return true;
	}
	return cow_copies(c, w) && !c->nr_buffers;
}

static void cow_begin(struct target *t, struct cow_work *w)
{
	struct cow *c = t->priv;

	c->nr_active++;
	w->stage = COW_COPY_READ;
	if (cow_copies(c, w))
		w->buffer = c->buffers[--c->nr_buffers];
	w->until = w->io->off;
	w->at = cow_map_get(c->map, w->first) ? w->until : w->first * c->layout.cluster_bytes;
	cow_copy_next(t, w);
}

/* --- requests ------------------------------------------------------------------------------ */

static void cow_direct(struct target *t, struct queue *q, struct io *io, enum cow_file file)
{
	const struct cow *c = t->priv;

	io->work = file == COW_BASE ? COW_ON_BASE : COW_ON_DELTA;
	if (io->op == IO_READ || io->op == IO_WRITE)
		transfer_submit(t, q, io, file, file == COW_BASE ? 0 : c->layout.data_off);
	else
		cow_punch(t, q, io);
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
	cow_take(c, q, io, COW_WRITE_SYNC);
	io->fua = false;
	transfer_submit(t, q, io, COW_DELTA, c->layout.data_off);
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
	w = cow_take(c, q, io, COW_WAITS);
	w->first = first;
	w->end = end;
	w->fua = io->fua;
	io->fua = false;
	if (cow_must_wait(c, w))
		cow_push(&c->waiting, w);
	else
		cow_begin(t, w);
}

/* Those that waited, in their order; what they waited for may have done their part. */
static void cow_wake(struct target *t)
{
	struct cow *c = t->priv;
	struct cow_list all;
	struct cow_work *w;

	cow_move(&all, &c->waiting);
	while ((w = cow_pop(&all))) {
		struct queue *q = w->q;
		struct io *io = w->io;

		if (c->failed) {
			cow_finish(c, w, c->failed);
		} else if (cow_is_delta(c, w->first, w->end)) {
			io->fua = w->fua;
			cow_drop(c, w);
			cow_change_delta(t, q, io);
		} else if (cow_must_wait(c, w)) {
			cow_push(&c->waiting, w);
		} else {
			cow_begin(t, w);
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
	w = cow_take(c, q, io, COW_READ_RUN);
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
		cow_finish(t->priv, w, result > 0 ? 0 : result ? result : -ENXIO);
}

static void cow_flush(struct target *t, struct queue *q, struct io *io)
{
	struct cow *c = t->priv;

	if (c->syncs)
		cow_sync(t, cow_take(c, q, io, COW_SYNC));
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

/* Of a transfer: 1 when all is moved, 0 while it goes on, -errno. */
static int cow_moved(struct target *t, struct queue *q, struct io *io, enum cow_file file,
		     int result)
{
	const struct cow *c = t->priv;

	return transfer_go_on(t, q, io, file, file == COW_BASE ? 0 : c->layout.data_off, result);
}

static void cow_direct_done(struct target *t, struct queue *q, struct io *io, int result)
{
	enum cow_file file = io->work == COW_ON_BASE ? COW_BASE : COW_DELTA;
	int r = 1;

	if (io->op == IO_READ || io->op == IO_WRITE)
		r = cow_moved(t, q, io, file, result);
	else if (result < 0)
		r = result;
	if (r)
		io_done(q, io, r < 0 ? r : 0);
}

static void cow_data_done(struct target *t, struct cow_work *w, int result)
{
	int r = w->io->op == IO_WRITE ? cow_moved(t, w->q, w->io, COW_DELTA, result)
		: result < 0	      ? result
				      : 1;

	if (r < 0)
		cow_fail(t, w, r);
	else if (r)
		cow_join(t, w);
}

static void cow_write_sync_done(struct target *t, struct cow_work *w, int result)
{
	int r = cow_moved(t, w->q, w->io, COW_DELTA, result);

	if (r < 0) {
		cow_finish(t->priv, w, r);
	} else if (r) {
		w->stage = COW_SYNC;
		cow_sync(t, w);
	}
}

static void cow_sync_done(struct target *t, struct cow_work *w, int result)
{
	cow_finish(t->priv, w, cow_synced(t->priv, w, result));
}

static void cow_commit_done(struct target *t, struct cow_work *w, int result)
{
	cow_commit_go_on(t, result);
}

static void (*const cow_answer[])(struct target *t, struct cow_work *w, int result) = {
	[COW_COPY_READ] = cow_copied,
	[COW_COPY_WRITE] = cow_copied,
	[COW_DATA] = cow_data_done,
	[COW_COMMITS] = cow_commit_done,
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
	.submit = cow_submit,
	.complete = cow_complete,
};
