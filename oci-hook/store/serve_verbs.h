/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done for a request, verb by verb: serve_show.c looks, serve_create.c makes new volumes,
 * serve_change.c changes those there are, serve_export.c and serve_attach.c hand them out. What
 * they have in common is in serve.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "driver/base/err.h"
#include "driver/wire/store.h"
#include "oci-hook/store/caller.h"
#include "oci-hook/store/pools.h"
#include "policy/policy.h"

#define SERVE_ANSWER_MS 5000

/* One connection, and what it asked for. */
struct serve {
	int fd;
	struct store_ask ask;
	int data_fd; /* that came with it; the packet's, or -1 */
	struct caller caller;
	const struct policy *policy;
	struct pools pools;
	int64_t told_ms;
	struct err warning; /* goes with success */
	bool new_device;    /* made by this request */
	bool to_the_end;    /* also when nobody waits for it any more */
};

/* The head of a packet that goes to the client. */
struct wire_head serve_head(enum store_type type, size_t size);

/* copy_watch: says how far it is, and ends what nobody waits for. */
int serve_step(void *arg, uint64_t done_bytes, uint64_t all_bytes);

/* copy_watch: the same of work that cannot say how far it is. */
int serve_wait(void *arg, uint64_t done_bytes, uint64_t all_bytes);

/*
 * The volume a request is about; lock: LOCK_SH, LOCK_EX or 0. Somebody else's is not there, to who
 * is not root.
 */
int serve_find(struct serve *s, const char *name, int lock, struct place *ret, struct err *e);

/* May it? By the policy, for what the request is about. */
int serve_decide(const struct serve *s, enum policy_act act, const struct place *place,
		 bool read_only, struct err *e);

/* Tells of one volume, or of all that the caller may see. */
int serve_rows(struct serve *s, const struct place *one, struct err *e);

/* Tells what was found in a volume. */
int serve_found(const struct serve *s, struct store_found *found);

int serve_list(struct serve *s, struct err *e);
int serve_inspect(struct serve *s, struct err *e);
int serve_capacity(struct serve *s, struct err *e);
int serve_create(struct serve *s, struct err *e); /* STORE_SNAPSHOT, too */
int serve_resize(struct serve *s, struct err *e);
int serve_delete(struct serve *s, struct err *e);
int serve_format(struct serve *s, struct err *e);
int serve_check(struct serve *s, struct err *e);
int serve_export(struct serve *s, struct err *e);
int serve_attach(struct serve *s, struct err *e);
int serve_detach(struct serve *s, struct err *e);
