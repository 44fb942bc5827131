/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket, its connections, and a process for each call. The main process speaks HTTP/2 and
 * reads no message; a call's process has one message, and no connection.
 */
#pragma once

#include "driver/base/err.h"
#include "oci-hook/csi/call.h"

#define SERVER_PEERS_MAX 32
#define SERVER_WORKS_MAX 64
#define SERVER_BEGIN_MS 10000	      /* a connection says in time what HTTP/2 begins with */
#define SERVER_ANSWER_MAX (16u << 20) /* bytes of an answer */

/* Listens there, for this user and root only; *ret_fd. What a dead one left there is replaced. */
int server_listen(const char *path, int *ret_fd, struct err *e);

/* Until SIGTERM or SIGINT, which are blocked, as is SIGCHLD. */
int server_run(int listen_fd, const struct config *config, struct err *e);
