/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/worker/gate.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

void gate_pass(struct gate *g)
{
	atomic_fetch_add(&g->passed, 1);
	syscall(SYS_futex, &g->passed, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void gate_await(struct gate *g, uint32_t nr)
{
	uint32_t seen;

	while ((seen = atomic_load(&g->passed)) < nr)
		syscall(SYS_futex, &g->passed, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}
