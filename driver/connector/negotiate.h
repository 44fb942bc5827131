/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Agreeing with an NBD server on an export, by libnbd, up to where requests begin. What a worker
 * is to speak after that is the smallest there is: simple replies, no TLS, no extensions.
 */
#pragma once

#include "driver/base/err.h"
#include "driver/wire/connect.h"

struct negotiated {
	struct connect_made facts; /* flags, sizes */
	int fds[WIRE_CONNECTIONS_MAX];
	unsigned int nr;
};

#define NEGOTIATED_INIT                                                                            \
	{                                                                                          \
		.fds = { -1, -1, -1, -1 }                                                          \
	}

void negotiated_fini(struct negotiated *n);

/* given: nr_given connected sockets to talk on (taken), in the place of the address. */
int negotiate(struct negotiated *ret, const struct connect_make *ask, int *given,
	      unsigned int nr_given, struct err *e);
