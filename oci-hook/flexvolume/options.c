/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/flexvolume/options.h"

#include <errno.h>
#include <string.h>

#include "driver/base/num.h"
#include "driver/base/text.h"
#include "oci-hook/json_text.h"
#include "oci-hook/keys_set.h"
#include "oci-hook/quote.h"
#include "oci-hook/volumes.h"

#define OPTIONS_DEPTH_MAX 4 /* one object, of strings */
#define OPTIONS_KUBERNETES "kubernetes.io/"
#define OPTIONS_NAME "volume"
#define OPTIONS_GIVEN_NAME OPTIONS_KUBERNETES "pvOrVolumeName"

/* As Kubernetes writes sizes, too: "10Gi". */
static int set_size(struct options *o, const char *value, struct err *e)
{
	char word[QUOTE_SIZE], text[NUM_SIZE_TEXT] = "";
	size_t end;

	if (text_copy(text, sizeof(text), value) == 0) {
		end = strlen(text);
		if (end >= 2 && text[end - 1] == 'i' && strchr("KMGTPE", text[end - 2]))
			text[end - 1] = '\0';
	}
	if (num_parse_size(text, &o->size_bytes) < 0 || !o->size_bytes)
		return err_set(e, EINVAL, "\"%s\" is not a size; write 64Mi or 10Gi",
			       quote_text(word, sizeof(word), value));
	return 0;
}

static int set_pool(struct options *o, const char *value, struct err *e)
{
	char word[QUOTE_SIZE];

	if (!text_name_ok(value, sizeof(o->pool) - 1))
		return err_set(e, EINVAL, "\"%s\" is no name of a pool",
			       quote_text(word, sizeof(word), value));
	return text_copy(o->pool, sizeof(o->pool), value);
}

/* Kubernetes writes an empty one where none is said. */
static int set_filesystem(struct options *o, const char *value, struct err *e)
{
	char word[QUOTE_SIZE];

	o->filesystem = catalog_find_filesystem(value);
	if (*value && !o->filesystem)
		return err_set(e, EINVAL, "\"%s\" is none of: %s",
			       quote_text(word, sizeof(word), value), catalog_key(KEY_FS)->value);
	return 0;
}

static int set_access(struct options *o, const char *value, struct err *e)
{
	return keys_parse_access(value, &o->read_only, e);
}

static int set_name(struct options *o, const char *value, struct err *e)
{
	return volumes_set_name(o->volume, value, e);
}

static const struct {
	const char *key;
	int (*set)(struct options *o, const char *value, struct err *e);
} options_known[] = {
	{ OPTIONS_NAME, set_name },
	{ "size", set_size },
	{ "pool", set_pool },
	{ OPTIONS_KUBERNETES "fsType", set_filesystem },
	{ OPTIONS_KUBERNETES "readwrite", set_access },
};

static int option_set(struct options *o, const char *key, struct json_object *value, struct err *e)
{
	char word[QUOTE_SIZE];
	const char *text;
	int r;

	quote_text(word, sizeof(word), key);
	if (!json_object_is_type(value, json_type_string))
		return err_set(e, EINVAL, "option %s is no string", word);
	text = json_object_get_string(value);
	if (strlen(text) != (size_t)json_object_get_string_len(value))
		return err_set(e, EINVAL, "option %s has a zero byte in it", word);
	for (size_t i = 0; i < ARRAY_SIZE(options_known); i++) {
		if (strcmp(key, options_known[i].key) != 0)
			continue;
		r = options_known[i].set(o, text, e);
		return r < 0 ? err_prefix(e, r, "option %s", word) : 0;
	}
	/* The pod, its account, its secrets; newer ones have more of them. */
	if (!strncmp(key, OPTIONS_KUBERNETES, strlen(OPTIONS_KUBERNETES)))
		return 0;
	return err_set(e, EINVAL,
		       "option %s is not known; known are " OPTIONS_NAME ", size and pool", word);
}

/* What kubelet calls it is its name, unless another is said. */
static int options_choose_name(struct options *o, struct json_object *all, struct err *e)
{
	struct json_object *value = NULL;
	const char *given;
	int r;

	json_object_object_get_ex(all, OPTIONS_GIVEN_NAME, &value);
	given = value ? json_object_get_string(value) : "";
	o->renamed = *o->volume && *given && strcmp(o->volume, given) != 0;
	if (*o->volume)
		return 0;
	if (!*given)
		return err_set(e, EINVAL,
			       "no option says which volume; give " OPTIONS_NAME
			       ", or " OPTIONS_GIVEN_NAME);
	r = set_name(o, given, e);
	return r < 0 ? err_prefix(e, r, "option " OPTIONS_NAME " is needed") : 0;
}

int options_parse(struct options *ret, const char *text, struct err *e)
{
	auto_json struct json_object *all = NULL;
	struct json_object_iter i;
	size_t size = strlen(text);
	int r;

	*ret = (struct options){ 0 };
	if (size > OPTIONS_TEXT_MAX)
		return err_set(e, E2BIG, "the options are longer than %u bytes", OPTIONS_TEXT_MAX);
	r = json_text_parse(&all, text, size, OPTIONS_DEPTH_MAX, "text of the options", e);
	if (r < 0)
		return r;
	json_object_object_foreachC(all, i)
	{
		r = option_set(ret, i.key, i.val, e);
		if (r < 0)
			return r;
	}
	return options_choose_name(ret, all, e);
}
