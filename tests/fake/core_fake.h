/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's core as a target sees it, played: it keeps what a target has under way on the
 * ring until the test answers it, and what became of the requests. What targets/target.h
 * asks of a target is checked at every call.
 */
#pragma once

#include <linux/io_uring.h>

#include "targets/target.h"

#define CORE_FAKE_OPS 128

/* One operation on the ring. */
struct core_fake_op {
	struct io *io;
	unsigned int file;
	unsigned int which; /* of the target's own; io is nobody's then */
	struct io_uring_sqe sqe;
};

/* A test is one thread, and io_done() has no argument for this. */
struct core_fake {
	struct core_fake_op ops[CORE_FAKE_OPS]; /* under way, the oldest first */
	unsigned int nr_ops;
	unsigned int nr_sqes; /* there were, in all */
	unsigned int nr_done;
	bool lost;				/* io_lost() */
	int error;				/* of the last one done */
	void (*done)(struct io *io, int error); /* the test's own, or NULL */
};

extern struct core_fake core;

/* Nothing has happened yet. */
void core_fake_begin(void (*done)(struct io *io, int error));

/* Nothing is under way any more, and nobody will answer. */
void core_fake_drop(void);

/* It is under way no longer; the answer is the caller's to give. */
struct core_fake_op core_fake_take(unsigned int nr);

/* The newest that is under way. */
const struct io_uring_sqe *core_fake_sqe(void);

/* One of the target's own that is under way, or NULL; and its answer, with what follows. */
struct core_fake_op *core_fake_own(unsigned int which);
void core_fake_own_complete(struct target *t, unsigned int which, int result);

/* Answers the one operation io has under way. */
void core_fake_complete(struct target *t, struct io *io, int result);
