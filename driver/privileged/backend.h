/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A back end: a program of somebody else's that serves NBD, as the storage behind target nbd. It
 * is born like a worker, by spawn.h, but in a room of its own, whose root has a read-only /usr and
 * the files of its image and nothing more; its first program is driver/backend/, which runs
 * without any right and executes it. It inherits a listening socket; nothing it says is
 * read here but the end of a channel.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "driver/base/err.h"
#include "driver/privileged/spawn.h"
#include "driver/wire/backend.h"

struct backend_spec {
	struct backend_start what; /* all but its head and nr_files */
	int program_fd;		   /* ublk-oci-backend */
	const char *cgroup;	   /* made before */
	const char *socket;	   /* who alone may connect makes it; NULL: it serves nothing */
	uid_t uid;
	gid_t gid;
	/* Borrowed; opened through a mount of the caller's own namespace. The first may be
	 * written. */
	int files[BACKEND_FILES_MAX];
	unsigned int nr_files;
	uint64_t file_size_limit; /* RLIMIT_FSIZE, bytes */
};

struct backend {
	pid_t pid;
	int pidfd;    /* owned */
	int words_fd; /* owned: what it writes to its standard error, as far as there is room */
	int says_fd;  /* owned: of BACKEND_SNAPSHOTS what it answers, likewise; else -1 */
};

#define BACKEND_INIT                                                                               \
	{                                                                                          \
		.pidfd = -1, .words_fd = -1, .says_fd = -1                                         \
	}

void backend_fini(struct backend *b);
#define auto_backend cleanup_with(backend_fini)

/*
 * Starts it, in a child's place: who calls this is in its network, ipc and uts namespaces from then
 * on. On return it executes its program, which may still find that it cannot serve: then
 * its socket's connections end, and backend_words() says why.
 */
int backend_start(struct backend *b, const struct backend_spec *spec, struct err *e);

/* A connection to it; borrows nothing. -ECONNREFUSED: nobody listens there any more. */
int backend_connect(const char *socket, int *ret_fd, struct err *e);

/* Of one that ends by itself. -EPROTO: not well; -ETIMEDOUT: not yet. */
int backend_await_end(const struct backend *b, int timeout_ms, struct err *e);

/* Of one that has ended: what it answered changes no more, whoever has the file. Owned by the
 * caller. */
int backend_answer(struct backend *b, int *ret_fd, struct err *e);

/*
 * The last line it said, printable characters only; "" where it said nothing. Of a file that comes
 * from elsewhere nothing is read unless it is one of those: it cannot make who reads it wait.
 */
#define BACKEND_WORDS_SIZE 200
void backend_words(int words_fd, char words[BACKEND_WORDS_SIZE]);

/*
 * Asks it to end, as its own uid since the helper has no right to signal others, and waits. Its
 * device is gone by then. -ETIMEDOUT: it does not; its cgroup ends it.
 */
int backend_ask_to_end(int pidfd, uid_t uid, int timeout_ms, struct err *e);

/* backend_room.c: its namespaces, and the root with what it is served from. */
int backend_room_make(struct spawn_room *room, const struct backend_spec *spec, struct err *e);
