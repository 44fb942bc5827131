/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said of an image, as if the image had taken over who says it: what is taken is a list of
 * bounded length, and text that is fit for a terminal.
 */
#include <stdint.h>
#include <string.h>

#include "oci-hook/cli/snapshots.h"
#include "tests/fuzz/fuzz.h"

static void text_must_hold(struct json_object *row, const char *key)
{
	const char *text = auto_json_text(row, key);

	must(text != NULL);
	for (; *text; text++)
		must((unsigned char)*text >= ' ' && *text != 0x7f);
}

static void number_must_hold(struct json_object *row, const char *key)
{
	struct json_object *value;

	must(json_object_object_get_ex(row, key, &value) &&
	     json_object_is_type(value, json_type_int) && json_object_get_int64(value) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	auto_json struct json_object *list = NULL;
	struct err e = { "" };

	if (size >= WIRE_IMAGE_SAYS_BYTES)
		return 0;
	if (snapshots_parse(&list, (const char *)bytes, size, &e) < 0) {
		must(*e.text && !list);
		return 0;
	}
	must(json_object_is_type(list, json_type_array) &&
	     json_object_array_length(list) <= SNAPSHOTS_MAX);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *row = json_object_array_get_idx(list, i);

		text_must_hold(row, "id");
		text_must_hold(row, "name");
		number_must_hold(row, "created");
		number_must_hold(row, "vm_state_bytes");
	}
	return 0;
}
