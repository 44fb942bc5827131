/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/iolimit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "driver/privileged/cgroup.h"
#include "driver/privileged/child.h"
#include "driver/privileged/hierarchy.h"
#include "driver/privileged/process.h"
#include "driver/privileged/walk.h"

#define IOLIMIT_PATH_SIZE 512
#define IOLIMIT_DEPTH_MAX 64

/* Writing may wait for a queue that does not come to rest, so a child does it. */
struct iolimit_job {
	int cgroup_fd;
	const char *cgroup;
	char line[IOLIMIT_LINE_SIZE];
};

void iolimit_line(char line[IOLIMIT_LINE_SIZE], uint32_t major, uint32_t minor,
		  const struct wire_io *io)
{
	const struct {
		const char *key;
		uint64_t limit;
	} parts[] = {
		{ "rbps", io->read_bytes },
		{ "wbps", io->write_bytes },
		{ "riops", io->read_ops },
		{ "wiops", io->write_ops },
	};
	size_t n = (size_t)snprintf(line, IOLIMIT_LINE_SIZE, "%u:%u", major, minor);

	static_assert(IOLIMIT_LINE_SIZE >= 2 * 11 + 4 * (sizeof(" riops=") + 20), "a line fits");
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		n += (size_t)snprintf(line + n, IOLIMIT_LINE_SIZE - n, " %s=", parts[i].key);
		n += (size_t)(parts[i].limit ? snprintf(line + n, IOLIMIT_LINE_SIZE - n, "%" PRIu64,
							parts[i].limit)
					     : snprintf(line + n, IOLIMIT_LINE_SIZE - n, "max"));
	}
}

static int iolimit_open(int dir_fd)
{
	int fd = openat(dir_fd, "io.max", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

static int iolimit_write(int fd, const char *line)
{
	return write(fd, line, strlen(line)) < 0 ? -errno : 0;
}

/* The nearest io.max that is root's: its fd, -ENOENT when there is none, or -errno. */
static int iolimit_climb(int cgroup_fd)
{
	auto_close int dir_fd = fcntl(cgroup_fd, F_DUPFD_CLOEXEC, 3);
	struct stat st;
	int fd, above;

	for (unsigned int i = 0; dir_fd >= 0 && i < IOLIMIT_DEPTH_MAX; i++) {
		fd = iolimit_open(dir_fd);
		if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == 0)
			return fd;
		if (fd < 0 && fd != -ENOENT)
			return fd;
		close_fdp(&fd);
		/* Above the hierarchy's root is another file system. */
		above = walk_up(dir_fd);
		close_fdp(&dir_fd);
		dir_fd = above;
	}
	return -ENOENT;
}

static int iolimit_set_work(void *arg, struct err *e)
{
	const struct iolimit_job *job = arg;
	auto_close int fd = iolimit_climb(job->cgroup_fd);
	int r;

	if (fd == -ENOENT)
		return err_set(e, ENOENT,
			       "the container's cgroup has no io controller: enable it from the "
			       "root down, echo +io >" HIERARCHY_TOP
			       "/cgroup.subtree_control, or IOAccounting=yes in its systemd unit");
	if (fd < 0)
		return err_sys(e, -fd, "cannot open io.max of the container's cgroup");
	r = iolimit_write(fd, job->line);
	return r < 0 ? err_sys(e, -r, "cannot write '%s' to io.max of the container's cgroup",
			       job->line)
		     : 0;
}

int iolimit_set(int cgroup_fd, uint32_t major, uint32_t minor, const struct wire_io *io,
		int timeout_ms, struct err *e)
{
	struct iolimit_job job = { .cgroup_fd = cgroup_fd };

	iolimit_line(job.line, major, minor, io);
	return child_run(iolimit_set_work, &job, timeout_ms, e);
}

bool iolimit_delegated(int cgroup_fd)
{
	struct stat st;

	if (fstatat(cgroup_fd, "io.max", &st, AT_SYMLINK_NOFOLLOW) < 0 && fstat(cgroup_fd, &st) < 0)
		return false;
	return st.st_uid != 0;
}

/* --- the disk behind a device ------------------------------------------------------------ */

static dev_t iolimit_read_dev(const char *path)
{
	unsigned int major, minor;
	char text[32];

	if (process_read(AT_FDCWD, path, text, sizeof(text)) <= 0 ||
	    sscanf(text, "%u:%u", &major, &minor) != 2)
		return 0;
	return makedev(major, minor);
}

dev_t iolimit_disk(dev_t dev)
{
	char path[96], above[sizeof(path) + sizeof("/../dev")];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/partition", major(dev), minor(dev));
	snprintf(above, sizeof(above), "/sys/dev/block/%u:%u/%sdev", major(dev), minor(dev),
		 access(path, F_OK) == 0 ? "../" : "");
	return iolimit_read_dev(above);
}

static int iolimit_set_behind_work(void *arg, struct err *e)
{
	const struct iolimit_job *job = arg;
	auto_close int dir_fd = open(job->cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_close int fd = -1;
	int r;

	if (dir_fd < 0)
		return err_sys(e, errno, "cannot open the worker's cgroup");
	fd = iolimit_open(dir_fd);
	if (fd == -ENOENT) {
		r = cgroup_share_io(job->cgroup);
		if (r < 0)
			return err_sys(e, -r, "the worker's cgroup has no io controller");
		fd = iolimit_open(dir_fd);
	}
	if (fd < 0)
		return err_sys(e, -fd, "cannot open io.max of the worker's cgroup");
	r = iolimit_write(fd, job->line);
	return r < 0 ? err_sys(e, -r, "cannot write '%s' to io.max of the worker's cgroup",
			       job->line)
		     : 0;
}

int iolimit_set_behind(const char *cgroup, dev_t dev, const struct wire_io *io, int timeout_ms,
		       struct err *e)
{
	struct iolimit_job job = { .cgroup_fd = -1, .cgroup = cgroup };
	dev_t disk = iolimit_disk(dev);

	if (!disk)
		return err_set(e, ENODEV, "what is behind the device is on no disk");
	iolimit_line(job.line, major(disk), minor(disk), io);
	return child_run(iolimit_set_behind_work, &job, timeout_ms, e);
}

/* --- the way back ------------------------------------------------------------------------ */

/* One cgroup on the way up. */
static int iolimit_lift_at(int root_fd, const char *path, const char *line)
{
	auto_close int dir_fd = walk_down(root_fd, path, WALK_DIRECTORY | WALK_ONE_MOUNT);
	auto_close int fd = -1;

	if (dir_fd < 0)
		return dir_fd == -ENOENT ? 0 : dir_fd;
	fd = iolimit_open(dir_fd);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	return iolimit_write(fd, line);
}

static int iolimit_lift_work(void *arg, struct err *e)
{
	const struct iolimit_job *job = arg;
	const char *root = hierarchy_root();
	auto_close int root_fd = root ? open(root, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	char path[IOLIMIT_PATH_SIZE], *end;
	int r;

	if (!root)
		return 0;
	if (root_fd < 0)
		return err_sys(e, errno, "cannot open %s", root);
	if (text_copy(path, sizeof(path), job->cgroup) < 0)
		return err_set(e, ENAMETOOLONG, "the path of the container's cgroup is too long");
	while ((end = strrchr(path, '/')) && path[1]) {
		r = iolimit_lift_at(root_fd, path + 1, job->line);
		if (r == -ENODEV)
			return 0; /* the device is gone, and its lines with it */
		if (r < 0)
			return err_sys(e, -r, "cannot write io.max of %s", path);
		*end = '\0';
	}
	return 0;
}

int iolimit_lift(const char *cgroup, uint32_t major, uint32_t minor, int timeout_ms, struct err *e)
{
	static const struct wire_io none = { 0 };
	struct iolimit_job job = { .cgroup_fd = -1, .cgroup = cgroup };

	iolimit_line(job.line, major, minor, &none);
	return child_run(iolimit_lift_work, &job, timeout_ms, e);
}
