/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last close of a connection closes what is still queued in it, and a
 * socket that lingers can make that last as long as its sender likes. So the
 * last one is that of a process that ends, for which nothing lingers: a holder
 * has a copy of every descriptor while we close ours, and is killed then.
 */
#pragma once

#include <sys/types.h>

/* -1: there is none, and closing goes on without. */
pid_t last_close_begin(void);

/* After the closing. */
void last_close_end(pid_t pid);
