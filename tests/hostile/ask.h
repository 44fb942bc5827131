/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of the helper's socket that sends whatever it is told to. What only
 * fails where the test itself is broken ends the program.
 */
#pragma once

#include <stddef.h>

#include "driver/wire/wire.h"
#include "targets/catalog.h"

#define ASK_FDS_MOST 253 /* SCM_MAX_FD */

_Noreturn void ask_die(const char *what);

/* With flags of socket(2). -1: SOCK_NONBLOCK was among them, and the queue is full. */
int ask_connect(int flags);

/* Who sends to a helper that has hung up, or what no kernel sends, sees the connection end. */
void ask_send(int fd, const void *bytes, size_t size, const int *fds, unsigned int nr_fds);

/* What came back last: 0 with *reply filled; -ENOTCONN, the helper hung up; -ETIMEDOUT. */
int ask_answer(int fd, struct wire_reply *reply);

struct wire_head ask_head(enum wire_type type, size_t size, unsigned int nr_fds);

/* For a container; what it lacks is that its first descriptor is one. */
struct wire_attach ask_attach(unsigned int nr_fds);
struct wire_attach ask_attach_host(enum target_id target, unsigned int nr_fds);

/* For the list of devices, of the helper at this socket: what it answers, or -errno for none. */
int ask_list(const char *path);
