/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/json_text.h"

#include <errno.h>
#include <string.h>

int json_text_parse(struct json_object **ret, const char *text, size_t size, int depth,
		    const char *what, struct err *e)
{
	struct json_tokener *tokener = json_tokener_new_ex(depth);
	auto_json struct json_object *o = NULL;
	enum json_tokener_error error;
	size_t end;

	if (!tokener)
		return err_sys(e, ENOMEM, "cannot read the %s", what);
	json_tokener_set_flags(tokener, JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(tokener, text, (int)size);
	error = json_tokener_get_error(tokener);
	end = json_tokener_get_parse_end(tokener);
	json_tokener_free(tokener);
	if (error == json_tokener_continue)
		return err_set(e, EINVAL, "the %s ends too early", what);
	if (error != json_tokener_success)
		return err_set(e, EINVAL, "the %s is not JSON: %s at byte %zu", what,
			       json_tokener_error_desc(error), end);
	for (; end < size; end++) {
		if (!text[end] || !strchr(" \t\r\n", text[end]))
			return err_set(e, EINVAL, "the %s has something behind its end", what);
	}
	if (!json_object_is_type(o, json_type_object))
		return err_set(e, EINVAL, "the %s is no JSON object", what);
	*ret = ptr_take(o);
	return 0;
}
