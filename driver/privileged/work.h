/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The main process's children: one is forked for each request and for each work
 * of the helper's own. While it works it asks the main process over its ledger
 * socket (op.h); when it says no more, or dies, what it worked on is settled.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "driver/privileged/caller.h"

struct server;

enum work_kind {
	WORK_NONE,
	WORK_REQUEST,	 /* the caller's */
	WORK_END_DEVICE, /* the device of a generation */
	WORK_RECOVER,	 /* another worker for it */
	WORK_GIVE_UP,	 /* no worker any more */
	WORK_LOOK,	 /* at its worker: does it hang? */
	WORK_ACCESS,	 /* at its container: can it be opened there? */
	WORK_RECONCILE,
	WORK_RELOAD,
	WORK_KEEPER, /* another one */
	WORK_END,
};

/* The caller's request has come: from here on its child reads it. */
void work_request(struct server *s, struct caller *c);

/* The helper's own work. Its child's pid; 0: there is none, and the log says why. */
pid_t work_own(struct server *s, enum work_kind kind, uint64_t generation);

/* The child has something to say, or has closed: then its work is done. */
void work_ledger(struct server *s, struct caller *c);

/* A child of ours has ended, as waitpid() says. */
void work_ended(struct server *s, pid_t pid, int status);

/*
 * A request that takes too long is answered here. Its child goes on only if it
 * is undoing; else its death makes somebody else undo what it began.
 */
void work_expire(struct server *s, struct caller *c);

/* Is anything under way that a helper that ends should wait for? */
bool work_busy(const struct server *s);
