/* SPDX-License-Identifier: Apache-2.0 */
/* One number for what a device filter is made of: another one means that something has changed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define DEVFILTER_PRINT_INIT UINT64_C(14695981039346656037) /* FNV-1a */

static inline void devfilter_print_add(uint64_t *print, const void *bytes, size_t n)
{
	const uint8_t *b = bytes;

	for (size_t i = 0; i < n; i++)
		*print = (*print ^ b[i]) * UINT64_C(1099511628211);
	*print += !*print; /* 0 is nobody's */
}
