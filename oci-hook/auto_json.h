/* SPDX-License-Identifier: Apache-2.0 */
/* json-c's objects, owned by variables, and what a member of one says. */
#pragma once

#include <json-c/json.h>

#include "driver/base/cleanup.h"

static inline void auto_json_putp(struct json_object **o)
{
	json_object_put(*o);
}

#define auto_json cleanup_with(auto_json_putp)

/* NULL: there is no such member, or it is no string. Borrowed from o, which may be anything. */
static inline const char *auto_json_text(struct json_object *o, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(o, key, &value) ||
	    !json_object_is_type(value, json_type_string))
		return NULL;
	return json_object_get_string(value);
}
