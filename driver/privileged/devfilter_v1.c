/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/devfilter_v1.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/devfilter_print.h"

bool devfilter_v1_is(int cgroup_fd)
{
	struct statfs s;

	return !fstatfs(cgroup_fd, &s) && s.f_type == CGROUP_SUPER_MAGIC;
}

/* Where everything is allowed there is no list to change. */
static int devfilter_v1_write(int cgroup_fd, const char *file, uint32_t major, uint32_t minor,
			      const char *access, struct err *e)
{
	auto_close int list_fd = openat(cgroup_fd, "devices.list", O_RDONLY | O_CLOEXEC);
	auto_close int fd = openat(cgroup_fd, file, O_WRONLY | O_CLOEXEC);
	char line[48], first = 0;
	int n;

	if (list_fd < 0 || fd < 0)
		return err_sys(e, errno, "cannot open the cgroup's %s", file);
	if (read(list_fd, &first, 1) == 1 && first == 'a')
		return 0;
	n = snprintf(line, sizeof(line), "b %" PRIu32 ":%" PRIu32 " %s", major, minor, access);
	if (write(fd, line, (size_t)n) < 0)
		return err_sys(e, errno, "cannot write \"%s\" to the cgroup's %s", line, file);
	return 0;
}

int devfilter_v1_allow(int cgroup_fd, uint32_t major, uint32_t minor, unsigned int how,
		       struct err *e)
{
	return devfilter_v1_write(cgroup_fd, "devices.allow", major, minor,
				  how & DEVFILTER_WRITE ? "rw" : "r", e);
}

int devfilter_v1_deny(int cgroup_fd, uint32_t major, uint32_t minor, struct err *e)
{
	return devfilter_v1_write(cgroup_fd, "devices.deny", major, minor, "rw", e);
}

/* Of the kernel's own list any change counts; whether it lets a device through is to be tried. */
int devfilter_v1_look(int cgroup_fd, struct devfilter_look *ret, struct err *e)
{
	auto_close int fd = openat(cgroup_fd, "devices.list", O_RDONLY | O_CLOEXEC);
	char text[4096];
	ssize_t n;

	if (fd < 0)
		return err_sys(e, errno, "cannot open the cgroup's devices.list");
	while ((n = read(fd, text, sizeof(text))) > 0)
		devfilter_print_add(&ret->print, text, (size_t)n);
	ret->ours = false;
	return n < 0 ? err_sys(e, errno, "cannot read the cgroup's devices.list") : 0;
}
