/* SPDX-License-Identifier: Apache-2.0 */
/* Running another program for what it prints: no shell, capped, with a deadline. */
#pragma once

#include <stddef.h>

#include "driver/base/err.h"

/*
 * Runs argv[0] (a path) with stdin from /dev/null. *ret_text (owned by the
 * caller) is what it wrote to stdout, with a zero at its end. Fails if it
 * writes more than max bytes, does not end within timeout_ms (it is killed
 * then), or ends with another status than 0 (the reason then holds the first
 * line it wrote to stderr).
 */
int run_capture(const char *const *argv, size_t max, int timeout_ms, char **ret_text,
		struct err *e);

/* The path of a program where programs of the system are, or NULL. */
const char *run_find(const char *name, char *buf, size_t size);
