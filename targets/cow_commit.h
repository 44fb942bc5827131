/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map of target cow, and what orders it on the disk: no bit before its data, no promise
 * after a sync that failed.
 */
#pragma once

#include "targets/cow.h"

/* Begins a sync of the delta, which is w's operation. */
void cow_commit_sync(struct target *t, struct cow_work *w);

/*
 * A sync says once that something was lost, and not what: data of requests that were answered,
 * or blocks of the map. Nothing that came after could be promised. Reads go on.
 */
int cow_commit_synced(struct cow *c, const struct cow_work *w, int result);

/* Its data is written: it is in the next commit, which answers it. */
void cow_commit_join(struct target *t, struct cow_work *w);
/* What the ring answered the commit under way, of which w is the first. */
void cow_commit_go_on(struct target *t, struct cow_work *w, int result);
