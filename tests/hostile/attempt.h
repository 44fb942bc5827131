/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a caller tries with a packet, and how it ended: an answer, or the end
 * of the connection.
 */
#pragma once

#include <stddef.h>

#define ATTEMPT_AT_ONCE 16 /* as many of one user as there is room for */
#define ATTEMPT_BYTES_MOST 200000

struct caller;

/* Again until there was room for it. */
void attempt_one(struct caller *c, const void *bytes, size_t size, const int *fds,
		 unsigned int nr_fds);

/* In batches; make() says what number n sends. */
void attempt_many(struct caller *c, unsigned int nr,
		  size_t (*make)(struct caller *c, unsigned int n, void *bytes));

void attempt_random(struct caller *c, void *bytes, size_t size);
