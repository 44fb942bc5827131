/* SPDX-License-Identifier: Apache-2.0 */
/* What a back end's program is called with. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "driver/base/err.h"
#include "driver/wire/backend.h"

#define COMMAND_ARGS_MAX (BACKEND_ARGS_MAX + 1)
#define COMMAND_TEXT_SIZE 4096

struct command {
	char text[COMMAND_TEXT_SIZE]; /* what argv points into */
	size_t used;
	char *argv[COMMAND_ARGS_MAX]; /* ends with NULL */
	unsigned int nr;
};

/* Does it listen? Else it ends by itself. */
bool command_serves(const struct backend_start *start);

/* Does it write what it was asked, to a file of its own? */
bool command_answers(const struct backend_start *start);

/* From what the helper asks for. -EPROTO: that makes no sense. */
int command_make(struct command *c, const struct backend_start *start, struct err *e);
