/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/snapshots.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "oci-hook/cli/show.h"
#include "oci-hook/client.h"
#include "oci-hook/json_text.h"
#include "targets/catalog.h"

#define SNAPSHOTS_DEPTH 16
#define SNAPSHOTS_WHAT "description of the image"

/* A number that is there, and none that is negative. */
static int snapshots_number(struct json_object *row, const char *key, uint64_t *ret, struct err *e)
{
	struct json_object *value;

	if (!json_object_object_get_ex(row, key, &value) ||
	    !json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0)
		return err_set(e, EINVAL, "the " SNAPSHOTS_WHAT " has a snapshot without %s", key);
	*ret = json_object_get_uint64(value);
	return 0;
}

static int snapshots_parse_one(struct json_object *list, struct json_object *row, struct err *e)
{
	const char *id = auto_json_text(row, "id"), *name = auto_json_text(row, "name");
	uint64_t created, bytes;
	struct json_object *o;
	int r;

	if (!id || !name)
		return err_set(e, EINVAL, "the " SNAPSHOTS_WHAT " has a snapshot without a name");
	r = snapshots_number(row, "date-sec", &created, e);
	if (r == 0)
		r = snapshots_number(row, "vm-state-size", &bytes, e);
	if (r < 0)
		return r;
	o = json_object_new_object();
	show_add_text(o, "id", id);
	show_add_text(o, "name", name);
	show_add_number(o, "created", created);
	show_add_number(o, "vm_state_bytes", bytes);
	json_object_array_add(list, o);
	return 0;
}

int snapshots_parse(struct json_object **ret, const char *text, size_t size, struct err *e)
{
	auto_json struct json_object *o = NULL, *list = json_object_new_array();
	struct json_object *rows;
	int r;

	r = json_text_parse(&o, text, size, SNAPSHOTS_DEPTH, SNAPSHOTS_WHAT, e);
	if (r < 0)
		return r;
	/* qemu-img leaves it out where there are none. */
	if (json_object_object_get_ex(o, "snapshots", &rows)) {
		if (!json_object_is_type(rows, json_type_array) ||
		    json_object_array_length(rows) > SNAPSHOTS_MAX)
			return err_set(e, EINVAL,
				       "the " SNAPSHOTS_WHAT " has no list of at most %d snapshots",
				       SNAPSHOTS_MAX);
		for (size_t i = 0; r == 0 && i < json_object_array_length(rows); i++)
			r = snapshots_parse_one(list, json_object_array_get_idx(rows, i), e);
	}
	if (r == 0)
		*ret = ptr_take(list);
	return r;
}

static int snapshots_read(int fd, struct json_object **ret, struct err *e)
{
	auto_free char *text = malloc(WIRE_IMAGE_SAYS_BYTES);
	ssize_t n = text ? pread(fd, text, WIRE_IMAGE_SAYS_BYTES, 0) : -1;
	size_t size = n > 0 ? strnlen(text, (size_t)n) : 0;

	if (n < 0)
		return err_sys(e, text ? errno : ENOMEM, "cannot read the " SNAPSHOTS_WHAT);
	if (size == WIRE_IMAGE_SAYS_BYTES)
		return err_set(e, E2BIG, "the " SNAPSHOTS_WHAT " has %d bytes or more",
			       WIRE_IMAGE_SAYS_BYTES);
	return snapshots_parse(ret, text, size, e);
}

void snapshots_add(struct json_object *o, const struct wire_device *d)
{
	const struct catalog_target *target = catalog_target(d->target);
	struct json_object *list = NULL;
	auto_close int fd = -1;
	struct err e = { "" };
	int r = -EOPNOTSUPP;

	if (target && target->image && !(d->flags & WIRE_CLAIMED)) {
		r = client_snapshots(d->generation, CLIENT_TIMEOUT_MS, &fd, &e);
		if (r == 0)
			r = snapshots_read(fd, &list, &e);
	}
	json_object_object_add(o, "snapshots", list);
	json_object_object_add(o, "snapshots_error", NULL);
	if (r < 0 && r != -EOPNOTSUPP)
		show_add_text(o, "snapshots_error", e.text);
}
