/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store, killed before any of its steps: a call that changes a volume, or opens a file.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "oci-hook/store/pools.h"

#define MIB (UINT64_C(1) << 20)
#define STEPS_MAX 200

/* How many steps still go well; -1: all. */
extern int steps_left;

/* Instead of being killed at the next one, that fails with this, once. */
extern int fails_with;

/* Called before and after each call that opens a file in a directory, whether it went well or not.
 */
extern void (*step_open)(const char *name, bool after);

/* One more step: false when it is to fail. */
bool step_take(void);

struct fixture {
	char dir[40];
	struct policy *policy;
	struct pools pools;
};

/* run() by a process of its own: true when it came to its end, false when it was killed at step n.
 */
bool run_killed(const struct fixture *f, int n, void (*run)(const struct fixture *f));
