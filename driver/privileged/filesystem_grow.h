/* SPDX-License-Identifier: Apache-2.0 */
/* A file system that follows its device, which became larger, while it is mounted. */
#pragma once

#include "driver/base/err.h"
#include "driver/privileged/filesystem.h"

/* One that is mounted becomes as large as its device. As large already is fine. */
int filesystem_grow(const struct filesystem_spec *spec, int timeout_ms, struct err *e);
