/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/csi/target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/landlock.h"
#include "driver/base/text.h"

#define TARGET_DIR_MODE 0750
#define TARGET_FILE_MODE 0640

/* What making and removing a place takes. Nothing in a volume is read or written. */
#define TARGET_ALLOWED                                                                             \
	(LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR |                             \
	 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE)

int target_confine(const char *root, const char *socket, struct err *e)
{
	auto_close int root_fd = -1, dir_fd = -1;
	char dir[PATH_MAX], *slash;

	if (text_copy(dir, sizeof(dir), socket) < 0)
		return err_set(e, ENAMETOOLONG, "the socket's path is too long");
	slash = strrchr(dir, '/');
	if (!slash)
		strcpy(dir, ".");
	else
		slash[slash == dir] = '\0';
	root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return err_sys(e, errno, "cannot open %s", root);
	dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return err_sys(e, errno, "cannot open %s", dir);
	return landlock_enter_but((const struct landlock_row[]){ { TARGET_ALLOWED, root_fd },
								 { LANDLOCK_ACCESS_FS_REMOVE_FILE,
								   dir_fd } },
				  2, e);
}

int target_check(const char *path, struct err *e)
{
	const char *why;

	return text_mount_path_ok(path, &why) ? 0 : err_set(e, EINVAL, "the path is none: %s", why);
}

/* A file is not opened for it, so that none can be written. */
static int target_make(const char *path, bool file)
{
	int r = file ? mknod(path, S_IFREG | TARGET_FILE_MODE, 0) : mkdir(path, TARGET_DIR_MODE);

	return r < 0 ? -errno : 0;
}

int target_open(const char *path, bool file, bool *ret_made, struct err *e)
{
	auto_close int fd = -1;
	struct stat st;
	int r = target_make(path, file);

	if (r < 0 && r != -EEXIST)
		return err_sys(e, -r, "cannot make %s", path);
	*ret_made = r == 0;
	fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "cannot open %s", path);
	if (file ? !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode) : !S_ISDIR(st.st_mode))
		return err_set(e, EEXIST, "%s is no %s", path, file ? "file" : "directory");
	return fd_take(&fd);
}

int target_remove(const char *path, struct err *e)
{
	struct stat st;
	int r;

	if (lstat(path, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR
			       ? 0
			       : err_sys(e, errno, "cannot look at %s", path);
	if (S_ISDIR(st.st_mode))
		r = rmdir(path);
	else if (S_ISREG(st.st_mode) && !st.st_size)
		r = unlink(path);
	else
		return 0;
	if (r < 0 && errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST)
		return err_sys(e, errno, "cannot remove %s", path);
	return 0;
}
