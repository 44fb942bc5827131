/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "oci-hook/keys_set.h"
#include "oci-hook/quote.h"

void keys_init(struct attach_options *o)
{
	memset(o, 0, sizeof(*o));
	o->mode = 0660;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* In place; false if a '%' is not followed by two hex digits, or they are 00. */
static bool percent_decode(char *text)
{
	char *out = text;

	for (const char *p = text; *p; p++) {
		int high, low;

		if (*p != '%') {
			*out++ = *p;
			continue;
		}
		high = hex_digit(p[1]);
		low = high < 0 ? -1 : hex_digit(p[2]);
		if (low < 0 || !(high | low))
			return false;
		*out++ = (char)(high << 4 | low);
		p += 2;
	}
	*out = '\0';
	return true;
}

static int unknown_key(const char *name, struct err *e)
{
	char word[QUOTE_SIZE], known[288] = "";
	size_t n = 0;

	for (unsigned int i = KEY_NONE + 1; i < KEY_END && n < sizeof(known); i++)
		n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", n ? ", " : "",
				      catalog_key(i)->name);
	return err_set(e, EINVAL, "unknown key \"%s\"; known are: %s",
		       quote_text(word, sizeof(word), name), known);
}

/* One "key=value", which is changed on the way. */
static int keys_parse_one(struct attach_options *o, char *pair, struct err *e)
{
	char word[QUOTE_SIZE];
	enum catalog_key key;
	char *value = strchr(pair, '=');

	if (!value)
		return err_set(e, EINVAL, "\"%s\" is not of the form key=value",
			       quote_text(word, sizeof(word), pair));
	*value++ = '\0';
	key = catalog_find_key(pair);
	if (key == KEY_NONE)
		return unknown_key(pair, e);
	if (!percent_decode(value))
		return err_set(e, EINVAL, "%s: a '%%' must be followed by two hex digits, not 00",
			       pair);
	return keys_set(o, key, value, e);
}

int keys_parse(struct attach_options *o, const char *text, struct err *e)
{
	auto_free char *copy = NULL;
	char *rest, *pair;
	int r;

	if (strnlen(text, KEYS_TEXT_MAX + 1) > KEYS_TEXT_MAX)
		return err_set(e, E2BIG, "it is longer than %d characters", KEYS_TEXT_MAX);
	if (!*text)
		return err_set(e, EINVAL, "it is empty; write target=NAME,...");
	copy = strdup(text);
	if (!copy)
		return err_sys(e, ENOMEM, "cannot read the keys");
	rest = copy;
	while ((pair = strsep(&rest, ",;"))) {
		r = keys_parse_one(o, pair, e);
		if (r < 0)
			return r;
	}
	return 0;
}

void keys_default_path(struct attach_options *o)
{
	if (o->given[KEY_PATH] || o->given[KEY_MOUNT] || o->on_file || !o->given[KEY_VOLUME])
		return;
	snprintf(o->path, sizeof(o->path), "/dev/%s", o->volume);
	o->given[KEY_PATH] = true;
}

void keys_fill(const struct attach_options *o, bool host, struct wire_attach *ret)
{
	ret->target = o->target;
	ret->flags = (o->read_only ? WIRE_READ_ONLY : 0u) | (host ? WIRE_HOST : 0u) | o->path_flags;
	ret->size_bytes = o->size_bytes;
	ret->nr_queues = o->nr_queues;
	ret->depth = o->depth;
	ret->uid = o->uid;
	ret->gid = o->gid;
	ret->mode = o->mode;
	ret->filesystem = o->filesystem;
	ret->fault = o->fault;
	/* A range alone: all that touches it. */
	if (o->given[KEY_ERROR_RANGE] && !o->given[KEY_ERROR_RATIO])
		ret->fault.error_ppm = WIRE_FAULT_PPM_MAX;
	memcpy(ret->path, o->path, sizeof(ret->path));
	memcpy(ret->address, o->address, sizeof(ret->address));
	memcpy(ret->export_name, o->export_name, sizeof(ret->export_name));
	ret->nr_connections = o->nr_connections;
	ret->format = (uint16_t)o->format;
	ret->base_format = (uint16_t)o->base_format;
}
