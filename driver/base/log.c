/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The one mutable global of the tree: how this process names itself and how much it says. */
static struct {
	const char *tag;
	enum log_level most;
	bool journal;
} log_setup = { "ublk-oci", LOG_LEVEL_INFO, false };

void log_open(const char *tag, enum log_level most)
{
	log_setup.tag = tag;
	log_setup.most = most;
	log_setup.journal = getenv("JOURNAL_STREAM") != NULL;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char text[1024], line[1100];
	int saved_errno = errno;
	va_list ap;
	int n;

	if (level > log_setup.most)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (log_setup.journal)
		n = snprintf(line, sizeof(line), "<%d>%s\n", (int)level, text);
	else
		n = snprintf(line, sizeof(line), "%s: %s\n", log_setup.tag, text);
	/* One write, so that lines of several processes do not mix; a full pipe loses it. */
	if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0)
		errno = saved_errno;
	errno = saved_errno;
}
