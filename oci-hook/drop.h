/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Giving up rights, before anything a stranger wrote is read. There is no way back from any of it.
 */
#pragma once

#include <stdbool.h>

#include "driver/base/err.h"

/*
 * Root of the whole machine? Root of a user namespace (rootless engines) is
 * the user who owns that, and stays what it is.
 */
bool drop_is_real_root(void);

/* Becomes a system user, with that user's groups. */
int drop_to_user(const char *name, struct err *e);

/* Of all groups but its own only this one, if there is such a group. Root only can, others keep
 * theirs. */
int drop_groups(const char *but, struct err *e);

/* No capability, and none by a program that is started. */
int drop_capabilities(struct err *e);

/* Little memory, few files, of a processor so much; and no child, but for root. */
int drop_limits(unsigned int cpu_seconds, struct err *e);

/* Nothing that is opened later may become a standard descriptor that was left closed. */
void drop_fill_standard_fds(void);
