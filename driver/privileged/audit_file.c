/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/audit_file.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "driver/base/cleanup.h"

#define AUDIT_FILE_GROUP "adm" /* who may read logs */

int audit_file_prepare(const char *dir, struct err *e)
{
	const struct group *group;

	if (mkdir(dir, 0750) < 0)
		return errno == EEXIST ? 0 : err_sys(e, errno, "cannot make %s", dir);
	group = getgrnam(AUDIT_FILE_GROUP);
	if ((group && chown(dir, (uid_t)-1, group->gr_gid) < 0) || chmod(dir, 0750) < 0)
		return err_sys(e, errno, "cannot set up %s", dir);
	return 0;
}

/* Who can write the directory can put another file in the place of ours. */
static int audit_file_open_dir(const char *dir, gid_t *ret_gid, struct err *e)
{
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "%s", dir);
	if (st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
		return err_set(e, EPERM,
			       "%s: others than its owner may write it, or it is not ours", dir);
	*ret_gid = st.st_gid;
	return fd_take(&fd);
}

static int audit_file_open(int dir_fd, const char *name, gid_t gid)
{
	/* Never waits, should something else than a file be there. */
	const int flags = O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
	int fd = openat(dir_fd, name, flags);

	if (fd >= 0 || errno != ENOENT)
		return fd < 0 ? -errno : fd;
	fd = openat(dir_fd, name, flags | O_CREAT | O_EXCL, 0640);
	if (fd < 0 && errno == EEXIST)
		fd = openat(dir_fd, name, flags); /* another child was faster */
	else if (fd >= 0 && (fchown(fd, (uid_t)-1, gid) < 0 || fchmod(fd, 0640) < 0))
		close_fdp(&fd);
	return fd < 0 ? -errno : fd;
}

/* What a full disk cut off must not be the beginning of this line too. */
static bool audit_file_ends_mid_line(int fd, off_t size)
{
	char last;

	return size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

int audit_file_append(const char *dir, const char *name, const char *line, size_t size,
		      struct err *e)
{
	struct iovec parts[] = { { (void *)"\n", 0 }, { (void *)line, size } };
	auto_close int dir_fd = -1, fd = -1;
	struct stat st;
	ssize_t n;
	gid_t gid = 0;

	dir_fd = audit_file_open_dir(dir, &gid, e);
	if (dir_fd < 0)
		return dir_fd;
	fd = audit_file_open(dir_fd, name, gid);
	if (fd < 0)
		return err_sys(e, -fd, "%s/%s", dir, name);
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "%s/%s", dir, name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "%s/%s: it is not a regular file", dir, name);
	parts[0].iov_len = audit_file_ends_mid_line(fd, st.st_size);
	n = writev(fd, parts, ARRAY_SIZE(parts));
	if (n < 0)
		return err_sys(e, errno, "%s/%s", dir, name);
	if ((size_t)n != parts[0].iov_len + size)
		return err_set(e, ENOSPC, "%s/%s: there is no room for a whole line", dir, name);
	return 0;
}
