/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Servers of NBD, one per image that is served: a socket that this process holds, and the back
 * end's program, which serves on it and is started again when it ends. So a connection that comes
 * while there is none waits.
 *
 * Which they are is on record in the directory of the sockets, as links "ID.image", for the next
 * process.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "driver/base/err.h"

#define SERVER_MAX 256
#define SERVER_IMAGE_SIZE 88 /* "NAME.ID" */

struct server {
	char image[SERVER_IMAGE_SIZE];
	int listen_fd;
	pid_t pid; /* 0: there is none now */
	int64_t started_ms;
	int64_t again_ms; /* not before */
};

struct servers {
	const char *program;
	int dir_fd; /* of the sockets, and the current directory */
	struct server all[SERVER_MAX];
	size_t nr;
};

/* Those on record are served again. */
int servers_begin(struct servers *s, struct err *e);

/* 0 also when it is served already. */
int servers_add(struct servers *s, const char *image, struct err *e);

/* Its program is told to end, and killed when it takes long; 0 also when there is none. */
int servers_remove(struct servers *s, const char *image, struct err *e);

/* A process has ended. */
void servers_ended(struct servers *s, pid_t pid);

/* Starts what is to be started; how long until there is more, as poll() takes it. */
int servers_start(struct servers *s);
