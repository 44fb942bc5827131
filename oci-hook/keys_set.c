/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/keys_set.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "driver/base/text.h"
#include "oci-hook/delta.h"
#include "oci-hook/quote.h"
#include "targets/image_format.h"

#define KEYS_ID_MAX (UINT32_MAX - 1) /* 2^32 - 1 means "no id" to the kernel */

static int set_target(struct attach_options *o, const char *value, struct err *e)
{
	char word[QUOTE_SIZE], known[QUOTE_SIZE] = "";
	size_t n = 0;

	o->target = catalog_find(value);
	if (o->target != TARGET_NONE)
		return 0;
	for (unsigned int i = TARGET_NONE + 1; i < TARGET_END && n < sizeof(known); i++)
		n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", n ? ", " : "",
				      catalog_target(i)->name);
	return err_set(e, EINVAL, "there is no target \"%s\"; there are: %s",
		       quote_text(word, sizeof(word), value), known);
}

static int set_file(char ret[PATH_MAX], const char *value, struct err *e)
{
	if (!*value)
		return err_set(e, EINVAL, "the path is empty");
	if (text_copy(ret, PATH_MAX, value) < 0)
		return err_set(e, ENAMETOOLONG, "the path is longer than %d bytes", PATH_MAX - 1);
	return 0;
}

static int set_backing(struct attach_options *o, const char *value, struct err *e)
{
	return set_file(o->backing, value, e);
}

static int set_base(struct attach_options *o, const char *value, struct err *e)
{
	return set_file(o->base, value, e);
}

static int set_cluster(struct attach_options *o, const char *value, struct err *e)
{
	return delta_parse_cluster(value, &o->cluster_bytes, e);
}

static int set_delta(struct attach_options *o, const char *value, struct err *e)
{
	char word[QUOTE_SIZE];

	if (strcmp(value, "kept") && strcmp(value, "ephemeral"))
		return err_set(e, EINVAL, "\"%s\" is neither kept nor ephemeral",
			       quote_text(word, sizeof(word), value));
	o->ephemeral = !strcmp(value, "ephemeral");
	return 0;
}

static int set_size(struct attach_options *o, const char *value, struct err *e)
{
	char word[QUOTE_SIZE];
	uint64_t bytes = 0;
	int r;

	r = num_parse_size(value, &bytes);
	quote_text(word, sizeof(word), value);
	if (r == -ERANGE)
		return err_set(e, ERANGE, "\"%s\" is too large", word);
	if (r < 0)
		return err_set(e, EINVAL, "\"%s\" is not a size; write 64M or 10G", word);
	if (!bytes)
		return err_set(e, EINVAL, "a device of no bytes cannot be made");
	if (bytes % KEYS_BLOCK_BYTES)
		return err_set(e, EINVAL, "\"%s\" is not a multiple of %d bytes", word,
			       KEYS_BLOCK_BYTES);
	o->size_bytes = bytes;
	return 0;
}

static int set_path(struct attach_options *o, const char *value, struct err *e)
{
	char word[QUOTE_SIZE];
	const char *why = "";

	quote_text(word, sizeof(word), value);
	if (!text_device_path_ok(value, &why))
		return err_set(e, EINVAL, "\"%s\" is not a device path: %s", word, why);
	if (text_copy(o->path, sizeof(o->path), value) < 0)
		return err_set(e, ENAMETOOLONG, "\"%s\" is longer than %zu bytes", word,
			       sizeof(o->path) - 1);
	return 0;
}

int keys_parse_access(const char *value, bool *ret_read_only, struct err *e)
{
	char word[QUOTE_SIZE];

	if (strcmp(value, "rw") && strcmp(value, "ro"))
		return err_set(e, EINVAL, "\"%s\" is neither rw nor ro",
			       quote_text(word, sizeof(word), value));
	*ret_read_only = !strcmp(value, "ro");
	return 0;
}

static int set_access(struct attach_options *o, const char *value, struct err *e)
{
	return keys_parse_access(value, &o->read_only, e);
}

static int set_number(const char *value, uint64_t least, uint64_t most, uint64_t *ret,
		      struct err *e)
{
	char word[QUOTE_SIZE];
	uint64_t n = 0;

	if (num_parse_u64(value, most, &n) < 0 || n < least)
		return err_set(e, EINVAL, "\"%s\" is not a number from %" PRIu64 " to %" PRIu64,
			       quote_text(word, sizeof(word), value), least, most);
	*ret = n;
	return 0;
}

static int set_queues(struct attach_options *o, const char *value, struct err *e)
{
	uint64_t n = 0;
	int r;

	r = set_number(value, 1, KEYS_QUEUES_MAX, &n, e);
	o->nr_queues = (uint16_t)n;
	return r;
}

static int set_depth(struct attach_options *o, const char *value, struct err *e)
{
	uint64_t n = 0;
	int r;

	r = set_number(value, 1, KEYS_DEPTH_MAX, &n, e);
	o->depth = (uint16_t)n;
	return r;
}

/* The words of a key that has a few, and the flags each stands for. */
struct keys_word {
	const char *name;
	uint32_t flags; /* enum wire_flag */
};

static int set_word(struct attach_options *o, const struct keys_word *words, size_t nr,
		    const char *value, struct err *e)
{
	char word[QUOTE_SIZE], known[QUOTE_SIZE] = "";
	size_t n = 0;

	for (size_t i = 0; i < nr; i++) {
		if (!strcmp(words[i].name, value)) {
			o->path_flags |= words[i].flags;
			return 0;
		}
		n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", n ? ", " : "",
				      words[i].name);
	}
	return err_set(e, EINVAL, "\"%s\" is none of: %s", quote_text(word, sizeof(word), value),
		       known);
}

static int set_profile(struct attach_options *o, const char *value, struct err *e)
{
	static const struct keys_word words[] = {
		{ "latency", 0 },
		{ "throughput", WIRE_THROUGHPUT },
	};

	return set_word(o, words, ARRAY_SIZE(words), value, e);
}

static int set_data_path(struct attach_options *o, const char *value, struct err *e)
{
	static const struct keys_word words[] = {
		{ "auto", 0 },
		{ "copy", WIRE_COPY },
		{ "zero-copy", WIRE_ZERO_COPY },
		{ "by-hand", WIRE_ZERO_COPY | WIRE_BY_HAND },
	};

	return set_word(o, words, ARRAY_SIZE(words), value, e);
}

static int set_uid(struct attach_options *o, const char *value, struct err *e)
{
	uint64_t n = 0;
	int r;

	r = set_number(value, 0, KEYS_ID_MAX, &n, e);
	o->uid = (uint32_t)n;
	return r;
}

static int set_gid(struct attach_options *o, const char *value, struct err *e)
{
	uint64_t n = 0;
	int r;

	r = set_number(value, 0, KEYS_ID_MAX, &n, e);
	o->gid = (uint32_t)n;
	return r;
}

static int set_mode(struct attach_options *o, const char *value, struct err *e)
{
	char word[QUOTE_SIZE];

	if (num_parse_mode(value, &o->mode) < 0)
		return err_set(e, EINVAL, "\"%s\" is not permission bits in octal; write 0660",
			       quote_text(word, sizeof(word), value));
	return 0;
}

static int set_mount(struct attach_options *o, const char *value, struct err *e)
{
	char word[QUOTE_SIZE];
	const char *why = "";

	quote_text(word, sizeof(word), value);
	if (!text_mount_path_ok(value, &why))
		return err_set(e, EINVAL, "\"%s\" is no place to mount at: %s", word, why);
	if (text_copy(o->path, sizeof(o->path), value) < 0)
		return err_set(e, ENAMETOOLONG, "\"%s\" is longer than %zu bytes", word,
			       sizeof(o->path) - 1);
	return 0;
}

static int set_fs(struct attach_options *o, const char *value, struct err *e)
{
	char word[QUOTE_SIZE];

	o->filesystem = catalog_find_filesystem(value);
	if (o->filesystem == FILESYSTEM_NONE)
		return err_set(e, EINVAL, "\"%s\" is none of: %s",
			       quote_text(word, sizeof(word), value), catalog_key(KEY_FS)->value);
	return 0;
}

static int set_volume(struct attach_options *o, const char *value, struct err *e)
{
	char word[QUOTE_SIZE];

	if (!text_device_name_ok(value) || text_copy(o->volume, sizeof(o->volume), value) < 0)
		return err_set(e, EINVAL, "\"%s\" is no name for a volume",
			       quote_text(word, sizeof(word), value));
	return 0;
}

/* A number with at most `digits` behind the point, times 10^digits; at most max. */
static int set_decimal(const char *value, unsigned int digits, uint64_t max, uint32_t *ret,
		       struct err *e)
{
	char word[QUOTE_SIZE];
	const char *p = value;
	uint64_t n = 0;
	bool point = false, any = false;

	for (; *p && n <= max; p++) {
		if (*p == '.' && !point) {
			point = true;
			continue;
		}
		if (*p < '0' || *p > '9' || (point && !digits))
			break;
		digits -= point;
		any = true;
		n = n * 10 + (uint64_t)(*p - '0');
	}
	for (; digits && n <= max; digits--)
		n *= 10;
	if (*p || !any || n > max)
		return err_set(e, EINVAL, "\"%s\" is no such number, or out of range",
			       quote_text(word, sizeof(word), value));
	*ret = (uint32_t)n;
	return 0;
}

static int set_delay(struct attach_options *o, const char *value, struct err *e)
{
	return set_decimal(value, 3, WIRE_FAULT_DELAY_MAX, &o->fault.delay_us, e);
}

static int set_error_ratio(struct attach_options *o, const char *value, struct err *e)
{
	return set_decimal(value, 6, WIRE_FAULT_PPM_MAX, &o->fault.error_ppm, e);
}

static int set_error_range(struct attach_options *o, const char *value, struct err *e)
{
	char word[QUOTE_SIZE], off[32];
	const char *plus = strchr(value, '+');
	struct wire_fault *f = &o->fault;

	if (plus && (size_t)(plus - value) < sizeof(off)) {
		memcpy(off, value, (size_t)(plus - value));
		off[plus - value] = '\0';
		if (num_parse_size(off, &f->error_off) == 0 &&
		    num_parse_size(plus + 1, &f->error_len) == 0 && f->error_len &&
		    f->error_len <= UINT64_MAX - f->error_off)
			return 0;
	}
	return err_set(e, EINVAL, "\"%s\" is no range; write 1M+64K: where, and how much",
		       quote_text(word, sizeof(word), value));
}

/* As others write them; what to write here instead. */
static const struct {
	const char *scheme, *remedy;
} set_nbd_schemes[] = {
	{ "nbds",
	  "needs TLS, which a proxy on this machine has to speak: see TLS in ublk-oci-target(7)" },
	{ "nbd+unix:", "is written unix:/PATH here, with the export by itself" },
	{ "nbd:", "is written tcp:HOST:PORT here, with the export by itself" },
};

static int set_nbd_scheme(const char *value, struct err *e)
{
	char word[QUOTE_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(set_nbd_schemes); i++) {
		if (!strncmp(value, set_nbd_schemes[i].scheme, strlen(set_nbd_schemes[i].scheme)))
			return err_set(e, EINVAL, "\"%s\" %s",
				       quote_text(word, sizeof(word), value),
				       set_nbd_schemes[i].remedy);
	}
	return 0;
}

static int set_nbd(struct attach_options *o, const char *value, struct err *e)
{
	char word[QUOTE_SIZE];
	int r = set_nbd_scheme(value, e);

	if (r < 0)
		return r;
	if (strncmp(value, "unix:/", strlen("unix:/")) && strncmp(value, "tcp:", strlen("tcp:")) &&
	    strncmp(value, "exec:/", strlen("exec:/")))
		return err_set(
			e, EINVAL,
			"\"%s\" is neither unix:/PATH nor tcp:HOST:PORT, nor exec:/usr/PROGRAM",
			quote_text(word, sizeof(word), value));
	if (text_copy(o->address, sizeof(o->address), value) < 0)
		return err_set(e, ENAMETOOLONG, "the address is longer than %zu bytes",
			       sizeof(o->address) - 1);
	return 0;
}

static int set_one_format(unsigned int *ret, const char *value, struct err *e)
{
	char word[QUOTE_SIZE];

	*ret = image_format_find(value);
	return *ret ? 0
		    : err_set(e, EINVAL, "\"%s\" is no format of an image",
			      quote_text(word, sizeof(word), value));
}

static int set_format(struct attach_options *o, const char *value, struct err *e)
{
	return set_one_format(&o->format, value, e);
}

static int set_base_format(struct attach_options *o, const char *value, struct err *e)
{
	return set_one_format(&o->base_format, value, e);
}

static int set_export(struct attach_options *o, const char *value, struct err *e)
{
	if (text_copy(o->export_name, sizeof(o->export_name), value) < 0)
		return err_set(e, ENAMETOOLONG, "the name is longer than %zu bytes",
			       sizeof(o->export_name) - 1);
	return 0;
}

static int set_connections(struct attach_options *o, const char *value, struct err *e)
{
	uint64_t n = 0;
	int r;

	r = set_number(value, 1, WIRE_CONNECTIONS_MAX, &n, e);
	o->nr_connections = (uint32_t)n;
	return r;
}

static int (*const setters[KEY_END])(struct attach_options *o, const char *value, struct err *e) = {
	[KEY_TARGET] = set_target,
	[KEY_NBD] = set_nbd,
	[KEY_EXPORT] = set_export,
	[KEY_FORMAT] = set_format,
	[KEY_BASE_FORMAT] = set_base_format,
	[KEY_CONNECTIONS] = set_connections,
	[KEY_BACKING] = set_backing,
	[KEY_SIZE] = set_size,
	[KEY_PATH] = set_path,
	[KEY_ACCESS] = set_access,
	[KEY_QUEUES] = set_queues,
	[KEY_DEPTH] = set_depth,
	[KEY_PROFILE] = set_profile,
	[KEY_DATA_PATH] = set_data_path,
	[KEY_UID] = set_uid,
	[KEY_GID] = set_gid,
	[KEY_MODE] = set_mode,
	[KEY_MOUNT] = set_mount,
	[KEY_FS] = set_fs,
	[KEY_DELAY] = set_delay,
	[KEY_ERROR_RATIO] = set_error_ratio,
	[KEY_ERROR_RANGE] = set_error_range,
	[KEY_BASE] = set_base,
	[KEY_CLUSTER] = set_cluster,
	[KEY_DELTA] = set_delta,
	[KEY_VOLUME] = set_volume,
};

int keys_set(struct attach_options *o, enum catalog_key key, const char *value, struct err *e)
{
	const struct catalog_key_row *row = catalog_key(key);
	int r;

	if (!row || !setters[key])
		return err_set(e, EINVAL, "key %u is not known", key);
	if (o->given[key])
		return err_set(e, EINVAL, "%s is given twice", row->name);
	for (const char *p = value; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return err_set(e, EINVAL, "%s has a control character in it", row->name);
	}
	r = setters[key](o, value, e);
	if (r < 0)
		return err_prefix(e, r, "%s", row->name);
	o->given[key] = true;
	return 0;
}
