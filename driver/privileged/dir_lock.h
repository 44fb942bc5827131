/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock of a directory, for the helper's children whose work must not mix. It is
 * free again when its holder ends, however that comes.
 */
#pragma once

#include "driver/base/err.h"

/* Waits for it; closing *ret_fd frees it. -ETIMEDOUT: somebody kept it. */
int dir_lock(int at_fd, const char *dir, int timeout_ms, int *ret_fd, struct err *e);
