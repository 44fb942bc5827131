/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every request is served by a child of the helper's main process, forked for
 * it: it receives the packet and its fds, does what takes time, and ends. So
 * nobody waits for anybody else's request, what hangs is killed at its
 * deadline, and the main process never holds a caller's fd.
 *
 * The child has a copy of the registry to read. What it wants changed it asks
 * the main process for, over a socket pair, with the functions below.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "driver/privileged/helper.h"
#include "driver/privileged/orphan.h"
#include "driver/privileged/registry.h"
#include "driver/wire/timing.h"

struct op {
	const struct helper *helper;
	const struct registry *registry; /* as it was when the request came */
	int peer_fd;			 /* -1: the helper's own work */
	int ledger_fd;
	uid_t uid; /* the peer's, from the kernel */
	gid_t gid;
	struct registry_peer peer; /* the same, and what else is known, for the audit */
	int64_t deadline_ms;
	struct timing *timing; /* NULL: nobody wants to know */
	bool timed;	       /* the caller does */
};

#define OP_TIMEOUT_MS 30000 /* a request is answered within this, or when its caller says */
#define OP_GRACE_MS 3000    /* on top, before its child is killed */
#define OP_UNDO_MS 60000    /* what undoing may take from its begin, whatever the deadline is */

/* What is left until the deadline, at most at_most_ms. */
int op_left_ms(const struct op *op, int at_most_ms);

/* The caller's own patience, 0 for none said: shortens the deadline, here and in the main process.
 */
int op_shorten(struct op *op, uint32_t timeout_ms, struct err *e);

int op_reserve(const struct op *op, struct record *rec, struct err *e);
/*
 * What op_reserve() would say of the place alone, for who must know before it can ask for the rest:
 * 0, nothing is there; -EALREADY; -EEXIST.
 */
int op_meet(const struct op *op, struct record *rec, struct err *e);
/* A container is to have a device that was made ahead; see claims.h. */
int op_claim(const struct op *op, struct record *rec, struct err *e);
/* The device of this record may have the size there, which is kept for it: see registry_grow(). */
int op_grow(const struct op *op, struct record *rec, struct err *e);
/* A claim to this device. -ENOENT: there is none. */
int op_find_claim(const struct op *op, const struct record *device, struct record *ret,
		  struct err *e);
/* The list that engines read is written again. */
int op_list_again(const struct op *op, struct err *e);
int op_update(const struct op *op, const struct record *rec, struct err *e);
int op_take(const struct op *op, uint64_t generation, struct record *ret, struct err *e);
int op_drop(const struct op *op, uint64_t generation, struct err *e);
/* What was taken was looked at only, and is let go. */
int op_saw(const struct op *op, uint64_t generation, const struct device_access *seen,
	   struct err *e);

/*
 * Asks to be served under this policy from now on: text_fd is its file's text,
 * sealed (reload.h). -EAGAIN: since *serial another one has come, whose number
 * is in *serial now; the file may be newer than what was read.
 */
int op_reload(const struct op *op, int text_fd, uint64_t *serial, struct err *e);

/*
 * Is it somebody's at this moment? 1, 0, or -errno. Each thing is made after the record it
 * belongs to: who saw it first, and asks then, may take 0 for the truth, but for a number
 * that may be given away again.
 */
int op_owned(const struct op *op, const struct orphan_key *key, struct err *e);

/* There is no way back for this device: to be said before undo_run(). */
void op_begin_undo(const struct op *op, struct record *rec);

/*
 * The main process's side: reads one question of a child and answers it.
 * -ECONNRESET: the child has closed. What it changed for the main process is
 * in *ret: a generation, a deadline, a policy to take; 0 for none.
 */
struct op_change {
	uint64_t generation;
	int64_t deadline_ms;
	struct policy *policy;
};
int op_answer(int ledger_fd, struct registry *reg, const struct registry_peer *peer,
	      struct op_change *ret);
