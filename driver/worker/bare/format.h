/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of printf(3) that a worker's words about a failure need: %s %u %d
 * %x %%, with "#" and the lengths l, ll and z. What is none of these is written as
 * it stands. Cut off at size - 1 bytes, and always ended when size is not 0.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

/* Returns how long the whole text is. */
int format_text(char *out, size_t size, const char *fmt, va_list ap);

/* strerror(3), of what may happen to a worker; else "error N" in buf. */
#define FORMAT_ERROR_SIZE 24
const char *format_error(int code, char buf[FORMAT_ERROR_SIZE]);
