/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers that hang. The main process reads what the kernel counts of all disks, now and then;
 * for a device on which nothing ends, for as long as the policy allows, a child looks at its
 * worker. One that cannot go on is killed, and recovery does the rest; of one that waits the log
 * tells, once. Nothing that a worker wrote is read.
 */
#pragma once

#include <stdint.h>

#include "driver/privileged/op.h"

struct server;

/* The main process's part, when it is due; and when that is. INT64_MAX: never. */
void hang_pass(struct server *s, int64_t now_ms);
int64_t hang_next_ms(const struct server *s);

/* In a child, for a device on which nothing ends. */
int hang_look(const struct op *op, uint64_t generation, struct err *e);
