/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls a back end has, of this process and all it starts, for good. */
#pragma once

#include "driver/base/err.h"
#include "driver/wire/backend.h"

/* Needs no_new_privs. What is not on the list fails with ENOSYS. */
int filter_enter(const struct backend_start *start, struct err *e);
