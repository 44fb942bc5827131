/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the threads of a worker wait for each other: a number that only grows.
 * Nobody passes through here while requests are served.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

struct gate {
	_Atomic uint32_t passed;
};

/* One more; wakes whoever waits for it. */
void gate_pass(struct gate *g);

/* Until so many have passed. */
void gate_await(struct gate *g, uint32_t nr);
