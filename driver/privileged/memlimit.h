/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much memory a worker may make the kernel spend, in its cgroup's
 * memory.max. A ring takes requests without counting them; without this limit a
 * worker that was taken over could use up the host's memory with requests that
 * never end. With it the kernel kills that worker.
 */
#pragma once

#include "driver/privileged/journal.h"

/* Its buffers, what it may hold of its backing in memory, and MEMLIMIT_ROOM_BYTES. */
uint64_t memlimit_bytes(const struct record *rec);

/* For the program, its ring and requests in flight. */
#define MEMLIMIT_ROOM_BYTES (UINT64_C(64) << 20)

/* Sets it, see cgroup_limit_memory(). */
int memlimit_set(const struct record *rec, struct err *e);
