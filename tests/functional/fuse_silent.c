/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A filesystem with one file, "image", that is answered for like any other.
 * Stopped with SIGSTOP it answers nothing any more: what asks it then hangs.
 */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fuse.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#define SILENT_BYTES (1 << 20)

static int silent_getattr(const char *path, struct stat *st, struct fuse_file_info *file)
{
	bool root = !strcmp(path, "/");

	(void)file;
	if (!root && strcmp(path, "/image"))
		return -ENOENT;
	memset(st, 0, sizeof(*st));
	st->st_mode = root ? S_IFDIR | 0755 : S_IFREG | 0666;
	st->st_nlink = 1;
	st->st_size = root ? 0 : SILENT_BYTES;
	return 0;
}

static int silent_open(const char *path, struct fuse_file_info *file)
{
	(void)file;
	return strcmp(path, "/image") ? -ENOENT : 0;
}

static int silent_read(const char *path, char *buf, size_t size, off_t off,
		       struct fuse_file_info *file)
{
	(void)path;
	(void)off;
	(void)file;
	memset(buf, 0, size);
	return (int)size;
}

static const struct fuse_operations silent_operations = {
	.getattr = silent_getattr,
	.open = silent_open,
	.read = silent_read,
};

int main(int argc, char **argv)
{
	return fuse_main(argc, argv, &silent_operations, NULL);
}
