/* SPDX-License-Identifier: Apache-2.0 */
/* The first I/O that failed for a reason is told to the helper: driver/wire/notice.h. */
#pragma once

#include "driver/worker/queue.h"

/* Of one that failed with error, -errno. A ring entry now and then; it never waits. */
void report_failure(struct queue *q, const struct io *io, int error);

/* That entry came back. Whether anybody heard it does not matter. */
void report_sent(struct queue *q);
