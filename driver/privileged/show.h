/* SPDX-License-Identifier: Apache-2.0 */
/* LIST, INSPECT and STATS: what there is, for those who may see a device. */
#pragma once

#include "driver/privileged/op.h"
#include "driver/wire/packet.h"

int show_list(struct op *op, struct packet *p, struct err *e);
int show_inspect(struct op *op, struct packet *p, struct err *e);
int show_snapshots(struct op *op, struct packet *p, struct err *e);
int show_stats(struct op *op, struct packet *p, struct err *e);
