/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/oci_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "oci-hook/auto_json.h"
#include "oci-hook/json_text.h"
#include "oci-hook/keys.h"
#include "oci-hook/quote.h"

#define OCI_DEPTH_MAX 32 /* of nested JSON; a config.json has about 8 */

static const struct {
	const char *text;
	enum oci_status status;
} oci_statuses[] = {
	{ "creating", OCI_STATUS_CREATING },
	{ "created", OCI_STATUS_CREATING },
	{ "running", OCI_STATUS_RUNNING },
	{ "stopped", OCI_STATUS_STOPPED },
};

void oci_devices_fini(struct oci_devices *d)
{
	for (size_t i = 0; i < d->nr; i++)
		free(d->rows[i].keys);
	d->nr = 0;
}

void oci_state_fini(struct oci_state *s)
{
	oci_devices_fini(&s->devices);
}

static int oci_device_add(struct oci_devices *d, const char *name, struct json_object *value,
			  struct err *e)
{
	struct oci_device *row = &d->rows[d->nr];
	const char *keys;

	if (d->nr == OCI_DEVICES_MAX)
		return err_set(e, E2BIG,
			       "there are more than %d annotations " OCI_DEVICE_PREFIX "*",
			       OCI_DEVICES_MAX);
	if (!text_name_ok(name, OCI_DEVICE_NAME_MAX))
		return err_set(e, EINVAL,
			       "the name behind " OCI_DEVICE_PREFIX
			       " must be 1 to %d characters of "
			       "A-Z a-z 0-9 . _ + : @ -, the first none of . and -",
			       OCI_DEVICE_NAME_MAX);
	if (!json_object_is_type(value, json_type_string))
		return err_set(e, EINVAL, "its value is no string");
	keys = json_object_get_string(value);
	if (strlen(keys) != (size_t)json_object_get_string_len(value))
		return err_set(e, EINVAL, "there is a zero byte in its value");
	if (strlen(keys) > KEYS_TEXT_MAX)
		return err_set(e, E2BIG, "its value is longer than %d characters", KEYS_TEXT_MAX);
	row->keys = strdup(keys);
	if (!row->keys)
		return err_sys(e, ENOMEM, "cannot keep it");
	text_copy(row->name, sizeof(row->name), name);
	d->nr++;
	return 0;
}

static int device_order(const void *a, const void *b)
{
	return strcmp(((const struct oci_device *)a)->name, ((const struct oci_device *)b)->name);
}

static int oci_annotations_parse(struct oci_devices *ret, struct json_object *parent, struct err *e)
{
	struct json_object_iter i;
	struct json_object *annotations;
	char word[QUOTE_SIZE];

	if (!json_object_object_get_ex(parent, "annotations", &annotations) || !annotations)
		return 0;
	if (!json_object_is_type(annotations, json_type_object))
		return err_set(e, EINVAL, "the annotations are no JSON object");
	json_object_object_foreachC(annotations, i)
	{
		const char *name = i.key;
		int r;

		if (strncmp(name, OCI_ANNOTATION_PREFIX, strlen(OCI_ANNOTATION_PREFIX)) != 0)
			continue;
		quote_text(word, sizeof(word), name);
		if (strncmp(name, OCI_DEVICE_PREFIX, strlen(OCI_DEVICE_PREFIX)) != 0)
			return err_set(e, EINVAL,
				       "annotation %s is not known; known is " OCI_DEVICE_PREFIX
				       "NAME",
				       word);
		r = oci_device_add(ret, name + strlen(OCI_DEVICE_PREFIX), i.val, e);
		if (r < 0)
			return err_prefix(e, r, "annotation %s", word);
	}
	if (ret->nr)
		qsort(ret->rows, ret->nr, sizeof(ret->rows[0]), device_order);
	return 0;
}

static int oci_status_parse(enum oci_status *ret, struct json_object *state, struct err *e)
{
	const char *status = auto_json_text(state, "status");
	char word[QUOTE_SIZE];

	if (!status)
		return err_set(e, EINVAL, "the container's state has no status");
	for (size_t i = 0; i < ARRAY_SIZE(oci_statuses); i++) {
		if (!strcmp(status, oci_statuses[i].text)) {
			*ret = oci_statuses[i].status;
			return 0;
		}
	}
	return err_set(e, EINVAL, "the container's state has an unknown status: %s",
		       quote_text(word, sizeof(word), status));
}

int oci_state_parse(struct oci_state *ret, const char *text, size_t size, struct err *e)
{
	auto_json struct json_object *state = NULL;
	struct json_object *id, *pid;
	const char *name;
	int r;

	if (size > OCI_STATE_MAX)
		return err_set(e, E2BIG, "the container's state is larger than %u bytes",
			       OCI_STATE_MAX);
	r = json_text_parse(&state, text, size, OCI_DEPTH_MAX, "container's state", e);
	if (r < 0)
		return r;
	if (!json_object_object_get_ex(state, "id", &id) ||
	    !json_object_is_type(id, json_type_string))
		return err_set(e, EINVAL, "the container's state has no id");
	name = json_object_get_string(id);
	if (!text_name_ok(name, sizeof(ret->id) - 1) ||
	    strlen(name) != (size_t)json_object_get_string_len(id))
		return err_set(e, EINVAL,
			       "the container's id is longer than %zu characters, or "
			       "has others than A-Z a-z 0-9 . _ + : @ -",
			       sizeof(ret->id) - 1);
	text_copy(ret->id, sizeof(ret->id), name);
	r = oci_status_parse(&ret->status, state, e);
	if (r < 0)
		return r;
	if (json_object_object_get_ex(state, "pid", &pid) && pid) {
		if (!json_object_is_type(pid, json_type_int) || json_object_get_int64(pid) < 0 ||
		    json_object_get_int64(pid) > INT32_MAX)
			return err_set(e, EINVAL, "the container's pid is not one");
		ret->pid = json_object_get_int(pid);
	}
	return oci_annotations_parse(&ret->devices, state, e);
}

int oci_config_parse(struct oci_devices *ret, const char *text, size_t size, struct err *e)
{
	auto_json struct json_object *config = NULL;
	int r;

	if (size > OCI_CONFIG_MAX)
		return err_set(e, E2BIG, "config.json is larger than %u bytes", OCI_CONFIG_MAX);
	r = json_text_parse(&config, text, size, OCI_DEPTH_MAX, "config.json", e);
	return r < 0 ? r : oci_annotations_parse(ret, config, e);
}
