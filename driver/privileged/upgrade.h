/* SPDX-License-Identifier: Apache-2.0 */
/* UPGRADE: another worker for a device while it is used, from the program the helper has. */
#pragma once

#include "driver/privileged/op.h"
#include "driver/privileged/recover.h"
#include "driver/wire/packet.h"

int upgrade_serve(struct op *op, struct packet *p, struct err *e);

/* Which worker serves the device now, and how large it is. */
void upgrade_answer(const struct op *op, const struct record *rec,
		    const struct recover_upgraded *done);
