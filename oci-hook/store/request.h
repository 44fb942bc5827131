/* SPDX-License-Identifier: Apache-2.0 */
/* What a packet must look like to be served: one table. */
#pragma once

#include "driver/base/err.h"
#include "driver/wire/packet.h"
#include "driver/wire/store.h"

/*
 * -EBADMSG: it is no request, and gets no answer. -EPROTONOSUPPORT, -EINVAL: e is the answer.
 * The fds stay the packet's.
 */
int request_admit(const struct packet *p, struct store_ask *ret, struct err *e);

/* How requests are called in the log. */
const char *request_name(unsigned int type);
