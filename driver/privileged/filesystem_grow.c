/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/filesystem_grow.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/child.h"
#include "driver/privileged/filesystem_mount.h"
#include "targets/catalog.h"

/* Linux's, of <ext2fs/ext2_fs.h> and <xfs/xfs_fs.h>, which not every machine that builds has. */
#define FILESYSTEM_GROW_EXT4 _IOW('f', 16, uint64_t)

struct filesystem_grow_xfs_geometry {
	uint32_t block_bytes;
	uint32_t pad[6];
	uint32_t inode_percent;
	uint64_t blocks;
	uint64_t rest[9];
};
static_assert(sizeof(struct filesystem_grow_xfs_geometry) == 112 &&
		      offsetof(struct filesystem_grow_xfs_geometry, inode_percent) == 28 &&
		      offsetof(struct filesystem_grow_xfs_geometry, blocks) == 32,
	      "as XFS_IOC_FSGEOMETRY_V1 has it");

struct filesystem_grow_xfs {
	uint64_t blocks;
	uint32_t inode_percent;
};
#define FILESYSTEM_GROW_XFS_GEOMETRY _IOR('X', 100, struct filesystem_grow_xfs_geometry)
#define FILESYSTEM_GROW_XFS _IOW('X', 110, struct filesystem_grow_xfs)

static int filesystem_grow_ext4(int fd, uint64_t device_bytes)
{
	struct statfs fs;
	uint64_t blocks;

	if (fstatfs(fd, &fs) < 0)
		return -errno;
	blocks = device_bytes / (uint64_t)fs.f_bsize;
	return ioctl(fd, FILESYSTEM_GROW_EXT4, &blocks) < 0 ? -errno : 0;
}

static int filesystem_grow_xfs(int fd, uint64_t device_bytes)
{
	struct filesystem_grow_xfs_geometry now = { 0 };
	struct filesystem_grow_xfs grow;

	if (ioctl(fd, FILESYSTEM_GROW_XFS_GEOMETRY, &now) < 0)
		return -errno;
	if (!now.block_bytes)
		return -EINVAL;
	grow = (struct filesystem_grow_xfs){ device_bytes / now.block_bytes, now.inode_percent };
	if (grow.blocks <= now.blocks)
		return 0;
	return ioctl(fd, FILESYSTEM_GROW_XFS, &grow) < 0 ? -errno : 0;
}

static int filesystem_grow_btrfs(int fd, uint64_t device_bytes)
{
	struct btrfs_ioctl_vol_args args = { .name = "max" };

	(void)device_bytes; /* it asks the device */
	return ioctl(fd, BTRFS_IOC_RESIZE, &args) < 0 ? -errno : 0;
}

static int (*const filesystem_grow_of[FILESYSTEM_END])(int fd, uint64_t device_bytes) = {
	[FILESYSTEM_EXT4] = filesystem_grow_ext4,
	[FILESYSTEM_XFS] = filesystem_grow_xfs,
	[FILESYSTEM_BTRFS] = filesystem_grow_btrfs,
};

static uint64_t filesystem_grow_bytes(const char *source)
{
	auto_close int fd = open(source, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	uint64_t bytes = 0;

	return fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes) < 0 ? 0 : bytes;
}

/*
 * Through a mount of its own, in no namespace: who has it mounted may have unmounted it, or made
 * it read-only, and nothing of theirs is walked through.
 */
static int filesystem_grow_inside(void *arg, struct err *e)
{
	const struct filesystem_spec *spec = arg;
	const char *name = catalog_filesystem(spec->filesystem);
	auto_close int mount_fd = filesystem_mount_new(spec, -1, e), fd = -1;
	char source[FILESYSTEM_MOUNT_SOURCE_SIZE];
	uint64_t bytes;
	int r;

	if (mount_fd < 0)
		return mount_fd;
	filesystem_mount_source(spec, source);
	fd = openat(mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "cannot open the %s of %s", name, source);
	bytes = filesystem_grow_bytes(source);
	r = bytes ? filesystem_grow_of[spec->filesystem](fd, bytes) : -EIO;
	return r < 0 ? err_sys(e, -r, "cannot make the %s of %s larger", name, source) : 0;
}

int filesystem_grow(const struct filesystem_spec *spec, int timeout_ms, struct err *e)
{
	struct filesystem_spec own = *spec;
	int r;

	own.shared = true;
	own.mount_read_only = false;
	r = child_run(filesystem_grow_inside, &own, timeout_ms, e);
	return r == -ETIMEDOUT ? err_prefix(e, r, "making its file system larger") : r;
}
