/* SPDX-License-Identifier: Apache-2.0 */
#include "targets/registry.h"

#include <stddef.h>

#include "targets/catalog.h"

static const struct target_ops *const registry[TARGET_END] = {
	[TARGET_NULL] = &target_null, [TARGET_MEMORY] = &target_memory,
	[TARGET_FILE] = &target_file, [TARGET_FAULT] = &target_fault,
	[TARGET_COW] = &target_cow,   [TARGET_NBD] = &target_nbd,
};

const struct target_ops *target_find(unsigned int target_id)
{
	return target_id < TARGET_END ? registry[target_id] : NULL;
}
