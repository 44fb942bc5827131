/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/remake.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "driver/privileged/json.h"
#include "targets/catalog.h"
#include "targets/image_format.h"

#define REMAKE_NAME_SIZE (TEXT_DEVICE_NAME_MAX + sizeof(".json"))
#define REMAKE_FILE_SIZE 2048

int remake_open(const char *dir, int *ret_fd, struct err *e)
{
	auto_close int fd = -1;
	struct stat st;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "cannot make %s", dir);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "cannot open %s", dir);
	if (st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
		return err_set(e, EPERM, "others may write %s", dir);
	*ret_fd = fd_take(&fd);
	return 0;
}

struct remake_text {
	char *text;
	size_t size;
	size_t used; /* size: it does not fit */
};

static void remake_raw(struct remake_text *t, const char *text)
{
	size_t n = strlen(text);

	if (t->used + n >= t->size) {
		t->used = t->size;
		return;
	}
	memcpy(t->text + t->used, text, n + 1);
	t->used += n;
}

/* A comma begins the next key, a percent sign says what a byte is. */
static void remake_put(struct remake_text *t, enum catalog_key key, const char *value)
{
	char word[4];

	remake_raw(t, t->used ? "," : "");
	remake_raw(t, catalog_key(key)->name);
	remake_raw(t, "=");
	for (const char *p = value; *p; p++) {
		unsigned char c = (unsigned char)*p;

		snprintf(word, sizeof(word), c == ',' || c == '%' || c >= 0x7f ? "%%%02x" : "%c",
			 c);
		remake_raw(t, word);
	}
}

static void remake_put_number(struct remake_text *t, enum catalog_key key, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, n);
	remake_put(t, key, text);
}

static const char *remake_data_path(uint32_t flags)
{
	if (flags & WIRE_BY_HAND)
		return "by-hand";
	return flags & WIRE_ZERO_COPY ? "zero-copy" : flags & WIRE_COPY ? "copy" : "auto";
}

static void remake_put_fault(struct remake_text *t, const struct wire_fault *f)
{
	char text[48];

	if (f->delay_us) {
		snprintf(text, sizeof(text), "%" PRIu32 ".%03" PRIu32, f->delay_us / 1000,
			 f->delay_us % 1000);
		remake_put(t, KEY_DELAY, text);
	}
	if (f->error_ppm) {
		snprintf(text, sizeof(text), "%" PRIu32 ".%06" PRIu32,
			 f->error_ppm / WIRE_FAULT_PPM_MAX, f->error_ppm % WIRE_FAULT_PPM_MAX);
		remake_put(t, KEY_ERROR_RATIO, text);
	}
	if (f->error_len) {
		snprintf(text, sizeof(text), "%" PRIu64 "+%" PRIu64, f->error_off, f->error_len);
		remake_put(t, KEY_ERROR_RANGE, text);
	}
}

int remake_keys(const struct record *rec, char *text, size_t size)
{
	struct remake_text t = { .text = text, .size = size };
	char mode[8];

	snprintf(mode, sizeof(mode), "%04" PRIo32, rec->node_mode & 0777);
	remake_put(&t, KEY_TARGET, catalog_target(rec->target)->name);
	if (*rec->backing)
		remake_put(&t, catalog_target(rec->target)->by_address ? KEY_NBD : KEY_BACKING,
			   rec->backing);
	if (*rec->nbd.export_name)
		remake_put(&t, KEY_EXPORT, rec->nbd.export_name);
	if (rec->nbd.format)
		remake_put(&t, KEY_FORMAT, image_format_name(rec->nbd.format));
	if (rec->nbd.base_format)
		remake_put(&t, KEY_BASE_FORMAT, image_format_name(rec->nbd.base_format));
	if (catalog_target(rec->target)->by_address)
		remake_put_number(&t, KEY_CONNECTIONS, rec->nbd.asked_connections);
	if (*rec->base)
		remake_put(&t, KEY_BASE, rec->base);
	/* As it was asked for: what was left to the helper is left to the next one. */
	if (rec->asked_bytes)
		remake_put_number(&t, KEY_SIZE, rec->asked_bytes);
	if (rec->asked_queues)
		remake_put_number(&t, KEY_QUEUES, rec->asked_queues);
	if (rec->asked_depth)
		remake_put_number(&t, KEY_DEPTH, rec->asked_depth);
	remake_put(&t, KEY_ACCESS, rec->flags & WIRE_READ_ONLY ? "ro" : "rw");
	remake_put(&t, KEY_PROFILE, rec->flags & WIRE_THROUGHPUT ? "throughput" : "latency");
	remake_put(&t, KEY_DATA_PATH, remake_data_path(rec->flags));
	remake_put_fault(&t, &rec->fault);
	remake_put_number(&t, KEY_UID, rec->node_uid);
	remake_put_number(&t, KEY_GID, rec->node_gid);
	remake_put(&t, KEY_MODE, mode);
	return t.used == size ? -E2BIG : 0;
}

static void remake_name(char name[REMAKE_NAME_SIZE], const struct record *rec)
{
	snprintf(name, REMAKE_NAME_SIZE, "%.63s.json", rec->path + strlen("/dev/"));
}

bool remake_is_there(int dir_fd, const struct record *rec)
{
	char name[REMAKE_NAME_SIZE];

	if (dir_fd < 0)
		return false;
	remake_name(name, rec);
	return faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int remake_write(int fd, const struct record *rec)
{
	char keys[JSON_TEXT_MAX], text[REMAKE_FILE_SIZE];
	struct json j;
	int n;

	n = remake_keys(rec, keys, sizeof(keys));
	if (n < 0)
		return n;
	json_init(&j, text, sizeof(text));
	json_text(&j, "name", rec->path + strlen("/dev/"));
	json_number(&j, "uid", rec->peer_uid);
	json_number(&j, "gid", rec->peer_gid);
	json_text(&j, "keys", keys);
	n = json_fini(&j);
	if (n < 0)
		return n;
	if (write(fd, text, (size_t)n) != n)
		return -ENOSPC;
	return fsync(fd) < 0 ? -errno : 0;
}

int remake_save(int dir_fd, const struct record *rec, struct err *e)
{
	char name[REMAKE_NAME_SIZE], temporary[REMAKE_NAME_SIZE + 5];
	auto_close int fd = -1;
	int r;

	if (dir_fd < 0)
		return 0;
	remake_name(name, rec);
	snprintf(temporary, sizeof(temporary), ".%s.tmp", name);
	fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : remake_write(fd, rec);
	if (r == 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
		r = -errno;
	if (r == 0 && fsync(dir_fd) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dir_fd, temporary, 0);
	return r < 0 ? err_sys(e, -r, "cannot write " REMAKE_DIR "/%s", name) : 0;
}

int remake_remove(int dir_fd, const struct record *rec, struct err *e)
{
	char name[REMAKE_NAME_SIZE];

	if (dir_fd < 0)
		return 0;
	remake_name(name, rec);
	if (unlinkat(dir_fd, name, 0) < 0)
		return errno == ENOENT ? 0
				       : err_sys(e, errno, "cannot remove " REMAKE_DIR "/%s", name);
	return fsync(dir_fd) < 0 ? err_sys(e, errno, "cannot write " REMAKE_DIR) : 0;
}
