/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The birth of a worker, and of the keeper: own uid, own user and pid namespace, the shared empty
 * mount, network, ipc and uts namespaces, its cgroup, its limits; no
 * capabilities, no_new_privs. What only the worker can do to itself
 * (Landlock, ring restrictions, seccomp) it does before it gets the char
 * device; see driver/worker/main.c.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "driver/base/err.h"
#include "driver/wire/start.h"

/* The namespaces all workers share: nothing is mounted in, connected to or shared through them. */
struct spawn_room {
	int mount_fd;
	int net_fd;
	int ipc_fd;
	int uts_fd;
};

#define SPAWN_ROOM_INIT                                                                            \
	{                                                                                          \
		-1, -1, -1, -1                                                                     \
	}

/* Makes them once, through a child that exits again; the fds keep them alive. */
int spawn_room_make(struct spawn_room *room, struct err *e);
/*
 * A room for one alone. fill() runs in the child, as root, in the directory that becomes the root
 * and cannot be written afterwards: NULL, or the step that failed with errno set.
 */
int spawn_room_make_filled(struct spawn_room *room, const char *(*fill)(void *arg), void *arg,
			   struct err *e);
void spawn_room_fini(struct spawn_room *room);

/* What is born this way. */
enum spawn_program {
	SPAWN_WORKER,
	SPAWN_KEEPER,
	SPAWN_BACKEND, /* which makes its filter by itself */
	SPAWN_PROGRAMS,
};

/* Its seccomp program, made by libseccomp; fills filter and *ret_nr. */
int spawn_filter_make(enum spawn_program program, uint64_t filter[START_FILTER_MAX],
		      uint16_t *ret_nr, struct err *e);

struct spawn_spec {
	enum spawn_program program;
	const struct spawn_room *room;
	int program_fd; /* the static program, O_PATH or readable */
	int cgroup_fd;	/* directory the worker is born in; -1: stay */
	uid_t uid;
	gid_t gid;
	uint64_t file_size_limit; /* RLIMIT_FSIZE, bytes */
};

struct spawn_child {
	pid_t pid;	/* in the helper's namespace */
	int pidfd;	/* owned by the caller */
	int channel_fd; /* owned by the caller: the helper's end of start.h */
};

/* A running program at the entry of its main(), or nothing. */
int spawn_worker(struct spawn_child *ret, const struct spawn_spec *spec, struct err *e);

/*
 * The steps of start.h from the helper's side. Deadlines in milliseconds. A
 * worker's START_FAILED comes back as -EPROTO with its words in e.
 */
int spawn_prepare(const struct spawn_child *w, const struct start_spec *spec,
		  const int *backing_fds, unsigned int nr_fds, int timeout_ms, struct err *e);
/* Sends the char device, the counters and a socket for notices. They are borrowed: close the
 * device right after, the driver waits for its last copy. */
int spawn_serve(const struct spawn_child *w, int char_fd, int stats_fd, int notices_fd,
		int timeout_ms, struct err *e);
int spawn_wait_ready(const struct spawn_child *w, int timeout_ms, struct err *e);

/*
 * Waits until a worker that was killed is really gone: 0 or -ETIMEDOUT. Reaps it
 * when it is the caller's child; one that is gone already is fine.
 */
int spawn_wait_end(int pidfd, int timeout_ms);
