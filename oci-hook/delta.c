/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/delta.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "oci-hook/quote.h"

void delta_fini(struct delta *d)
{
	close_fdp(&d->fd);
	free(d->map);
	d->map = NULL;
}

static int delta_write(int fd, const struct cow_layout *l, uint32_t flags, const char *base)
{
	unsigned char header[COW_HEADER_BYTES];

	cow_header_make(header, l, flags, base);
	if (ftruncate(fd, (off_t)l->file_bytes) < 0)
		return -errno;
	if (pwrite(fd, header, sizeof(header), 0) != (ssize_t)sizeof(header))
		return errno ? -errno : -EIO;
	return fsync(fd) < 0 ? -errno : 0;
}

/* The name too is to be there after a power cut. */
static int delta_sync_directory(const char *path)
{
	char copy[PATH_MAX];
	auto_close int fd = -1;

	snprintf(copy, sizeof(copy), "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int delta_create(const char *path, uint64_t dev_bytes, uint32_t cluster_bytes, uint32_t flags,
		 const char *base, struct err *e)
{
	char temporary[PATH_MAX];
	auto_close int fd = -1;
	struct cow_layout l;
	int r;

	r = cow_layout_make(&l, dev_bytes, cluster_bytes, e);
	if (r < 0)
		return r;
	if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= (int)sizeof(temporary))
		return err_set(e, ENAMETOOLONG, "the delta's path is too long");
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "cannot make the delta");
	r = delta_write(fd, &l, flags, base);
	/* Unlike a rename it replaces nothing. */
	if (r == 0 && link(temporary, path) < 0)
		r = -errno;
	unlink(temporary);
	if (r == 0)
		r = delta_sync_directory(path);
	return r < 0 ? err_sys(e, -r, "cannot make the delta") : 0;
}

int delta_parse_cluster(const char *value, uint32_t *ret, struct err *e)
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

int delta_measure(int fd, uint64_t *ret_bytes, struct err *e)
{
	off_t end = lseek(fd, 0, SEEK_END);

	if (end < 0)
		return err_sys(e, errno, "cannot learn its size");
	*ret_bytes = (uint64_t)end;
	return 0;
}

int delta_read_header(int fd, struct cow_header *ret, struct cow_layout *ret_layout, struct err *e)
{
	unsigned char header[COW_HEADER_BYTES];
	uint64_t bytes = 0;
	ssize_t n;
	int r;

	r = delta_measure(fd, &bytes, e);
	if (r < 0)
		return r;
	n = pread(fd, header, sizeof(header), 0);
	if (n < 0)
		return err_sys(e, errno, "cannot read the delta");
	if (n != (ssize_t)sizeof(header))
		return err_set(e, EINVAL, "it is no delta: it is shorter than a header");
	return cow_header_read(ret, ret_layout, header, bytes, e);
}

static int delta_read_map(struct delta *d, struct err *e)
{
	uint64_t left = d->layout.map_bytes, off = d->layout.map_off;
	unsigned char *to;
	ssize_t n;

	to = d->map = malloc(left);
	if (!to)
		return err_sys(e, ENOMEM, "no memory for its map");
	for (; left; left -= (uint64_t)n, off += (uint64_t)n, to += n) {
		n = pread(d->fd, to, left, (off_t)off);
		if (n <= 0)
			return err_sys(e, n ? errno : EIO, "cannot read its map");
	}
	return 0;
}

int delta_open(struct delta *ret, const char *path, struct err *e)
{
	int r;

	ret->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (ret->fd < 0)
		return err_sys(e, errno, "cannot open it");
	r = delta_read_header(ret->fd, &ret->header, &ret->layout, e);
	return r < 0 ? r : delta_read_map(ret, e);
}
