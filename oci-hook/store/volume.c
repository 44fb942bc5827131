/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/store/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "oci-hook/auto_json.h"

#define VOLUME_VERSION 1
#define VOLUME_TEMPORARY VOLUME_RECORD ".tmp"
#define VOLUME_JSON_DEPTH 4

static const char *const kinds[] = { "volume", "snapshot" };

bool volume_size_ok(uint64_t bytes)
{
	return bytes && bytes % VOLUME_BLOCK_BYTES == 0 && bytes <= VOLUME_BYTES_MAX;
}

static const char *volume_filesystem(enum catalog_filesystem filesystem)
{
	return filesystem ? catalog_filesystem(filesystem) : "";
}

/* A key that is there only when it says something. */
static void volume_more(char text[VOLUME_TEXT_MAX], size_t *size, const char *key,
			const char *value)
{
	if (*value)
		*size += (size_t)snprintf(text + *size, VOLUME_TEXT_MAX - *size,
					  ",\n\t\"%s\": \"%s\"", key, value);
}

/* Names need no escapes: text_device_name_ok() and probe_type_ok() say what is in them. */
size_t volume_format(const struct volume *v, char text[VOLUME_TEXT_MAX])
{
	size_t size =
		(size_t)snprintf(text, VOLUME_TEXT_MAX,
				 "{\n\t\"version\": %d,\n\t\"name\": \"%s\",\n\t\"kind\": \"%s\",\n"
				 "\t\"origin\": \"%s\",\n\t\"size_bytes\": %" PRIu64 ",\n"
				 "\t\"owner_uid\": %" PRIu32 ",\n\t\"created\": %" PRIu64 ",\n"
				 "\t\"filesystem\": \"%s\"",
				 VOLUME_VERSION, v->name, kinds[v->snapshot], v->origin,
				 v->size_bytes, v->owner_uid, v->created,
				 volume_filesystem(v->filesystem));

	volume_more(text, &size, "formatting", volume_filesystem(v->formatting));
	volume_more(text, &size, "found", v->found);
	volume_more(text, &size, "backend", v->backend);
	volume_more(text, &size, "image", v->image);
	if (v->growing_bytes)
		size += (size_t)snprintf(text + size, VOLUME_TEXT_MAX - size,
					 ",\n\t\"growing_bytes\": %" PRIu64, v->growing_bytes);
	return size + (size_t)snprintf(text + size, VOLUME_TEXT_MAX - size, "\n}\n");
}

static int volume_text(struct json_object *o, const char *key, char *ret, size_t size)
{
	const char *text = auto_json_text(o, key);

	return text ? text_copy(ret, size, text) : -EINVAL;
}

static int volume_number(struct json_object *o, const char *key, uint64_t max, uint64_t *ret)
{
	struct json_object *value;
	int64_t n;

	if (!json_object_object_get_ex(o, key, &value) ||
	    !json_object_is_type(value, json_type_int))
		return -EINVAL;
	n = json_object_get_int64(value);
	if (n < 0 || (uint64_t)n > max)
		return -ERANGE;
	*ret = (uint64_t)n;
	return 0;
}

/* As ublk-oci-pool takes it: it becomes a word of a command, and a file's name. */
static bool volume_image_ok(const char *image)
{
	return strlen(image) == VOLUME_IMAGE_LENGTH &&
	       strspn(image, "0123456789abcdef") == VOLUME_IMAGE_LENGTH;
}

/* A back end and an image go together. */
static int volume_read_backend(struct volume *v, struct json_object *o)
{
	if (!json_object_object_get_ex(o, "backend", NULL) &&
	    !json_object_object_get_ex(o, "image", NULL))
		return 0;
	if (volume_text(o, "backend", v->backend, sizeof(v->backend)) < 0 ||
	    volume_text(o, "image", v->image, sizeof(v->image)) < 0 ||
	    !text_name_ok(v->backend, sizeof(v->backend) - 1) || !volume_image_ok(v->image))
		return -EINVAL;
	if (!json_object_object_get_ex(o, "growing_bytes", NULL))
		return 0;
	return volume_number(o, "growing_bytes", VOLUME_BYTES_MAX, &v->growing_bytes) < 0 ||
			       !volume_size_ok(v->growing_bytes)
		       ? -EINVAL
		       : 0;
}

/* A key that need not be there: the text is as it was then. */
static int volume_read_more(struct volume *v, struct json_object *o)
{
	char formatting[16] = "";

	if (json_object_object_get_ex(o, "formatting", NULL)) {
		if (volume_text(o, "formatting", formatting, sizeof(formatting)) < 0)
			return -EINVAL;
		v->formatting = catalog_find_filesystem(formatting);
	}
	if (json_object_object_get_ex(o, "found", NULL) &&
	    (volume_text(o, "found", v->found, sizeof(v->found)) < 0 || !probe_type_ok(v->found)))
		return -EINVAL;
	return volume_read_backend(v, o);
}

static int volume_read(struct volume *v, struct json_object *o)
{
	char kind[16] = "", filesystem[16] = "";
	uint64_t version = 0, uid = 0;

	if (volume_number(o, "version", VOLUME_VERSION, &version) < 0 ||
	    volume_text(o, "name", v->name, sizeof(v->name)) < 0 ||
	    volume_text(o, "kind", kind, sizeof(kind)) < 0 ||
	    volume_text(o, "origin", v->origin, sizeof(v->origin)) < 0 ||
	    volume_number(o, "size_bytes", VOLUME_BYTES_MAX, &v->size_bytes) < 0 ||
	    volume_number(o, "owner_uid", UINT32_MAX - 1, &uid) < 0 ||
	    volume_number(o, "created", INT64_MAX, &v->created) < 0 ||
	    volume_text(o, "filesystem", filesystem, sizeof(filesystem)) < 0 ||
	    volume_read_more(v, o) < 0)
		return -EINVAL;
	v->owner_uid = (uint32_t)uid;
	v->snapshot = !strcmp(kind, kinds[1]);
	v->filesystem = *filesystem ? catalog_find_filesystem(filesystem) : FILESYSTEM_NONE;
	if (!text_device_name_ok(v->name) || (*v->origin && !text_device_name_ok(v->origin)) ||
	    !volume_size_ok(v->size_bytes))
		return -EINVAL;
	return 0;
}

/*
 * Read, and written again: what is not the same text was not written here. So json-c's liberties
 * (a key written twice, one that is not known, another version) need no checks of their own.
 */
int volume_parse(struct volume *ret, const char *text, size_t size, struct err *e)
{
	struct json_tokener *tokener = json_tokener_new_ex(VOLUME_JSON_DEPTH);
	auto_json struct json_object *o = NULL;
	char again[VOLUME_TEXT_MAX];
	struct volume v = { 0 };

	if (!tokener)
		return err_sys(e, ENOMEM, "cannot read " VOLUME_RECORD);
	if (size < VOLUME_TEXT_MAX)
		o = json_tokener_parse_ex(tokener, text, (int)size);
	json_tokener_free(tokener);
	if (!json_object_is_type(o, json_type_object) || volume_read(&v, o) < 0 ||
	    volume_format(&v, again) != size || memcmp(again, text, size))
		return err_set(e, EINVAL, VOLUME_RECORD " is not as the store writes it");
	*ret = v;
	return 0;
}

int volume_load(struct volume *ret, int dir_fd, struct err *e)
{
	auto_close int fd = openat(dir_fd, VOLUME_RECORD,
				   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char text[VOLUME_TEXT_MAX];
	ssize_t n;

	if (fd < 0)
		return err_sys(e, errno, "cannot open " VOLUME_RECORD);
	n = read(fd, text, sizeof(text));
	if (n < 0)
		return err_sys(e, errno, "cannot read " VOLUME_RECORD);
	return volume_parse(ret, text, (size_t)n, e);
}

/* With the text, and the text with its name, on the disk. */
static int volume_write(int dir_fd, const char *text, size_t size)
{
	auto_close int fd = openat(dir_fd, VOLUME_TEMPORARY,
				   O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, size);
	if (n != (ssize_t)size)
		return n < 0 ? -errno : -ENOSPC;
	if (fsync(fd) < 0 || renameat(dir_fd, VOLUME_TEMPORARY, dir_fd, VOLUME_RECORD) < 0 ||
	    fsync(dir_fd) < 0)
		return -errno;
	return 0;
}

int volume_save(int dir_fd, const struct volume *v, struct err *e)
{
	char text[VOLUME_TEXT_MAX];
	size_t size = volume_format(v, text);
	int r = volume_write(dir_fd, text, size);

	if (!r)
		return 0;
	unlinkat(dir_fd, VOLUME_TEMPORARY, 0);
	return err_sys(e, -r, "cannot write " VOLUME_RECORD);
}
