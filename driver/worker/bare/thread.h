/* SPDX-License-Identifier: Apache-2.0 */
/* What each thread of a worker that has no C library has for itself; %fs points to it. */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

struct bare_thread {
	struct bare_thread *self;
	int error; /* errno */
	uintptr_t pad[3];
	uintptr_t canary; /* what the compiler's stack protector reads at %fs:40 */
};
static_assert(offsetof(struct bare_thread, canary) == 40, "x86-64 ABI");
static_assert(sizeof(struct bare_thread) % 16 == 0, "a stack begins below it");

static inline struct bare_thread *thread_own(void)
{
	struct bare_thread *own;

	__asm__("mov %%fs:0, %0" : "=r"(own));
	return own;
}
