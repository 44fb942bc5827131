/* SPDX-License-Identifier: Apache-2.0 */
/* Ring entries about one tag: a command each. */
#pragma once

#include <stdint.h>

#include "driver/worker/queue.h"

void tag_fetch(struct queue *q, uint16_t tag);

/* Hands back a result, and fetches again. */
void tag_commit(struct queue *q, uint16_t tag, int result);

/*
 * START_ZERO_COPY, when the kernel could not put a request's pages into the
 * tag's slot by itself: ask it to, and take them out again before the commit.
 * The first is answered as RING_REGISTER.
 */
void tag_register(struct queue *q, uint16_t tag);
void tag_unregister(struct queue *q, uint16_t tag);
