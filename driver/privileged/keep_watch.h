/* SPDX-License-Identifier: Apache-2.0 */
/* The main process watches over the keeper: when it ends, a child starts another. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "driver/privileged/helper.h"
#include "driver/privileged/keep.h"

struct server;

struct keep_watch {
	struct keep keep;
	pid_t pid;	       /* the child that starts another; 0: there is none */
	int64_t begun_ms;      /* when the last try began */
	int64_t retry_ms;      /* when the next one is due; 0: none is */
	unsigned int nr_tries; /* one after another */
};

/* Watches the one there is, or sees to it that there is one. */
void keep_watch_begin(struct server *s);

/* Its connection is readable: its first answer, or its end. */
void keep_watch_hear(struct server *s);

/* In a child: finds or starts one. */
int keep_watch_start(const struct helper *h, struct err *e);

/* That child is done. */
void keep_watch_done(struct server *s);

/* The helper ends in good order: without devices the keeper ends too. */
void keep_watch_end(struct server *s);

void keep_watch_retry(struct server *s, int64_t now_ms);
