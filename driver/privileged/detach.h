/* SPDX-License-Identifier: Apache-2.0 */
/* Taking a device away: because somebody asks, or because its container or worker is gone. */
#pragma once

#include "driver/privileged/op.h"
#include "driver/wire/packet.h"

int detach_serve(struct op *op, struct packet *p, struct err *e);

/* May this peer end the device, and see it? */
bool detach_peer_ok(const struct op *op, const struct record *rec);

/* The same, with an audit line when not. */
bool detach_peer_admit(const struct op *op, const char *what, const struct record *rec);

/* The helper's own reason to end a device: takes it and undoes it. */
int detach_own(const struct op *op, uint64_t generation, struct err *e);
