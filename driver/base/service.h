/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program beside the helper that others connect to: how it begins, and waits. None of them stays
 * root, makes its children privileged, or leaves a core. All are of one thread.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "driver/base/err.h"

/* -EPERM for root, to whom it says as whom the program is to be started. */
int service_not_root(const char *user, struct err *e);

/* From root to this user, with the user's groups and this one in place of the first; no way back.
 */
int service_become(const char *user, uid_t uid, gid_t gid, struct err *e);

/* What no service needs: new privileges, cores, SIGPIPE, files for others. */
int service_limit(struct err *e);

/*
 * The one socket that the service manager listens at for us, of this type (SOCK_...), as
 * sd_listen_fds(3) describes; it does not block. 1, or 0: it passed none. Processes that are
 * started later do not have it.
 */
int service_passed(int type, int *ret_fd, struct err *e);

/* The signals that end a service, and SIGCHLD, come by *ret_fd from here on. */
int service_signals(int *ret_fd, struct err *e);

/* True when a signal to end has come; those of ended children are taken, to be reaped. */
bool service_ends(int signal_fd);

/*
 * Waits for somebody at listen_fd (-1: nobody is let in), for signals, and no longer than
 * timeout_ms (-1: for ever). 1: somebody may be there; 0: not; both after a look for ended
 * children. -ECANCELED: it is to end.
 */
int service_wait(int listen_fd, int signal_fd, int timeout_ms);

/* Who is there: a connection and whose it is. -errno, -EAGAIN among them: nobody. */
int service_accept(int listen_fd, struct ucred *ret_who);

/* In a child: it has neither fd, and signals do what they do. */
void service_child(int *listen_fd, int *signal_fd);
