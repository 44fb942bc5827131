/* SPDX-License-Identifier: Apache-2.0 */
/* What the driver writes about a request, and what goes back to it. */
#pragma once

#include "driver/base/ublk_abi.h"
#include "driver/worker/queue.h"

/*
 * What the driver asks, checked: the one place between the kernel's descriptor
 * and every target. 0 with *ret filled (but for buf, buf_index and step), or
 * the -errno to commit.
 */
int io_from_desc(const struct queue *q, const struct ublksrv_io_desc *d, struct io *ret);

/* What to commit for an I/O that ended with error (0 or -errno): whole length or an errno. */
int io_result(const struct io *io, int error);
