/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices nobody is working on: the processes a live one depends on are watched,
 * and what is not live is undone, again and again until it is gone.
 */
#pragma once

#include <stdint.h>

#include "driver/privileged/registry.h"

struct server;

/* What has ended, as server_watch() was told. */
enum watch_end {
	WATCH_END_WORKER,
	WATCH_END_CONTAINER,
};

/* Watches what a live device depends on; one of these that has ended already shows at once. */
void watch_device(struct server *s, struct device *d);

/* Nobody works on it now: what is live is watched, what is not is undone. */
void watch_settle(struct server *s, struct device *d);

/* A process that was watched has ended; which: the lower half of a device's generation. */
void watch_ended(struct server *s, uint32_t which, enum watch_end end);

/* Starts a child that takes the device away. */
void watch_end_device(struct server *s, struct device *d);

/* Tries again what is due, and when the next is: INT64_MAX: nothing is. */
void watch_retry(struct server *s, int64_t now_ms);
int64_t watch_next_ms(const struct registry *registry);

/* Sets when undoing it is tried again: at once the first time, then later and later. */
void watch_retry_later(struct device *d, int64_t now_ms);
