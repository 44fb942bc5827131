/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line to stderr per event, with the program's tag. With the journal at
 * the other end ($JOURNAL_STREAM is set) the line begins with its priority as
 * sd-daemon(3) describes. errno is preserved, so logging never changes an
 * outcome.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

/* tag must stay valid for the life of the process. */
void log_open(const char *tag, enum log_level most);

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The same for a text that is ready, whatever its length; without its newline. */
void log_text(enum log_level level, const char *text, size_t size);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
