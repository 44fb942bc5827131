/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/keys_files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/text.h"
#include "oci-hook/delta.h"
#include "oci-hook/quote.h"

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
	/* An image says how large it is, which its file does not. */
	if (!o->size_bytes && !o->format && bytes % KEYS_BLOCK_BYTES)
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
	keys_files_close(&base, false);
	return r;
}

void keys_files_close(struct keys_files *f, bool attached)
{
	for (size_t i = 0; i < ARRAY_SIZE(f->fds); i++)
		close_fdp(&f->fds[i]);
	if (*f->made && (f->ephemeral || !attached))
		unlink(f->made);
	*f->made = '\0';
}

int keys_files_open(const struct attach_options *o, struct keys_files *ret, struct err *e)
{
	bool delta;
	int r;

	if (!o->given[KEY_BACKING])
		return 0;
	ret->ephemeral = o->ephemeral;
	delta = o->given[KEY_BASE] && !o->given[KEY_BASE_FORMAT];
	r = delta ? delta_open_both(o, ret, e)
		  : files_open(o, ret, o->backing, o->read_only, "backing file", e);
	if (r == 0 && o->given[KEY_BASE] && !delta)
		r = files_open(o, ret, o->base, true, "base", e);
	if (r < 0)
		keys_files_close(ret, false);
	return r;
}

int keys_files_open_host(struct attach_options *o, int *ret_fd, struct err *e)
{
	char word[QUOTE_SIZE], real[PATH_MAX];

	*ret_fd = open(o->path, O_PATH | O_CLOEXEC | (o->on_file ? 0 : O_DIRECTORY));
	if (*ret_fd < 0)
		return err_sys(e, errno, "cannot open the %s %s", o->on_file ? "file" : "directory",
			       quote_text(word, sizeof(word), o->path));
	if (realpath(o->path, real))
		text_copy(o->path, sizeof(o->path), real);
	return 0;
}
