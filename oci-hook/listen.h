/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of programs that the service manager starts when somebody connects. */
#pragma once

#include "driver/base/err.h"

/*
 * The one socket that the service manager listens at for us, of this type (SOCK_...), as
 * sd_listen_fds(3) describes. -ENOENT, and no reason: it passed none. Processes that are started
 * later do not have it.
 */
int listen_passed(int type, int *ret_fd, struct err *e);
