/* SPDX-License-Identifier: Apache-2.0 */
/* json-c's objects, owned by variables. */
#pragma once

#include <json-c/json.h>

#include "driver/base/cleanup.h"

static inline void auto_json_putp(struct json_object **o)
{
	json_object_put(*o);
}

#define auto_json cleanup_with(auto_json_putp)
