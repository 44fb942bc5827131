/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/filesystem_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "targets/catalog.h"

/* Linux 6.6; an enumerator of <linux/mount.h>, which older C libraries do not have. */
#define FILESYSTEM_MOUNT_CREATE_EXCL 8

#define FILESYSTEM_MOUNT_OPTIONS_MAX 3
#define FILESYSTEM_MOUNT_WORDS_SIZE 160

/*
 * What a disk says must not decide what happens to the host: an ext4 superblock may ask for a
 * panic at the first error. Values that are NULL are flags.
 */
static const struct {
	const char *key;
	const char *value;
} filesystem_mount_options[FILESYSTEM_END][FILESYSTEM_MOUNT_OPTIONS_MAX] = {
	[FILESYSTEM_EXT4] = { { "errors", "remount-ro" } },
	/* The same image may be mounted already, elsewhere and as another device. */
	[FILESYSTEM_XFS] = { { "nouuid", NULL } },
	/* One that was interrupted would go on, with the host's processors. */
	[FILESYSTEM_BTRFS] = { { "skip_balance", NULL } },
};

void filesystem_mount_source(const struct filesystem_spec *spec,
			     char source[FILESYSTEM_MOUNT_SOURCE_SIZE])
{
	snprintf(source, FILESYSTEM_MOUNT_SOURCE_SIZE, "/dev/ublkb%" PRIu32, spec->dev_id);
}

/* What the file system says of a failure, in its last line: "e ext4: bad geometry". */
static void filesystem_mount_words(int fs_fd, char words[FILESYSTEM_MOUNT_WORDS_SIZE])
{
	char line[512];
	ssize_t n;

	words[0] = '\0';
	while ((n = read(fs_fd, line, sizeof(line) - 1)) > 0) {
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
		for (char *p = line; *p; p++)
			*p = *p < ' ' || *p > '~' ? '?' : *p;
		if (n > 2 && line[0] != 'i')
			snprintf(words, FILESYSTEM_MOUNT_WORDS_SIZE, " (%.*s)",
				 FILESYSTEM_MOUNT_WORDS_SIZE - 4, line + 2);
	}
}

static int filesystem_mount_configure(int fs_fd, const struct filesystem_spec *spec,
				      const char *source)
{
	unsigned int id = spec->filesystem;
	const char *key, *value;

	if (fsconfig(fs_fd, FSCONFIG_SET_STRING, "source", source, 0) < 0)
		return -errno;
	for (size_t i = 0; i < FILESYSTEM_MOUNT_OPTIONS_MAX; i++) {
		key = filesystem_mount_options[id][i].key;
		value = filesystem_mount_options[id][i].value;
		if (key && fsconfig(fs_fd, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key,
				    value, 0) < 0)
			return -errno;
	}
	if (spec->read_only && fsconfig(fs_fd, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0)
		return -errno;
	/*
	 * Never one that is there, unless it is known to be this device's: it would be of the
	 * device that had this number before.
	 */
	return fsconfig(fs_fd, spec->shared ? FSCONFIG_CMD_CREATE : FILESYSTEM_MOUNT_CREATE_EXCL,
			NULL, NULL, 0) < 0
		       ? -errno
		       : 0;
}

static int filesystem_mount_check_source(const struct filesystem_spec *spec, const char *source,
					 struct err *e)
{
	struct stat st;

	if (stat(source, &st) < 0)
		return err_sys(e, errno, "cannot look at %s", source);
	if (!S_ISBLK(st.st_mode) || st.st_rdev != makedev(spec->major, spec->minor))
		return err_set(e, ENODEV, "%s is not the device that was started", source);
	return 0;
}

static int filesystem_mount_map_ids(const struct filesystem_spec *spec, int user_ns_fd,
				    int mount_fd, struct err *e)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_IDMAP,
		.userns_fd = (uint64_t)user_ns_fd,
	};

	if (user_ns_fd < 0 || !mount_setattr(mount_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)))
		return 0;
	return err_sys(e, errno, "cannot map the ids of %s into the container's user namespace",
		       catalog_filesystem(spec->filesystem));
}

int filesystem_mount_new(const struct filesystem_spec *spec, int user_ns_fd, struct err *e)
{
	const char *name = catalog_filesystem(spec->filesystem);
	auto_close int fs_fd = -1, mount_fd = -1;
	char words[FILESYSTEM_MOUNT_WORDS_SIZE], source[FILESYSTEM_MOUNT_SOURCE_SIZE];
	int r;

	filesystem_mount_source(spec, source);
	r = filesystem_mount_check_source(spec, source, e);
	if (r < 0)
		return r;
	fs_fd = fsopen(name, FSOPEN_CLOEXEC);
	if (fs_fd < 0)
		return errno == ENODEV ? err_set(e, ENODEV, "this kernel has no %s", name)
				       : err_sys(e, errno, "cannot begin to mount %s", name);
	r = filesystem_mount_configure(fs_fd, spec, source);
	if (r == -EBUSY)
		return err_set(e, EBUSY,
			       "a file system of an earlier device %" PRIu32 ":%" PRIu32
			       " is still in use somewhere",
			       spec->major, spec->minor);
	filesystem_mount_words(fs_fd, words);
	if (r < 0)
		return err_sys(e, -r, "cannot mount it as %s%s", name, words);
	mount_fd =
		fsmount(fs_fd, FSMOUNT_CLOEXEC,
			MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
				(spec->read_only || spec->mount_read_only ? MOUNT_ATTR_RDONLY : 0));
	if (mount_fd < 0)
		return err_sys(e, errno, "cannot mount it as %s", name);
	r = filesystem_mount_map_ids(spec, user_ns_fd, mount_fd, e);
	return r < 0 ? r : fd_take(&mount_fd);
}
