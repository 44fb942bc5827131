/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model of tests/unit/model.h on a real block device:
 *
 *   model_device DEVICE IMAGE SEED OPERATIONS     IMAGE: what is on it, byte for byte
 *
 * Past the page cache, so that each operation is the target's. Exit 0: they stayed equal.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "tests/unit/model.h"

static int fd_of(void *arg)
{
	return *(int *)arg;
}

static int device_read(void *arg, void *to, uint64_t off, uint64_t len)
{
	ssize_t n = pread(fd_of(arg), to, len, (off_t)off);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EIO;
}

static int device_write(void *arg, const void *from, uint64_t off, uint64_t len)
{
	ssize_t n = pwrite(fd_of(arg), from, len, (off_t)off);

	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EIO;
}

static int device_range(void *arg, unsigned long request, uint64_t off, uint64_t len)
{
	uint64_t range[] = { off, len };

	return ioctl(fd_of(arg), request, range) < 0 ? -errno : 0;
}

static int device_discard(void *arg, uint64_t off, uint64_t len)
{
	return device_range(arg, BLKDISCARD, off, len);
}

static int device_zero(void *arg, uint64_t off, uint64_t len)
{
	return device_range(arg, BLKZEROOUT, off, len);
}

static int device_flush(void *arg)
{
	return fsync(fd_of(arg)) < 0 ? -errno : 0;
}

int main(int argc, char **argv)
{
	auto_close int fd = argc == 5 ? open(argv[1], O_RDWR | O_DIRECT | O_CLOEXEC) : -1;
	auto_close int image = fd >= 0 ? open(argv[2], O_RDONLY | O_CLOEXEC) : -1;
	auto_free unsigned char *memory = NULL;
	struct model_device d = { .arg = &fd,
				  .read = device_read,
				  .write = device_write,
				  .discard = device_discard,
				  .zero = device_zero,
				  .flush = device_flush };
	unsigned int op = 0;
	struct stat st;
	int r;

	if (image < 0 || fstat(image, &st) < 0 || ioctl(fd, BLKGETSIZE64, &d.bytes) < 0)
		return 2;
	memory = malloc(d.bytes);
	if (!memory || (uint64_t)st.st_size != d.bytes ||
	    read(image, memory, d.bytes) != (ssize_t)d.bytes)
		return 2;
	r = model_run(&d, memory, strtoull(argv[3], NULL, 10), (unsigned int)atoi(argv[4]), &op);
	if (r) {
		printf("operation %u: %s\n", op, strerror(-r));
		return 1;
	}
	printf("%u operations\n", op);
	return 0;
}
