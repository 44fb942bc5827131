/* SPDX-License-Identifier: Apache-2.0 */
/* A container gets a device that was made ahead: the steps of an attach that are the container's.
 */
#pragma once

#include "driver/privileged/op.h"
#include "driver/wire/packet.h"

int claim_serve(struct op *op, struct packet *p, struct err *e);

/* Is every field of it one that can be? Exposed for tests. */
int claim_check(const struct wire_claim *ask, unsigned int nr_fds, struct err *e);
