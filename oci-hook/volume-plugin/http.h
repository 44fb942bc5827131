/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 on a Unix socket, for the calls of calls.h. Few connections, small headers and bodies,
 * and little patience with who says nothing.
 */
#pragma once

#include "driver/base/err.h"
#include "oci-hook/volume-plugin/plugin.h"

struct MHD_Daemon;

#define HTTP_CONNECTIONS_MAX 32
#define HTTP_SILENCE_S 10

/* Threads of its own serve listen_fd, which it takes, until it is stopped. */
int http_start(struct MHD_Daemon **ret, int listen_fd, const struct plugin *plugin, struct err *e);

/* When all that is asked has its answer. */
void http_stop(struct MHD_Daemon *http);
