/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
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

void log_text(enum log_level level, const char *text, size_t size)
{
	struct iovec parts[] = { { NULL, 0 }, { (void *)text, size }, { (void *)"\n", 1 } };
	int saved_errno = errno;
	char head[64];

	if (level > log_setup.most)
		return;
	if (log_setup.journal)
		snprintf(head, sizeof(head), "<%d>", (int)level);
	else
		snprintf(head, sizeof(head), "%s: ", log_setup.tag);
	parts[0] = (struct iovec){ head, strnlen(head, sizeof(head)) };
	/* One write, so that lines of several processes do not mix; a full pipe loses it. */
	if (writev(STDERR_FILENO, parts, 3) < 0)
		errno = saved_errno;
	errno = saved_errno;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	int saved_errno = errno;
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_text(level, text, strlen(text));
	errno = saved_errno;
}
