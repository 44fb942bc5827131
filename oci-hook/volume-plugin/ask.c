/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/volume-plugin/ask.h"

#include <errno.h>
#include <string.h>

#include "driver/base/num.h"
#include "driver/base/text.h"
#include "oci-hook/json_text.h"
#include "oci-hook/keys_set.h"
#include "oci-hook/quote.h"
#include "oci-hook/volumes.h"

#define ASK_DEPTH_MAX 8 /* members that do not matter may be anything */
#define ASK_KNOWN "size, pool, fs, access, from, clone, snapshot and snapshot-of"

static int set_size(struct ask_options *o, const char *value, struct err *e)
{
	char word[QUOTE_SIZE];

	if (num_parse_size(value, &o->size_bytes) < 0 || !o->size_bytes)
		return err_set(e, EINVAL, "\"%s\" is not a size; write 64M or 10G",
			       quote_text(word, sizeof(word), value));
	return 0;
}

static int set_pool(struct ask_options *o, const char *value, struct err *e)
{
	char word[QUOTE_SIZE];

	if (!text_name_ok(value, sizeof(o->pool) - 1))
		return err_set(e, EINVAL, "\"%s\" is no name of a pool",
			       quote_text(word, sizeof(word), value));
	return text_copy(o->pool, sizeof(o->pool), value);
}

static int set_filesystem(struct ask_options *o, const char *value, struct err *e)
{
	char word[QUOTE_SIZE];

	o->filesystem = catalog_find_filesystem(value);
	if (!o->filesystem)
		return err_set(e, EINVAL, "\"%s\" is none of: %s",
			       quote_text(word, sizeof(word), value), catalog_key(KEY_FS)->value);
	return 0;
}

static int set_access(struct ask_options *o, const char *value, struct err *e)
{
	return keys_parse_access(value, &o->read_only, e);
}

static int check_alone(const struct ask_options *o, struct err *e)
{
	if (*o->from || *o->image)
		return err_set(e, EINVAL, "one of from, clone, snapshot and snapshot-of is enough");
	return 0;
}

static int set_image(struct ask_options *o, const char *value, struct err *e)
{
	char word[QUOTE_SIZE];
	int r = check_alone(o, e);

	if (r < 0)
		return r;
	if (*value != '/' || text_copy(o->image, sizeof(o->image), value) < 0)
		return err_set(e, EINVAL, "\"%s\" is no path from the root; write from=/FILE",
			       quote_text(word, sizeof(word), value));
	return 0;
}

static int set_from(struct ask_options *o, const char *value, struct err *e)
{
	int r = check_alone(o, e);

	return r < 0 ? r : volumes_set_name(o->from, value, e);
}

static int set_snapshot_of(struct ask_options *o, const char *value, struct err *e)
{
	o->snapshot = true;
	return set_from(o, value, e);
}

static const struct {
	const char *key;
	int (*set)(struct ask_options *o, const char *value, struct err *e);
} ask_known[] = {
	{ "size", set_size },	  { "pool", set_pool },
	{ "fs", set_filesystem }, { "access", set_access },
	{ "from", set_image },	  { "clone", set_from },
	{ "snapshot", set_from }, { "snapshot-of", set_snapshot_of },
};

/* NULL: it is no string, or has a zero byte in it. */
static const char *text_of(struct json_object *value)
{
	const char *text;

	if (!json_object_is_type(value, json_type_string))
		return NULL;
	text = json_object_get_string(value);
	return strlen(text) == (size_t)json_object_get_string_len(value) ? text : NULL;
}

static int option_set(struct ask_options *o, const char *key, struct json_object *value,
		      struct err *e)
{
	const char *text = text_of(value);
	char word[QUOTE_SIZE];
	int r;

	quote_text(word, sizeof(word), key);
	if (!text)
		return err_set(e, EINVAL, "option %s is no text", word);
	for (size_t i = 0; i < ARRAY_SIZE(ask_known); i++) {
		if (strcmp(key, ask_known[i].key) != 0)
			continue;
		r = ask_known[i].set(o, text, e);
		return r < 0 ? err_prefix(e, r, "option %s", word) : 0;
	}
	return err_set(e, EINVAL, "option %s is not known; known are " ASK_KNOWN, word);
}

/* Do they make sense together? */
static int options_check(const struct ask_options *o, bool access_said, struct err *e)
{
	if (!o->size_bytes && !*o->from && !*o->image)
		return err_set(e, EINVAL,
			       "the volume needs a size: give option size (-o size=1G), or "
			       "what it is made of (from, clone, snapshot, snapshot-of)");
	if (*o->from && o->filesystem)
		return err_set(e, EINVAL,
			       "option fs is for a new file system, or that of an image; a copy "
			       "has that of its volume");
	if (o->snapshot && o->size_bytes)
		return err_set(e, EINVAL, "a snapshot is as large as its volume: leave size out");
	if (o->snapshot && access_said && !o->read_only)
		return err_set(e, EINVAL, "a snapshot is read-only: leave access out, or clone it");
	return 0;
}

static int options_parse(struct ask_options *o, struct json_object *all, struct err *e)
{
	struct json_object *options = NULL;
	struct json_object_iter i;
	bool access_said;
	int r;

	json_object_object_get_ex(all, "Opts", &options);
	if (options && !json_object_is_type(options, json_type_object))
		return err_set(e, EINVAL, "Opts is no object of options");
	if (options) {
		json_object_object_foreachC(options, i)
		{
			r = option_set(o, i.key, i.val, e);
			if (r < 0)
				return r;
		}
	}
	access_said = options && json_object_object_get_ex(options, "access", NULL);
	r = options_check(o, access_said, e);
	o->read_only |= o->snapshot;
	return r;
}

static int name_parse(struct ask *ask, struct json_object *all, struct err *e)
{
	struct json_object *value = NULL;
	const char *text;

	json_object_object_get_ex(all, "Name", &value);
	text = text_of(value);
	if (!text)
		return err_set(e, EINVAL, "Name, which says which volume, is missing, or no text");
	return volumes_set_name(ask->volume, text, e);
}

static int id_parse(struct ask *ask, struct json_object *all, struct err *e)
{
	struct json_object *value = NULL;
	const char *text;

	json_object_object_get_ex(all, "ID", &value);
	text = text_of(value);
	if (!text || !text_name_ok(text, ASK_ID_MAX))
		return err_set(e, EINVAL,
			       "ID, which says who uses the volume, is missing, or not 1 to %d "
			       "characters of A-Z a-z 0-9 . _ + : @ -",
			       ASK_ID_MAX);
	return text_copy(ask->id, sizeof(ask->id), text);
}

int ask_parse(struct ask *ret, const char *text, size_t size, unsigned int members, struct err *e)
{
	auto_json struct json_object *all = NULL;
	int r;

	memset(ret, 0, sizeof(*ret)); /* between its members, too */
	if (size > ASK_TEXT_MAX)
		return err_set(e, E2BIG, "the request is longer than %u bytes", ASK_TEXT_MAX);
	r = json_text_parse(&all, text, size, ASK_DEPTH_MAX, "request", e);
	if (r == 0 && members & ASK_NAME)
		r = name_parse(ret, all, e);
	if (r == 0 && members & ASK_ID)
		r = id_parse(ret, all, e);
	if (r == 0 && members & ASK_OPTIONS)
		r = options_parse(&ret->options, all, e);
	return r;
}
