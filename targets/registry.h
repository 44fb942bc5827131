/* SPDX-License-Identifier: Apache-2.0 */
/* The targets a worker is built with. */
#pragma once

#include "targets/target.h"

extern const struct target_ops target_null;
extern const struct target_ops target_memory;
extern const struct target_ops target_file;
extern const struct target_ops target_fault;
extern const struct target_ops target_cow;
extern const struct target_ops target_nbd;
