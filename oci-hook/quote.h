/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of strangers (annotations, paths, labels) made fit for one line on a
 * terminal or in a log: what is not printable UTF-8 becomes \xNN, and so does
 * what would change the direction of the rest of the line.
 */
#pragma once

#include <stddef.h>

#define QUOTE_SIZE 96 /* room for a word or two in an error */

/* At most size - 1 bytes of it; what was cut ends in "...". Returns buf; size is 8 or more. */
char *quote_text(char *buf, size_t size, const char *text);
