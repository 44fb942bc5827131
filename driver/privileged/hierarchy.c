/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/hierarchy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/walk.h"

#define HIERARCHY_UNIFIED HIERARCHY_TOP "/unified"
#define HIERARCHY_DEVICES HIERARCHY_TOP "/devices"

static bool hierarchy_is(const char *path, long magic)
{
	struct statfs s;

	return statfs(path, &s) == 0 && (long)s.f_type == magic;
}

const char *hierarchy_root(void)
{
	static const char *const places[] = { HIERARCHY_TOP, HIERARCHY_UNIFIED, HIERARCHY_OWN };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (hierarchy_is(places[i], CGROUP2_SUPER_MAGIC))
			return places[i];
	}
	return NULL;
}

int hierarchy_mount(struct err *e)
{
	if (hierarchy_root())
		return 0;
	if (mkdir(HIERARCHY_OWN, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "cannot make " HIERARCHY_OWN);
	if (mount("cgroup2", HIERARCHY_OWN, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return err_sys(e, errno,
			       "workers need cgroup v2, which cannot be mounted at " HIERARCHY_OWN);
	return 0;
}

bool hierarchy_has_devices(void)
{
	/* Below version 2 this is a cgroup somebody called so. */
	return !hierarchy_is(HIERARCHY_TOP, CGROUP2_SUPER_MAGIC) &&
	       hierarchy_is(HIERARCHY_DEVICES, CGROUP_SUPER_MAGIC);
}

int hierarchy_open_devices(const char *cgroup)
{
	auto_close int root_fd = -1;

	if (!hierarchy_has_devices() || cgroup[0] != '/' || !cgroup[1])
		return -ENOENT;
	root_fd = open(HIERARCHY_DEVICES, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return root_fd < 0 ? -errno
			   : walk_down(root_fd, cgroup + 1, WALK_DIRECTORY | WALK_ONE_MOUNT);
}

/* Is it among these, with commas between them? */
static bool hierarchy_names_devices(const char *list, size_t n)
{
	static const char name[] = "devices";

	while (n) {
		const char *comma = memchr(list, ',', n);
		size_t k = comma ? (size_t)(comma - list) : n;

		if (k == strlen(name) && !memcmp(list, name, k))
			return true;
		k += !!comma;
		list += k;
		n -= k;
	}
	return false;
}

char *hierarchy_parse_devices(char *text)
{
	for (char *line = text, *end; *line; line = end + !!*end) {
		char *list = strchr(line, ':'), *path;

		end = strchrnul(line, '\n');
		path = list && list < end ? strchr(list + 1, ':') : NULL;
		if (!path || path > end || path[1] != '/' ||
		    !hierarchy_names_devices(list + 1, (size_t)(path - list - 1)))
			continue;
		*end = '\0';
		return path + 1;
	}
	return NULL;
}
