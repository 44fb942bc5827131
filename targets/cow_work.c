/* SPDX-License-Identifier: Apache-2.0 */
#include "targets/cow_work.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>

#include "targets/cow_commit.h"

static void cow_work_list_init(struct cow_list *l)
{
	l->first = NULL;
	l->end = &l->first;
}

void cow_work_push(struct cow_list *l, struct cow_work *w)
{
	w->next = NULL;
	*l->end = w;
	l->end = &w->next;
}

struct cow_work *cow_work_pop(struct cow_list *l)
{
	struct cow_work *w = l->first;

	if (!w)
		return NULL;
	l->first = w->next;
	if (!l->first)
		l->end = &l->first;
	return w;
}

void cow_work_move(struct cow_list *to, struct cow_list *from)
{
	struct cow_work *w;

	cow_work_list_init(to);
	while ((w = cow_work_pop(from)))
		cow_work_push(to, w);
}

int cow_work_open(struct cow *c, const struct target *t, struct err *e)
{
	unsigned char *buffers =
		t->read_only ? NULL : aligned_alloc(COW_ALIGN, COW_COPIES * COW_COPY_BYTES);

	cow_work_list_init(&c->free);
	cow_work_list_init(&c->waiting);
	cow_work_list_init(&c->ready);
	cow_work_list_init(&c->committing);
	c->image = aligned_alloc(COW_ALIGN, COW_BLOCK_BYTES);
	c->works = calloc(t->nr_tags, sizeof(*c->works));
	if (!c->image || !c->works || (!t->read_only && !buffers))
		return err_sys(e, ENOMEM, "no memory for copies");
	for (; buffers && c->nr_buffers < COW_COPIES; c->nr_buffers++)
		c->buffers[c->nr_buffers] = buffers + c->nr_buffers * (size_t)COW_COPY_BYTES;
	c->nr_works = t->nr_tags;
	for (unsigned int i = 0; i < c->nr_works; i++)
		cow_work_push(&c->free, &c->works[i]);
	return 0;
}

struct cow_work *cow_work_of(struct cow *c, const struct io *io)
{
	return &c->works[io->work - 1];
}

struct cow_work *cow_work_take(struct cow *c, struct queue *q, struct io *io, enum cow_stage stage)
{
	struct cow_work *w = cow_work_pop(&c->free);

	if (!w)
		__builtin_trap();
	*w = (struct cow_work){ .q = q, .io = io, .stage = stage };
	io->work = (uint16_t)(w - c->works + 1);
	return w;
}

static void cow_work_give_buffer(struct cow *c, struct cow_work *w)
{
	if (w->buffer)
		c->buffers[c->nr_buffers++] = w->buffer;
	w->buffer = NULL;
}

static bool cow_work_owns(const struct cow_work *w)
{
	return w->stage >= COW_COPY_READ && w->stage <= COW_COMMITS;
}

void cow_work_drop(struct cow *c, struct cow_work *w)
{
	if (cow_work_owns(w))
		c->nr_active--;
	cow_work_give_buffer(c, w);
	w->io->work = 0;
	w->stage = COW_FREE;
	cow_work_push(&c->free, w);
}

void cow_work_finish(struct cow *c, struct cow_work *w, int error)
{
	struct queue *q = w->q;
	struct io *io = w->io;

	cow_work_drop(c, w);
	io_done(q, io, error);
}

void cow_work_fail(struct target *t, struct cow_work *w, int error)
{
	cow_work_finish(t->priv, w, error);
	cow_wake(t);
}

static void cow_work_data(struct target *t, struct cow_work *w)
{
	w->stage = COW_DATA;
	cow_pass(t, w->q, w->io, COW_DELTA);
}

/* Through its buffer, either way; at most piece_bytes. */
static void cow_work_copy(struct target *t, struct cow_work *w, enum cow_stage stage)
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

static void cow_work_copy_next(struct target *t, struct cow_work *w)
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
		cow_work_data(t, w);
		return;
	}
	w->len = (uint32_t)(w->until - w->at < most ? w->until - w->at : most);
	cow_work_copy(t, w, COW_COPY_READ);
}

void cow_work_copied(struct target *t, struct cow_work *w, int result)
{
	if (result <= 0) {
		cow_work_fail(t, w, result ? result : -ENXIO);
		return;
	}
	if (w->stage == COW_COPY_READ) {
		w->len = (uint32_t)result;
		cow_work_copy(t, w, COW_COPY_WRITE);
		return;
	}
	w->at += (uint32_t)result;
	w->len -= (uint32_t)result;
	if (!w->len) {
		cow_work_copy_next(t, w);
		return;
	}
	memmove(w->buffer, w->buffer + result, w->len);
	cow_work_copy(t, w, COW_COPY_WRITE);
}

static bool cow_work_copies(const struct cow *c, const struct cow_work *w)
{
	uint64_t end = w->io->off + w->io->len;

	return (w->io->off % c->layout.cluster_bytes && !cow_map_get(c->map, w->first)) ||
	       (end % c->layout.cluster_bytes && end < c->layout.dev_bytes &&
		!cow_map_get(c->map, w->end - 1));
}

bool cow_work_must_wait(const struct cow *c, const struct cow_work *w)
{
	for (unsigned int i = 0; c->nr_active && i < c->nr_works; i++) {
		const struct cow_work *other = &c->works[i];

		if (cow_work_owns(other) && other->first < w->end && w->first < other->end)
			return true;
	}
	return cow_work_copies(c, w) && !c->nr_buffers;
}

void cow_work_begin(struct target *t, struct cow_work *w)
{
	struct cow *c = t->priv;

	c->nr_active++;
	w->stage = COW_COPY_READ;
	if (cow_work_copies(c, w))
		w->buffer = c->buffers[--c->nr_buffers];
	w->until = w->io->off;
	w->at = cow_map_get(c->map, w->first) ? w->until : w->first * c->layout.cluster_bytes;
	cow_work_copy_next(t, w);
}

void cow_work_data_done(struct target *t, struct cow_work *w, int result)
{
	int r = cow_pass_go_on(t, w->q, w->io, COW_DELTA, result);

	if (r < 0) {
		cow_work_fail(t, w, r);
	} else if (r) {
		cow_work_give_buffer(t->priv, w);
		cow_commit_join(t, w);
	}
}
