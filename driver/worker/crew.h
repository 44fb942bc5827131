/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads of a worker, each with a lane. There is one, the process's first,
 * or with START_THREADS one for each queue; the first then makes all rings, so
 * that what can fail has failed before anything is served.
 */
#pragma once

#include <stdbool.h>

#include "driver/worker/gate.h"
#include "driver/worker/lane.h"

struct crew;

struct crew_member {
	struct lane lane;
	struct crew *crew;
	int enabled; /* 0, or why it cannot begin */
};

struct crew {
	const struct start_spec *spec;
	struct crew_member *members;
	uint16_t nr;
	struct gate bound;   /* one pass: the rings are ready for their threads */
	struct gate enabled; /* each passes but the first */
	struct gate sealed;  /* one pass: the threads may go on */
	/* What each does in the end, with a lane of its own; it does not return. */
	void (*serve)(struct crew *crew, struct lane *lane);
};

/* Lanes for all queues of spec, and their threads, which wait. */
int crew_open(struct crew *c, struct queue *queues, const struct start_spec *spec,
	      struct target *target, void (*serve)(struct crew *crew, struct lane *lane),
	      struct err *e);

/* Every ring is bound to these files and to its thread, which is bound to its processors. */
int crew_bind(struct crew *c, const int *files, unsigned int nr_files, struct err *e);

/* Closes every descriptor but the rings', and all threads lose their system calls. */
int crew_seal(struct crew *c, struct err *e);

/* All threads serve, the calling one too. */
_Noreturn void crew_serve(struct crew *c);

static inline struct lane *crew_first(const struct crew *c)
{
	return &c->members[0].lane;
}

static inline bool crew_is_last(const struct crew *c, const struct lane *l)
{
	return l == &c->members[c->nr - 1].lane;
}
