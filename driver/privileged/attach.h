/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One device given to one container (or the host): from the request to the
 * node that opens. Its steps are a table; whatever step fails, undo.h takes
 * everything back.
 */
#pragma once

#include "driver/privileged/op.h"
#include "driver/wire/packet.h"

int attach_serve(struct op *op, struct packet *p, struct err *e);
