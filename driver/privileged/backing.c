/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "driver/base/text.h"
#include "driver/privileged/mountinfo.h"
#include "driver/privileged/process.h"
#include "driver/privileged/walk.h"
#include "targets/catalog.h"

#define BACKING_BLOCK_MIN 512u
#define BACKING_BLOCK_MAX 4096u

#ifndef STATX_DIOALIGN
#define STATX_DIOALIGN 0x2000u
#endif

/* struct statx is 256 bytes for ever; C libraries before these fields have no names for them. */
#define BACKING_STATX_SIZE 256
#define BACKING_STATX_DIO_MEM 152    /* stx_dio_mem_align */
#define BACKING_STATX_DIO_OFFSET 156 /* stx_dio_offset_align */

void backing_fini(struct backing *b)
{
	close_fdp(&b->fd);
}

/* The host: what we see, or PID 1 when the service manager gave us a view of our own. */
static const struct backing_host {
	const char *mounts;
	const char *root;
} backing_hosts[] = {
	{ "/proc/self/mountinfo", "/" },
	{ "/proc/1/mountinfo", "/proc/1/root" },
};

/*
 * The filesystem an fd is on, without asking that filesystem: its mount is
 * looked up in the host's mount tables. A mount that is in none is refused,
 * since its path would mean nothing to us. *ret_root is where that path begins.
 */
static int backing_filesystem(int fd, char *name, size_t size, const char **ret_root, struct err *e)
{
	char path[64], text[1024];
	uint32_t id;
	const char *p;

	*ret_root = backing_hosts[0].root;
	if (mountinfo_type(fd, name, size) == 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (process_read(AT_FDCWD, path, text, sizeof(text)) < 0)
		return err_set(e, EIO, "cannot look at the backing file");
	p = strstr(text, "\nmnt_id:");
	if (!p || sscanf(p, "\nmnt_id:\t%" SCNu32, &id) != 1)
		return err_set(e, EIO, "cannot tell which mount the backing file is on");
	for (size_t i = 0; i < ARRAY_SIZE(backing_hosts); i++) {
		auto_mountinfo struct mountinfo m = MOUNTINFO_INIT;
		struct mountinfo_entry entry;
		int r = mountinfo_open(&m, AT_FDCWD, backing_hosts[i].mounts);

		*ret_root = backing_hosts[i].root;
		while (r == 0 && mountinfo_next(&m, &entry) > 0) {
			if (entry.id == id)
				return text_copy(name, size, entry.type) < 0
					       ? err_set(e, EPERM,
							 "the backing file's filesystem is unknown")
					       : 0;
		}
	}
	return err_set(e, EXDEV,
		       "the backing file is on a mount the helper does not have: open it in the "
		       "host's mount namespace");
}

static int backing_check_access(int fd, bool read_only, struct err *e)
{
	int flags = fcntl(fd, F_GETFL);
	int mode;

	if (flags < 0)
		return err_sys(e, errno, "cannot look at the backing file");
	mode = flags & O_ACCMODE;
	if (flags & O_PATH || mode == O_WRONLY || (!read_only && mode != O_RDWR))
		return err_set(e, EACCES, "the backing file was not opened for reading%s",
			       read_only ? "" : " and writing");
	return 0;
}

/* A file the kernel or another device sits on must not be written behind their back. */
static int backing_check_unused(struct backing *b, int fd, bool read_only, struct err *e)
{
	char path[64];
	int probe;

	if (!b->block_device || read_only)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	probe = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (probe < 0 && errno == EBUSY)
		return err_set(e, EBUSY,
			       "the backing block device is in use by the host: unmount "
			       "it or attach it read-only");
	close_fdp(&probe);
	return 0;
}

int backing_size(int fd, uint64_t *ret_bytes, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, ret_bytes) < 0))
		return err_sys(e, errno, "cannot measure what is behind the device");
	if (!S_ISBLK(st.st_mode))
		*ret_bytes = (uint64_t)st.st_size;
	return 0;
}

static int backing_measure(struct backing *b, const struct stat *st, struct err *e)
{
	unsigned int physical = 0;
	int logical = 0;
	int r;

	r = backing_size(b->fd, &b->bytes, e);
	if (r < 0)
		return r;
	if (S_ISREG(st->st_mode)) {
		b->dev = st->st_dev;
		b->inode = st->st_ino;
		b->logical_block_bytes = BACKING_BLOCK_MIN;
		b->physical_block_bytes = BACKING_BLOCK_MAX;
		return 0;
	}
	if (ioctl(b->fd, BLKSSZGET, &logical) < 0 || ioctl(b->fd, BLKPBSZGET, &physical) < 0)
		return err_sys(e, errno, "cannot measure the backing block device");
	b->block_device = true;
	b->dev = st->st_rdev;
	b->inode = 0;
	b->logical_block_bytes = (uint32_t)logical;
	b->physical_block_bytes = physical;
	return 0;
}

/* A number of the disk of a device: of a partition's disk when it is one. */
static uint64_t backing_disk_limit(uint64_t dev, const char *name)
{
	static const char *const places[] = { "queue", "../queue" };
	char path[96], text[32];
	uint64_t n;

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s/%s", major(dev), minor(dev),
			 places[i], name);
		if (process_read(AT_FDCWD, path, text, sizeof(text)) <= 0)
			continue;
		*strchrnul(text, '\n') = '\0';
		if (num_parse_u64(text, UINT32_MAX, &n) == 0)
			return n;
	}
	return UINT64_MAX;
}

/*
 * What a disk would split is refused when it must not wait, and the ring then does it once
 * more in a thread of its own. Data lies in pages anywhere, the first not from its beginning.
 */
static uint32_t backing_piece_bytes(uint64_t dev)
{
	uint64_t kib = backing_disk_limit(dev, "max_sectors_kb");
	uint64_t segments = backing_disk_limit(dev, "max_segments");
	uint64_t pages = UINT32_MAX / BACKING_BLOCK_MAX;

	if (kib / (BACKING_BLOCK_MAX / 1024) < pages)
		pages = kib / (BACKING_BLOCK_MAX / 1024);
	if (segments - 1 < pages)
		pages = segments - 1;
	return (uint32_t)(pages ? pages : 1) * BACKING_BLOCK_MAX;
}

/* A shift is all the driver takes. */
static uint32_t backing_power_of_two(uint64_t n)
{
	return n <= UINT32_MAX && num_power_of_two(n) ? (uint32_t)n : 0;
}

static void backing_measure_disk(struct backing *b)
{
	b->piece_bytes = backing_piece_bytes(b->dev);
	b->io_min_bytes = backing_power_of_two(backing_disk_limit(b->dev, "minimum_io_size"));
	b->io_opt_bytes = backing_power_of_two(backing_disk_limit(b->dev, "optimal_io_size"));
	b->rotational = backing_disk_limit(b->dev, "rotational") == 1;
}

/* Past the page cache when the file allows it at blocks a device can have. */
static void backing_try_direct(struct backing *b, const char *proc_path, int flags)
{
	unsigned char stx[BACKING_STATX_SIZE];
	uint32_t mask, offset_align, memory_align;
	int fd;

	memset(stx, 0, sizeof(stx));
	if (syscall(SYS_statx, b->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, stx) < 0)
		return;
	memcpy(&mask, stx, sizeof(mask));
	memcpy(&memory_align, stx + BACKING_STATX_DIO_MEM, sizeof(memory_align));
	memcpy(&offset_align, stx + BACKING_STATX_DIO_OFFSET, sizeof(offset_align));
	if (!(mask & STATX_DIOALIGN) || !offset_align || offset_align > BACKING_BLOCK_MAX ||
	    memory_align > BACKING_BLOCK_MAX)
		return;
	fd = open(proc_path, flags | O_DIRECT);
	if (fd < 0)
		return;
	close_fdp(&b->fd);
	b->fd = fd;
	b->direct = true;
	backing_measure_disk(b);
	b->memory_align_bytes = memory_align;
	if (b->logical_block_bytes < offset_align)
		b->logical_block_bytes = offset_align;
	if (b->physical_block_bytes < b->logical_block_bytes)
		b->physical_block_bytes = b->logical_block_bytes;
}

int backing_walk(const char *root, const char *path)
{
	auto_close int root_fd = -1;

	if (*path != '/')
		return -EINVAL;
	root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return root_fd < 0 ? -errno : walk_down(root_fd, path + 1, 0);
}

/* The path counts only if we, following it ourselves, come to the same file. */
static int backing_resolve(struct backing *b, const struct stat *st, const char *root,
			   struct err *e)
{
	char link[64];
	auto_close int fd = -1;
	struct stat found;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", b->fd);
	n = readlink(link, b->path, sizeof(b->path));
	if (n < 0 || n == sizeof(b->path))
		return err_set(e, ENAMETOOLONG, "the backing file's path is too long");
	b->path[n] = '\0';
	fd = backing_walk(root, b->path);
	if (fd < 0 || fstat(fd, &found) < 0 || found.st_ino != st->st_ino ||
	    (S_ISREG(st->st_mode) && found.st_dev != st->st_dev) ||
	    (S_ISBLK(st->st_mode) && (!S_ISBLK(found.st_mode) || found.st_rdev != st->st_rdev)))
		return err_set(e, ESTALE,
			       "the backing file was renamed or removed, or has no path on the "
			       "host");
	return 0;
}

int backing_examine(struct backing *b, int fd, bool read_only, const struct policy *policy,
		    struct err *e)
{
	int flags = (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK;
	char filesystem[64], path[64];
	const char *root = "/";
	struct stat st;
	bool is_devtmpfs;
	int r;

	r = backing_filesystem(fd, filesystem, sizeof(filesystem), &root, e);
	if (r < 0)
		return r;
	is_devtmpfs = !strcmp(filesystem, "devtmpfs");
	if (!is_devtmpfs && !policy_filesystem_ok(policy, filesystem))
		return err_set(e, EPERM,
			       "the backing file is on %s, which the policy's "
			       "\"filesystems\" does not list",
			       filesystem);
	r = backing_check_access(fd, read_only, e);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "cannot look at the backing file");
	if (S_ISDIR(st.st_mode))
		return err_set(e, EISDIR, "the backing file is a directory");
	if (!S_ISBLK(st.st_mode) && (!S_ISREG(st.st_mode) || is_devtmpfs))
		return err_set(e, EINVAL,
			       "the backing file is neither a regular file nor a block "
			       "device");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	b->fd = open(path, flags);
	if (b->fd < 0)
		return err_sys(e, errno, "cannot open the backing file again");
	b->owner_uid = st.st_uid;
	b->raw_writers = st.st_uid != 0 || st.st_mode & S_IWOTH ||
			 (S_ISREG(st.st_mode) && st.st_mode & S_IWGRP);
	r = backing_measure(b, &st, e);
	if (r < 0)
		return r;
	r = backing_check_unused(b, fd, read_only, e);
	if (r < 0)
		return r;
	backing_try_direct(b, path, flags);
	return backing_resolve(b, &st, root, e);
}

static int backing_make_memory(struct backing *b, uint64_t bytes, struct err *e)
{
	b->fd = memfd_create("ublk-oci memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (b->fd < 0)
		return err_sys(e, errno, "cannot make a memory file");
	if (bytes > INT64_MAX || ftruncate(b->fd, (off_t)bytes) < 0 ||
	    fcntl(b->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_sys(e, bytes > INT64_MAX ? EFBIG : errno,
			       "cannot make a memory file of this size");
	b->bytes = bytes;
	b->logical_block_bytes = BACKING_BLOCK_MIN;
	b->physical_block_bytes = BACKING_BLOCK_MAX;
	return 0;
}

static int backing_make_zero(struct backing *b, uint64_t bytes, struct err *e)
{
	b->fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	return b->fd < 0 ? err_sys(e, errno, "cannot open /dev/zero") : 0;
}

static int (*const backing_makers[TARGET_END])(struct backing *b, uint64_t bytes, struct err *e) = {
	[TARGET_NULL] = backing_make_zero,
	[TARGET_MEMORY] = backing_make_memory,
};

int backing_make(struct backing *b, unsigned int target, uint64_t bytes, struct err *e)
{
	return target < TARGET_END && backing_makers[target] ? backing_makers[target](b, bytes, e)
							     : 0;
}
