/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wrappers that stand in the place of a cgroup's own device programs: how they come there, and
 * how the cgroup gets back what the runtime attached. See devfilter.h.
 */
#pragma once

#include <stdbool.h>

#include "driver/base/err.h"
#include "driver/privileged/devfilter_pins.h"

/*
 * Every attached program (devfilter_pins_query()) is one of our wrappers afterwards, but for
 * systemd's with DEVFILTER_IN_UNIT. how: enum devfilter_how.
 */
int devfilter_wrap_all(struct devfilter_pins *d, unsigned int how, struct err *e);

/* Puts 0 in the place of our own wrappers among what is attached. */
int devfilter_wrap_skip(struct devfilter_pins *d, struct err *e);

/* The same with those of systemd's, or only tells whether there are any. */
bool devfilter_wrap_skip_systemds(struct devfilter_pins *d, bool forget);

/* With no device left in the map: the cgroup as the runtime made it, and no pins. */
int devfilter_wrap_end_if_empty(struct devfilter_pins *d, struct err *e);
