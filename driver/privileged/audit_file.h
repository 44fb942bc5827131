/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit file. It is opened for every line, so whoever rotates it only has
 * to rename it. A line is one write: it is in the file whole, or it is an error.
 * It is not synced: what the kernel has taken survives the helper, and a
 * machine that crashes has lost its devices too.
 */
#pragma once

#include <stddef.h>

#include "driver/base/err.h"

/* Makes the directory, 0750 and group adm where there is such a group; there already is fine. */
int audit_file_prepare(const char *dir, struct err *e);

/* Appends a line, which ends in a newline, to DIR/NAME; makes the file, 0640 and of DIR's group. */
int audit_file_append(const char *dir, const char *name, const char *line, size_t size,
		      struct err *e);
