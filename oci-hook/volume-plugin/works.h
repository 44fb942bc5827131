/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The work of calls: one at a time for each volume, and few at once, since the store and the helper
 * take only so many questions of one user.
 *
 * Who called is answered in time whether or not the work is done. It goes on then; who asks for the
 * same again waits for its end, or is told how it failed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "driver/base/err.h"
#include "oci-hook/volume-plugin/ask.h"
#include "oci-hook/volume-plugin/plugin.h"

#define WORKS_MAX 6	 /* at once, with questions; the store serves a user 8 */
#define WORKS_LONG_MAX 4 /* of them may be works */

struct work_kind;

struct work {
	const struct plugin *plugin;
	struct ask ask;
	uint64_t generation; /* of the mount it is about, once it is known; 0: none */
	/* What goes on behind it, when it is done: by itself, and nobody is told. NULL: nothing. */
	const struct work_kind *then;
};

struct work_kind {
	int (*run)(struct work *w, struct err *e);
	/* After success, while somebody waits for it and before another work; quick. NULL: nothing.
	 */
	int (*finish)(struct work *w, struct err *e);
	/* What goes on behind it when it is done and nobody waits for it. NULL: nothing. */
	const struct work_kind *unheard;
};

/* NULL: no memory. */
struct works *works_new(void);

/* Not while a work may be under way. */
void works_free(struct works *all);

/* -EAGAIN: it is under way, and was not done in time; or too much is. */
int works_run(const struct work_kind *kind, const struct plugin *plugin, const struct ask *ask,
	      int timeout_ms, struct err *e);

/* For a work that is in no hurry: does another one wait for its turn? */
bool works_others_wait(const struct plugin *plugin);

/* Is one of them for this volume? */
bool works_wanted(const struct plugin *plugin, const char *volume);

/* A question, which the caller asks itself. */
int works_enter(struct works *all, int timeout_ms, struct err *e);
void works_leave(struct works *all);
