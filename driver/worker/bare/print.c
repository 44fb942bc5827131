/* SPDX-License-Identifier: Apache-2.0 */
/* The C library's names for format.h. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "driver/worker/bare/format.h"

int __vsnprintf_chk(char *out, size_t size, int flag, size_t room, const char *fmt, va_list ap);
int __snprintf_chk(char *out, size_t size, int flag, size_t room, const char *fmt, ...);

int vsnprintf(char *out, size_t size, const char *fmt, va_list ap)
{
	return format_text(out, size, fmt, ap);
}

int snprintf(char *out, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = format_text(out, size, fmt, ap);
	va_end(ap);
	return n;
}

int __vsnprintf_chk(char *out, size_t size, int flag, size_t room, const char *fmt, va_list ap)
{
	if (size > room)
		__builtin_trap();
	return format_text(out, size, fmt, ap);
}

int __snprintf_chk(char *out, size_t size, int flag, size_t room, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (size > room)
		__builtin_trap();
	va_start(ap, fmt);
	n = format_text(out, size, fmt, ap);
	va_end(ap);
	return n;
}

char *strerror(int code)
{
	static char buf[FORMAT_ERROR_SIZE]; /* one thread has words at a time */

	return (char *)format_error(code, buf);
}
