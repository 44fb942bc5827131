/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/num.h"
#include "driver/base/text.h"
#include "oci-hook/delta.h"
#include "oci-hook/quote.h"

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

int keys_parse_cluster(const char *value, uint32_t *ret, struct err *e)
{
	char word[QUOTE_SIZE];
	uint64_t bytes = 0;

	if (num_parse_size(value, &bytes) < 0 || !num_power_of_two(bytes) ||
	    bytes < COW_CLUSTER_MIN || bytes > COW_CLUSTER_MAX)
		return err_set(e, EINVAL, "\"%s\" is no power of two from 4K to 1M",
			       quote_text(word, sizeof(word), value));
	*ret = (uint32_t)bytes;
	return 0;
}

static int set_cluster(struct attach_options *o, const char *value, struct err *e)
{
	return keys_parse_cluster(value, &o->cluster_bytes, e);
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

static int set_access(struct attach_options *o, const char *value, struct err *e)
{
	char word[QUOTE_SIZE];

	if (strcmp(value, "rw") && strcmp(value, "ro"))
		return err_set(e, EINVAL, "\"%s\" is neither rw nor ro",
			       quote_text(word, sizeof(word), value));
	o->read_only = !strcmp(value, "ro");
	return 0;
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

static int (*const setters[KEY_END])(struct attach_options *o, const char *value, struct err *e) = {
	[KEY_TARGET] = set_target,
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

void keys_init(struct attach_options *o)
{
	memset(o, 0, sizeof(*o));
	o->mode = 0660;
}

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

static int keys_check_place(const struct attach_options *o, bool host, struct err *e)
{
	static const enum catalog_key node_keys[] = { KEY_PATH, KEY_UID, KEY_GID, KEY_MODE };

	if (o->given[KEY_MOUNT] != o->given[KEY_FS])
		return err_set(e, EINVAL, "mount and fs go together");
	if (!host && !o->given[KEY_MOUNT] && !o->given[KEY_PATH])
		return err_set(e, EINVAL, "the path of the device in the container is missing");
	for (size_t i = 0; i < ARRAY_SIZE(node_keys); i++) {
		if (!o->given[node_keys[i]])
			continue;
		if (host)
			return err_set(e, EINVAL,
				       "%s is for a device in a container; a host device is "
				       "/dev/ublkbN, root's, 0600",
				       catalog_key(node_keys[i])->name);
		if (o->given[KEY_MOUNT])
			return err_set(e, EINVAL,
				       "%s is for a device; with mount the container gets none",
				       catalog_key(node_keys[i])->name);
	}
	return 0;
}

void keys_default_path(struct attach_options *o)
{
	if (o->given[KEY_PATH] || o->given[KEY_MOUNT] || !o->given[KEY_VOLUME])
		return;
	snprintf(o->path, sizeof(o->path), "/dev/%s", o->volume);
	o->given[KEY_PATH] = true;
}

/* The store knows what a volume is made of, and how large it is. */
static int keys_check_volume(const struct attach_options *o, bool host, struct err *e)
{
	static const enum catalog_key others[] = { KEY_TARGET, KEY_BACKING,	KEY_SIZE,
						   KEY_DELAY,  KEY_ERROR_RATIO, KEY_ERROR_RANGE,
						   KEY_BASE,   KEY_CLUSTER,	KEY_DELTA };

	if (host != o->given[KEY_MOUNT])
		return err_set(e, EINVAL,
			       host ? "a volume is for containers, or mounted on the host"
				    : "the file system of a volume is mounted on the host, or by "
				      "the container itself");
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (o->given[others[i]])
			return err_set(e, EINVAL, "%s does not go with volume",
				       catalog_key(others[i])->name);
	}
	return keys_check_place(o, host, e);
}

/* Keys that one kind of target has. */
static int keys_check_own(const struct attach_options *o, const struct catalog_target *t,
			  struct err *e)
{
	static const enum catalog_key fault_keys[] = { KEY_DELAY, KEY_ERROR_RATIO,
						       KEY_ERROR_RANGE };
	static const enum catalog_key cow_keys[] = { KEY_BASE, KEY_CLUSTER, KEY_DELTA };

	for (size_t i = 0; i < ARRAY_SIZE(fault_keys); i++) {
		if (o->given[fault_keys[i]] && !t->faults)
			return err_set(e, EINVAL, "%s is for target fault",
				       catalog_key(fault_keys[i])->name);
	}
	for (size_t i = 0; i < ARRAY_SIZE(cow_keys); i++) {
		if (o->given[cow_keys[i]] && !t->based)
			return err_set(e, EINVAL, "%s is for target cow",
				       catalog_key(cow_keys[i])->name);
	}
	if (t->based && !o->given[KEY_BASE])
		return err_set(e, EINVAL, "target %s needs a base", t->name);
	if (o->ephemeral && o->read_only)
		return err_set(e, EINVAL, "nothing would be written to the delta");
	return 0;
}

int keys_check(const struct attach_options *o, bool host, struct err *e)
{
	const struct catalog_target *t = catalog_target(o->target);
	int r;

	if (o->given[KEY_VOLUME])
		return keys_check_volume(o, host, e);

	if (!t)
		return err_set(e, EINVAL, "target is missing");
	if (t->nr_fds && !o->given[KEY_BACKING])
		return err_set(e, EINVAL, "target %s needs a backing file", t->name);
	if (!t->nr_fds && o->given[KEY_BACKING])
		return err_set(e, EINVAL, "target %s has no backing file", t->name);
	r = keys_check_own(o, t, e);
	if (r < 0)
		return r;
	if (t->needs_size && !o->given[KEY_SIZE])
		return err_set(e, EINVAL, "target %s needs a size", t->name);
	if (o->given[KEY_MOUNT] && !t->nr_fds && !t->by_address)
		return err_set(e, EINVAL, "target %s has no file system to mount", t->name);
	return keys_check_place(o, host, e);
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
}

/* Is what was opened something a device can be made of? */
static int backing_check(const struct attach_options *o, int fd, const struct stat *st,
			 struct err *e)
{
	uint64_t bytes = (uint64_t)st->st_size;

	if (S_ISBLK(st->st_mode) && ioctl(fd, BLKGETSIZE64, &bytes) < 0)
		return err_sys(e, errno, "cannot learn its size");
	if (!bytes)
		return err_set(e, EINVAL,
			       "it is empty; make it as large as the device first "
			       "(truncate -s SIZE)");
	if (!o->size_bytes && bytes % KEYS_BLOCK_BYTES)
		return err_set(e, EINVAL,
			       "its size, %" PRIu64 " bytes, is not a multiple of %d; give a size, "
			       "or make it larger (truncate -s)",
			       bytes, KEYS_BLOCK_BYTES);
	return 0;
}

static int backing_open(const struct attach_options *o, const char *path, bool read_only,
			int *ret_fd, struct err *e)
{
	int flags = (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	auto_close int fd = -1;
	struct stat st;
	int r;

	/* Looked at before it is opened: opening a device or a FIFO can have effects. */
	if (stat(path, &st) < 0)
		return err_sys(e, errno, "cannot use it");
	if (S_ISDIR(st.st_mode))
		return err_set(e, EISDIR, "it is a directory, not a file or a block device");
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(e, EINVAL, "it is neither a regular file nor a block device");
	fd = open(path, flags);
	if (fd < 0 && !read_only && (errno == EACCES || errno == EPERM || errno == EROFS))
		return err_sys(e, errno, "you may not open it for writing (access=ro needs less)");
	if (fd < 0)
		return err_sys(e, errno, "cannot open it");
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "cannot look at it");
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(e, EINVAL, "it is neither a regular file nor a block device");
	r = backing_check(o, fd, &st, e);
	if (r < 0)
		return r;
	*ret_fd = fd_take(&fd);
	return 0;
}

static int files_open(const struct attach_options *o, struct keys_files *f, const char *path,
		      bool read_only, const char *what, struct err *e)
{
	char word[QUOTE_SIZE];
	int r;

	r = backing_open(o, path, read_only, &f->fds[f->nr], e);
	if (r < 0)
		return err_prefix(e, r, "%s %s", what, quote_text(word, sizeof(word), path));
	f->nr++;
	return 0;
}

/* A delta that was there before is what it is. */
static int delta_check(const struct attach_options *o, int fd, uint64_t base_bytes, struct err *e)
{
	uint64_t bytes = o->size_bytes ? o->size_bytes : base_bytes;
	struct cow_layout l;
	struct cow_header h;
	int r;

	r = delta_read_header(fd, &h, &l, e);
	if (r < 0)
		return r;
	if (l.dev_bytes != bytes)
		return err_set(e, EINVAL,
			       "it is for a base of %" PRIu64 " bytes, and this is one of %" PRIu64,
			       l.dev_bytes, bytes);
	if (o->cluster_bytes && o->cluster_bytes != l.cluster_bytes)
		return err_set(e, EINVAL, "its clusters have %u bytes, not %u", l.cluster_bytes,
			       o->cluster_bytes);
	return 0;
}

/* The delta's path, which is made if nothing is there. */
static int delta_prepare(const struct attach_options *o, struct keys_files *f, uint64_t base_bytes,
			 char path[PATH_MAX], struct err *e)
{
	uint64_t bytes = o->size_bytes ? o->size_bytes : base_bytes;
	struct stat st;
	int r, n;

	n = snprintf(path, PATH_MAX, o->ephemeral ? "%s/.ublk-oci-%d-%" PRIx64 : "%s", o->backing,
		     (int)getpid(), (uint64_t)clock_now_us());
	if (n >= PATH_MAX)
		return err_set(e, ENAMETOOLONG, "the delta's path is too long");
	if (o->read_only || (!o->ephemeral && stat(path, &st) == 0))
		return 0;
	if (!o->ephemeral && errno != ENOENT)
		return err_sys(e, errno, "cannot look at it");
	r = delta_create(path, bytes, o->cluster_bytes ? o->cluster_bytes : COW_CLUSTER_DEFAULT,
			 o->ephemeral ? COW_EPHEMERAL : 0, o->base, e);
	if (r == -EEXIST) /* by somebody else, just now */
		return 0;
	if (r == 0)
		memcpy(f->made, path, PATH_MAX);
	return r;
}

/* The delta, then what it is over. */
static int delta_open_both(const struct attach_options *o, struct keys_files *f, struct err *e)
{
	char path[PATH_MAX], word[QUOTE_SIZE];
	struct keys_files base = KEYS_FILES_INIT;
	uint64_t bytes = 0;
	int r;

	r = files_open(o, &base, o->base, true, "base", e);
	if (r == 0)
		r = delta_measure(base.fds[0], &bytes, e);
	if (r == 0) {
		r = delta_prepare(o, f, bytes, path, e);
		if (r < 0)
			err_prefix(e, r, "delta %s", quote_text(word, sizeof(word), o->backing));
	}
	if (r == 0)
		r = files_open(o, f, path, o->read_only, "delta", e);
	if (r == 0) {
		r = delta_check(o, f->fds[0], bytes, e);
		if (r < 0)
			err_prefix(e, r, "delta %s", quote_text(word, sizeof(word), path));
		f->fds[f->nr++] = fd_take(&base.fds[0]);
	}
	keys_close_files(&base, false);
	return r;
}

void keys_close_files(struct keys_files *f, bool attached)
{
	for (size_t i = 0; i < ARRAY_SIZE(f->fds); i++)
		close_fdp(&f->fds[i]);
	if (*f->made && (f->ephemeral || !attached))
		unlink(f->made);
	*f->made = '\0';
}

int keys_open_files(const struct attach_options *o, struct keys_files *ret, struct err *e)
{
	int r;

	if (!o->given[KEY_BACKING])
		return 0;
	ret->ephemeral = o->ephemeral;
	r = o->given[KEY_BASE] ? delta_open_both(o, ret, e)
			       : files_open(o, ret, o->backing, o->read_only, "backing file", e);
	if (r < 0)
		keys_close_files(ret, false);
	return r;
}

int keys_open_dir(struct attach_options *o, int *ret_fd, struct err *e)
{
	char word[QUOTE_SIZE], real[PATH_MAX];

	*ret_fd = open(o->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*ret_fd < 0)
		return err_sys(e, errno, "cannot open the directory %s",
			       quote_text(word, sizeof(word), o->path));
	if (realpath(o->path, real))
		text_copy(o->path, sizeof(o->path), real);
	return 0;
}
