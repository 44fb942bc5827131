/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices nobody is working on: the processes a live one depends on are watched; one
 * whose worker ended gets another, soon at first, later each time, and after some that
 * died at once none. What is not live is undone, again and again until it is gone.
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

/*
 * Nobody works on it now: what a live one depends on is watched, and what of that has
 * ended already shows at once; what is half made or half gone is undone.
 */
void watch_settle(struct server *s, struct device *d);

/* A process that was watched has ended; which: the lower half of a device's generation. */
void watch_ended(struct server *s, uint32_t which, enum watch_end end);

/* A child of ours that was none of the helper's own has ended, as waitpid() says. */
void watch_reaped(struct server *s, pid_t pid, int status);

/* Starts a child that takes the device away. */
void watch_end_device(struct server *s, struct device *d);

/* Tries again what is due, and when the next is: INT64_MAX: nothing is. */
void watch_retry(struct server *s, int64_t now_ms);
int64_t watch_next_ms(const struct registry *registry);

/* Sets when undoing it is tried again: at once the first time, then later and later. */
void watch_retry_later(struct device *d, int64_t now_ms);

/* A worker has ended: when it gets another. */
void watch_recover_later(struct device *d, int64_t now_ms);
