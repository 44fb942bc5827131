/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker gives up by itself. The helper has already taken its user,
 * capabilities and namespaces; the ring's own limits are in ring.h.
 */
#pragma once

#include <stdint.h>

#include "driver/base/err.h"

/* First act of the process: Landlock where there is one, not dumpable, no signal that ends it. */
int sandbox_begin(struct err *e);

/* Closes every descriptor but these. */
int sandbox_close_all_but(const int *fds, unsigned int nr_fds, struct err *e);

/* seccomp, all threads, no way back. filter: nr struct sock_filter. */
int sandbox_seal(const uint64_t *filter, uint16_t nr, struct err *e);
