/* SPDX-License-Identifier: Apache-2.0 */
/* System calls of a worker that has no C library. */
#pragma once

#include <stdint.h>

/* The clock is read by the kernel's own code in image from now on; before tables are locked. */
void call_use_vdso(uintptr_t image);

/* As the kernel answers it: a result, or -errno. */
static inline long bare_call(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long r = nr;

	__asm__ volatile("syscall"
			 : "+a"(r)
			 : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return r;
}
