/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/cdi.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/log.h"
#include "driver/privileged/json.h"

/* Engines read *.json and *.yaml of the directory, and nothing else. */
#define CDI_TEMPORARY ".ublk-oci.json.tmp"
#define CDI_FILE_MAX (64u << 20)
#define CDI_HEAD_BYTES 256
#define CDI_ENTRY_BYTES 1024

int cdi_open(const char *dir, int *ret_fd, struct err *e)
{
	int fd;

	if (mkdir(dir, 0755) == 0)
		chmod(dir, 0755); /* whatever the umask: engines of other users read there too */
	else if (errno != EEXIST)
		return err_sys(e, errno, "cannot make %s", dir);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "cannot open %s", dir);
	*ret_fd = fd;
	return 0;
}

/* A container can have it. While another worker is on its way, it waits for that. */
static bool cdi_lists(const struct record *rec)
{
	return rec->flags & WIRE_AHEAD &&
	       (rec->state == WIRE_STATE_LIVE || rec->state == WIRE_STATE_RECOVERING);
}

static const char *cdi_device_name(const struct record *rec)
{
	return rec->path + strlen("/dev/");
}

/* The oldest version that allows what is in the file: 0.3.0 wants names to begin with a letter. */
static const char *cdi_version(const struct registry *reg)
{
	for (size_t i = 0; i < reg->nr_devices; i++) {
		const struct record *rec = &reg->devices[i]->rec;
		char first = *cdi_device_name(rec);

		if (cdi_lists(rec) && first >= '0' && first <= '9')
			return "0.5.0";
	}
	return "0.3.0";
}

static void cdi_put_hook(struct json *j, const char *stage, const char *verb,
			 const struct record *rec)
{
	char generation[24];

	snprintf(generation, sizeof(generation), "%016" PRIx64, rec->generation);
	json_object(j, NULL);
	json_text(j, "hookName", stage);
	json_text(j, "path", HOOK_PROGRAM);
	json_array(j, "args");
	json_text(j, NULL, "ublk-oci-hook");
	json_text(j, NULL, verb);
	json_text(j, NULL, cdi_device_name(rec));
	json_text(j, NULL, generation);
	json_array_end(j);
	json_object_end(j);
}

static void cdi_put_device(struct json *j, const struct record *rec)
{
	json_object(j, NULL);
	json_text(j, "name", cdi_device_name(rec));
	json_object(j, "containerEdits");
	json_array(j, "hooks");
	cdi_put_hook(j, "createRuntime", "claim", rec);
	cdi_put_hook(j, "poststop", "release", rec);
	json_array_end(j);
	json_object_end(j);
	json_object_end(j);
}

int cdi_text(const struct registry *reg, char **ret, size_t *ret_size)
{
	auto_free char *text = NULL;
	size_t nr = 0, size;
	struct json j;
	int n;

	*ret = NULL;
	*ret_size = 0;
	for (size_t i = 0; i < reg->nr_devices; i++)
		nr += cdi_lists(&reg->devices[i]->rec);
	if (!nr)
		return 0;
	size = CDI_HEAD_BYTES + nr * CDI_ENTRY_BYTES;
	text = malloc(size);
	if (!text)
		return -ENOMEM;
	json_init(&j, text, size);
	json_text(&j, "cdiVersion", cdi_version(reg));
	json_text(&j, "kind", CDI_KIND);
	json_array(&j, "devices");
	for (size_t i = 0; i < reg->nr_devices; i++) {
		if (cdi_lists(&reg->devices[i]->rec))
			cdi_put_device(&j, &reg->devices[i]->rec);
	}
	json_array_end(&j);
	n = json_fini(&j);
	if (n < 0)
		return n;
	*ret_size = (size_t)n;
	*ret = ptr_take(text);
	return 0;
}

static int cdi_save(int cdi_fd, const char *text, size_t size)
{
	auto_close int fd = openat(cdi_fd, CDI_TEMPORARY,
				   O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = fchmod(fd, 0644) < 0 ? -1 : write(fd, text, size);
	if (n != (ssize_t)size || fsync(fd) < 0 ||
	    renameat(cdi_fd, CDI_TEMPORARY, cdi_fd, CDI_NAME) < 0) {
		int code = n >= 0 && n != (ssize_t)size ? ENOSPC : errno;

		unlinkat(cdi_fd, CDI_TEMPORARY, 0);
		return -code;
	}
	return 0;
}

void cdi_refresh(struct registry *reg)
{
	auto_free char *text = NULL;
	size_t size;
	int r;

	if (!reg->cdi_stale || reg->cdi_fd < 0)
		return;
	reg->cdi_stale = false;
	r = cdi_text(reg, &text, &size);
	if (r == 0 && text)
		r = cdi_save(reg->cdi_fd, text, size);
	/* No list is better than a wrong one. */
	if ((r < 0 || !text) && unlinkat(reg->cdi_fd, CDI_NAME, 0) < 0 && errno != ENOENT && r == 0)
		r = -errno;
	if (r == 0 && fsync(reg->cdi_fd) < 0)
		r = -errno;
	if (r < 0)
		log_error("cannot list devices in " CDI_DIR "/" CDI_NAME ": %s", strerror(-r));
}

/* --- what is written there --------------------------------------------------------------- */

static int cdi_read(int cdi_fd, char **ret, struct err *e)
{
	auto_close int fd =
		openat(cdi_fd, CDI_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	auto_free char *text = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "cannot open " CDI_DIR "/" CDI_NAME);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > CDI_FILE_MAX)
		return err_set(e, EINVAL, CDI_DIR "/" CDI_NAME " is not a file of ours");
	text = malloc((size_t)st.st_size + 1);
	n = text ? read(fd, text, (size_t)st.st_size) : -1;
	if (n < 0)
		return err_sys(e, text ? errno : ENOMEM, "cannot read " CDI_DIR "/" CDI_NAME);
	text[n] = '\0';
	*ret = ptr_take(text);
	return 0;
}

int cdi_each(int cdi_fd, int (*found)(void *arg, uint64_t generation), void *arg, struct err *e)
{
	auto_free char *text = NULL;
	char word[24];
	int r, length;

	r = cdi_fd < 0 ? 0 : cdi_read(cdi_fd, &text, e);
	if (r < 0 || !text)
		return r;
	/* Root's, and written by us: nothing in it is believed but that there are such words. */
	for (const char *p = text; (p = strchr(p, '"')); p++) {
		if (sscanf(p, "\"%16[0-9a-f]\"%n", word, &length) != 1 || !journal_generation(word))
			continue;
		r = found(arg, journal_generation(word));
		if (r < 0)
			return err_sys(e, -r, "cannot look at " CDI_DIR "/" CDI_NAME);
	}
	return 0;
}
