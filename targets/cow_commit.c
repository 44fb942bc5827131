/* SPDX-License-Identifier: Apache-2.0 */
#include "targets/cow_commit.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <string.h>

#include "targets/cow_work.h"

void cow_commit_sync(struct target *t, struct cow_work *w)
{
	struct cow *c = t->priv;
	struct io_uring_sqe *sqe = io_sqe(t, w->q, w->io, COW_DELTA);

	w->seq = c->map_writes;
	sqe->opcode = IORING_OP_FSYNC;
	sqe->fsync_flags = IORING_FSYNC_DATASYNC;
}

int cow_commit_synced(struct cow *c, const struct cow_work *w, int result)
{
	if (result < 0 && !c->failed)
		c->failed = result;
	if (!c->failed && w->seq > c->map_synced)
		c->map_synced = w->seq;
	return c->failed;
}

static void cow_commit_begin(struct target *t);

/* Answers all of them, and begins the next. */
static void cow_commit_end(struct target *t, int error)
{
	struct cow *c = t->priv;
	struct cow_list done;
	struct cow_work *w;

	cow_work_move(&done, &c->committing);
	while ((w = cow_work_pop(&done)))
		cow_work_finish(c, w, error);
	cow_wake(t);
	cow_commit_begin(t);
}

/* What a block of the map is to be; false: as it is. */
static bool cow_commit_image(struct cow *c, uint64_t block)
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
static uint64_t cow_commit_next_block(const struct cow *c, uint64_t from)
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
	cow_commit_sync(t, c->committing.first);
}

static void cow_commit_map(struct target *t, uint64_t from)
{
	struct cow *c = t->priv;
	struct cow_work *w = c->committing.first;
	struct io_uring_sqe *sqe;

	do {
		c->block = cow_commit_next_block(c, from);
		from = c->block + 1;
	} while (c->block != UINT64_MAX && !cow_commit_image(c, c->block));
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
static void cow_commit_begin(struct target *t)
{
	struct cow *c = t->priv;

	if (c->committing.first || !c->ready.first)
		return;
	cow_work_move(&c->committing, &c->ready);
	c->block = UINT64_MAX;
	c->last_sync = false;
	for (struct cow_work *w = c->committing.first; w; w = w->next)
		w->stage = COW_COMMITS;
	if (c->syncs)
		cow_commit_sync(t, c->committing.first);
	else
		cow_commit_map(t, 0);
}

void cow_commit_go_on(struct target *t, struct cow_work *w, int result)
{
	struct cow *c = t->priv;

	if (c->block == UINT64_MAX || c->last_sync) { /* a sync */
		int r = cow_commit_synced(c, w, result);

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

void cow_commit_join(struct target *t, struct cow_work *w)
{
	struct cow *c = t->priv;

	if (c->failed) {
		cow_work_fail(t, w, c->failed);
		return;
	}
	w->stage = COW_READY;
	cow_work_push(&c->ready, w);
	cow_commit_begin(t);
}
