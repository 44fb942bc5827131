/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of the kernel that run without a system call, in an ELF image it maps. */
#pragma once

#include <stdint.h>

/* image: AT_SYSINFO_EHDR of the auxiliary vector, or 0. NULL: it has no such function. */
void *vdso_find(uintptr_t image, const char *name);
