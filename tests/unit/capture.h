/* SPDX-License-Identifier: Apache-2.0 */
/* What a command prints, and how it ends. */
#pragma once

#include <stddef.h>

/*
 * Runs it in a child, in dir (NULL: here); its exit status. Output of both
 * kinds goes to text.
 */
int capture(int (*command)(int argc, char **argv), int argc, char **argv, const char *dir,
	    char *text, size_t size);
