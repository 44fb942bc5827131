/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is connected: one object from accept() until what was asked for is over,
 * or one for work of the helper's own. Owned by the main process; children have
 * copies of it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "driver/privileged/registry.h"
#include "driver/wire/timing.h"

#define CALLER_MAX 256	      /* connections and requests at once, */
#define CALLER_OTHERS_MAX 128 /* of all users but root and the hook's, */
#define CALLER_OF_UID_MAX 16  /* and of one of them */
#define CALLER_GROUPS_MAX 64
#define CALLER_CGROUP_SIZE 512

/* A connection, and from its request on the child that serves it. */
struct caller {
	struct caller *next;
	uint32_t serial;
	int peer_fd; /* -1: the helper's own work */
	uid_t uid;
	gid_t gid;
	uint32_t gids[CALLER_GROUPS_MAX + 1];
	size_t nr_gids;
	pid_t peer_pid;			 /* 0: not known */
	char cgroup[CALLER_CGROUP_SIZE]; /* the peer's, as the helper sees it; "": not known */
	int64_t deadline_ms;
	int64_t undo_ms; /* until when it may go on undoing what it began; 0: it does not */
	pid_t pid;	 /* 0: it has not asked yet */
	int ledger_fd;	 /* -1 until then, and when its child has done its work */
	bool killed;
	struct timing timing;
};

struct callers {
	struct caller *first;
	uint32_t last_serial;
};

/* One more, without a connection; NULL when there is no memory. */
struct caller *caller_new(struct callers *all);

/* Closes connections, and waits for nothing that is queued in them: one process for all of them. */
void caller_hang_up(int *peer_fds, size_t nr);

/* Hangs up on it, if that has not been done, and forgets it. */
void caller_free(struct callers *all, struct caller *c);

struct caller *caller_find(const struct callers *all, uint32_t serial);
struct caller *caller_of_child(const struct callers *all, pid_t pid);

/* Does a message of any size wait in its connection? It stays there, unread. */
bool caller_says(const struct caller *c);

/* Who it is, as the kernel says: uid, gid, groups, process. 0 or -errno. */
int caller_identify(struct caller *c);

/* The process's cgroup, for the record: nothing is decided by it. Takes longer. */
void caller_look_process(struct caller *c);

/* The same as the registry and the audit take it; borrows from c. */
struct registry_peer caller_peer(const struct caller *c);

/*
 * Is there room for a caller of this uid, who is among all already? Root's and
 * the hook's requests are the host's own: no other user can use their room up.
 */
bool caller_room(const struct callers *all, uid_t uid, uid_t hook_uid);

/* When the next of them is due; INT64_MAX: never. */
int64_t caller_next_ms(const struct callers *all);
