/* SPDX-License-Identifier: Apache-2.0 */
/*
 * START_BATCH: one fetch that goes on and on says which tags were filled, and
 * one commit hands back all results of a wake. Costs less for many requests
 * at a time, more for a single one.
 */
#pragma once

#include <stdint.h>

#include "driver/base/err.h"
#include "driver/worker/queue.h"

struct io_uring_cqe;

/* Memory, and the ring's group of buffers that tags are delivered in. */
int batch_init(struct queue *q, struct err *e);
void batch_fini(struct queue *q);

/* Ring entries a queue may need beside those of its targets. */
#define BATCH_ENTRIES 3

/* Ring entries that give every tag to the driver, and fetch. */
void batch_fetch(struct queue *q);

/* Notes a result; batch_flush() hands back what was noted, unless the last is still under way. */
void batch_commit(struct queue *q, uint16_t tag, int result);
void batch_flush(struct queue *q);

/* Completions: 0, or -errno when the driver refused. */
int batch_fetched(struct queue *q, const struct io_uring_cqe *cqe);
int batch_prepared(struct queue *q, int result);
int batch_committed(struct queue *q, int result);
