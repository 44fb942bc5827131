/* SPDX-License-Identifier: Apache-2.0 */
/* The program of a back end: "create IMAGE BYTES", "remove IMAGE", "resize IMAGE BYTES", "serve
 * IMAGE". */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "driver/base/err.h"

#define PROGRAM_SOCKET_FD 3 /* as sd_listen_fds(3) has it */

/* Nobody but root may say what it does. */
int program_check(const char *program, struct err *e);

/*
 * Starts it with a socket to serve on; the pid of its guard, which is its group, or -errno. The
 * guard ends when the server does, and ends it when it gets SIGTERM or this process dies.
 */
pid_t program_serve(const char *program, const char *image, int listen_fd);

/* Runs it to its end. size_bytes 0: it has none. -EIO: it failed, and e has its last words. */
int program_run(const char *program, const char *verb, const char *image, uint64_t size_bytes,
		struct err *e);
