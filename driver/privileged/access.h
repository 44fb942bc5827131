/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether containers can still open their devices. Engines and systemd make a container's device
 * filter anew (an update of its resources, daemon-reload), and know nothing of ours. The
 * main process looks at what is attached to the cgroups of containers that have devices, now and
 * then; where that has changed a child tries the device from inside and gives access again. Where
 * it cannot, the device is shown without access, and it is tried again.
 *
 * Who stands beside us in a cgroup is left there: programs attached together are ANDed.
 */
#pragma once

#include <stdint.h>

#include "driver/privileged/op.h"

struct server;

/* The main process's part, when it is due; and when that is. INT64_MAX: never. */
void access_pass(struct server *s, int64_t now_ms);
int64_t access_next_ms(const struct server *s);

/* In a child: the container that has the device of this generation, and all it has. */
int access_look(const struct op *op, uint64_t generation, struct err *e);

/* The same, as root asked for it, who is told of each device; look_only: nothing is changed. */
int access_serve(const struct op *op, uint64_t generation, bool look_only, struct err *e);
