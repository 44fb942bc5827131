/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The helper's side of the keeper (driver/wire/keep.h), which holds descriptors
 * while the helper, a worker, or both are dead. Only root reaches its socket.
 * What it gives back is not believed: whoever asks compares it with the journal.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "driver/base/err.h"
#include "driver/privileged/spawn.h"

#define KEEP_SOCKET "/run/ublk-oci/keeper.sock"

struct keep {
	int fd;	    /* an idle connection, readable when the keeper has ended; -1: there is none */
	bool asked; /* and the keeper has not answered yet */
};

#define KEEP_INIT                                                                                  \
	{                                                                                          \
		-1, false                                                                          \
	}

/*
 * Connects to the keeper an earlier helper left, else starts one. uid (uid_t)-1:
 * none can be started. May wait for seconds. Without one the helper goes on.
 */
int keep_begin(struct keep *k, const struct spawn_room *room, int program_fd,
	       const char *cgroup_base, uid_t uid, gid_t gid, struct err *e);
void keep_fini(struct keep *k);

/* Ends it and removes its cgroup, when there is nothing left to hold. Not there is fine. */
int keep_end(const char *cgroup_base, struct err *e);

/* Connects to one that is there, and waits for its answer; -ENOTCONN: none is. */
int keep_find(struct keep *k, struct err *e);

/* Connects to one that is there, and does not wait for its answer. */
int keep_join(struct keep *k, struct err *e);

/* When the connection is readable: 0, or the keeper is lost. Does not wait. */
int keep_hear(struct keep *k, struct err *e);

/*
 * For the helper's children, each with a connection of its own and a deadline of
 * two seconds. -ENOTCONN: there is no keeper, and whoever can do without goes on.
 */

/* fd is borrowed; replaces what it had for this device. 0: the keeper has it. */
int keep_put(uint64_t generation, int fd, struct err *e);
/* The same for a few, in one box: at most KEEP_FILES_MAX. */
#define KEEP_FILES_MAX 4
int keep_put_files(uint64_t generation, const int *fds, unsigned int nr, struct err *e);

/* -ENOENT: it has none. */
int keep_get(uint64_t generation, int *ret_fd, struct err *e);
/* As many as were put, which are the caller's; -ENOENT or -EPROTO leaves none. */
int keep_get_files(uint64_t generation, int *ret_fds, unsigned int nr, struct err *e);

/* The same for the socket of notice.h: there is one for all devices. */
int keep_put_notices(int fd, struct err *e);
int keep_get_notices(int *ret_fd, struct err *e);

/*
 * Calls found() for each device it has something of. -EOPNOTSUPP: it is one that does not tell. A
 * negative number of found() ends this.
 */
int keep_each(int (*found)(void *arg, uint64_t generation), void *arg, struct err *e);

/* Not there is fine. The descriptor's last close, which may wait, is in this process. */
int keep_drop(uint64_t generation, struct err *e);
