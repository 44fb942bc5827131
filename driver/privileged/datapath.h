/* SPDX-License-Identifier: Apache-2.0 */
/* How data and commands travel between a device and its worker. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "driver/base/err.h"
#include "driver/privileged/journal.h"

/*
 * From what was asked, what the rule gave, what target and kernel can: what to ask
 * of the driver (UBLK_F_*), and the largest request. -ENOTSUP when zero copy was
 * demanded and cannot be.
 */
int datapath_choose(const struct record *rec, uint64_t *ret_flags, uint32_t *ret_max_io_bytes,
		    struct err *e);

/* Does each queue get a thread of its own? Who asks for more queues than all have means that. */
bool datapath_threads(const struct record *rec);

/* What the worker of this device is told: enum start_flag. */
uint32_t datapath_start_flags(const struct record *rec);
