/* SPDX-License-Identifier: Apache-2.0 */
/* What can be said of a request to attach before anything else is looked at. */
#pragma once

#include "driver/base/err.h"
#include "driver/wire/wire.h"

/* The request's own words, without a look at the world: 0 or -EINVAL with a reason. */
int attach_check(const struct wire_attach *ask, unsigned int nr_fds, struct err *e);
