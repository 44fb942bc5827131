/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A work of target cow, from its request to the answer; of the first change of a cluster all
 * that comes before the commit. There is one for every tag.
 */
#pragma once

#include "targets/cow.h"

/* Works, and the buffers of their copies. */
int cow_work_open(struct cow *c, const struct target *t, struct err *e);

void cow_work_push(struct cow_list *l, struct cow_work *w);
/* NULL when it is empty. */
struct cow_work *cow_work_pop(struct cow_list *l);
/* All of one list, which is empty then, to another, which is only that. */
void cow_work_move(struct cow_list *to, struct cow_list *from);

struct cow_work *cow_work_take(struct cow *c, struct queue *q, struct io *io, enum cow_stage stage);
/* Of a request that has one. */
struct cow_work *cow_work_of(struct cow *c, const struct io *io);
/* The work is over; the request is the caller's to answer. */
void cow_work_drop(struct cow *c, struct cow_work *w);
/* It is over, and answered. */
void cow_work_finish(struct cow *c, struct cow_work *w, int error);
/* The same for one that others may wait for. */
void cow_work_fail(struct target *t, struct cow_work *w, int error);

/* Somebody else changes its clusters for the first time, or all buffers are used. */
bool cow_work_must_wait(const struct cow *c, const struct cow_work *w);
/* The first change of its clusters, for which it need not wait. */
void cow_work_begin(struct target *t, struct cow_work *w);
/* The ring's answers to its copies, and to the change itself. */
void cow_work_copied(struct target *t, struct cow_work *w, int result);
void cow_work_data_done(struct target *t, struct cow_work *w, int result);
