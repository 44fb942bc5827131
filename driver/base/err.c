/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (e) {
		va_start(ap, fmt);
		vsnprintf(e->text, sizeof(e->text), fmt, ap);
		va_end(ap);
	}
	return -code;
}

int err_sys(struct err *e, int code, const char *fmt, ...)
{
	char words[ERR_TEXT_SIZE];
	va_list ap;

	if (e) {
		va_start(ap, fmt);
		vsnprintf(words, sizeof(words), fmt, ap);
		va_end(ap);
		snprintf(e->text, sizeof(e->text), "%s: %s", words, strerror(code));
	}
	return -code;
}

int err_prefix(struct err *e, int r, const char *fmt, ...)
{
	char words[ERR_TEXT_SIZE], reason[ERR_TEXT_SIZE];
	va_list ap;

	if (e) {
		va_start(ap, fmt);
		vsnprintf(words, sizeof(words), fmt, ap);
		va_end(ap);
		memcpy(reason, e->text, sizeof(reason));
		reason[sizeof(reason) - 1] = '\0';
		snprintf(e->text, sizeof(e->text), "%s: %s", words, reason);
	}
	return r;
}
