/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/limits.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "oci-hook/cli/show.h"

/* Where cgroup v2 is; with version 1 there it is below. */
static const char *const limits_roots[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

bool limits_parse(const char *line, uint32_t major, uint32_t minor, struct wire_io *ret)
{
	const struct {
		const char *key;
		uint64_t *limit;
	} parts[] = {
		{ " rbps=", &ret->read_bytes },
		{ " wbps=", &ret->write_bytes },
		{ " riops=", &ret->read_ops },
		{ " wiops=", &ret->write_ops },
	};
	char name[32];
	size_t n = (size_t)snprintf(name, sizeof(name), "%" PRIu32 ":%" PRIu32, major, minor);

	*ret = (struct wire_io){ 0 };
	if (strncmp(line, name, n) || line[n] != ' ')
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		const char *found = strstr(line, parts[i].key);

		if (found)
			*parts[i].limit = strtoull(found + strlen(parts[i].key), NULL, 10);
	}
	return true;
}

/* Its path in version 2; NULL: it is gone, or may not be looked at. */
static char *limits_cgroup(pid_t pid)
{
	auto_fclose FILE *f = NULL;
	char path[32], line[PATH_MAX + 16];

	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	f = pid > 0 ? fopen(path, "re") : NULL;
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "0::/", 4))
			return strdup(line + 3);
	}
	return NULL;
}

static FILE *limits_open(const char *cgroup)
{
	char path[PATH_MAX + 64];
	FILE *f = NULL;

	for (size_t i = 0; !f && i < ARRAY_SIZE(limits_roots); i++) {
		snprintf(path, sizeof(path), "%s%s/io.max", limits_roots[i], cgroup);
		f = fopen(path, "re");
	}
	return f;
}

static void limits_add_at(struct json_object *list, const char *cgroup, uint32_t major,
			  uint32_t minor)
{
	auto_fclose FILE *f = limits_open(cgroup);
	struct json_object *o;
	struct wire_io io;
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		if (!limits_parse(line, major, minor, &io))
			continue;
		o = show_io(&io);
		show_add_text(o, "cgroup", cgroup);
		json_object_array_add(list, o);
	}
}

/* In the cgroup of this process and all above it. */
static struct json_object *limits_of(pid_t pid, uint32_t major, uint32_t minor)
{
	auto_free char *cgroup = limits_cgroup(pid);
	struct json_object *list;
	char *end;

	if (!cgroup || !major)
		return NULL;
	list = json_object_new_array();
	while ((end = strrchr(cgroup, '/')) && cgroup[1]) {
		limits_add_at(list, cgroup, major, minor);
		*end = '\0';
	}
	return list;
}

/* Limits are of whole disks: that of a partition. */
static dev_t limits_disk(dev_t dev)
{
	auto_fclose FILE *f = NULL;
	unsigned int major, minor;
	char path[80];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/partition", major(dev), minor(dev));
	if (access(path, F_OK) < 0)
		return dev;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/../dev", major(dev), minor(dev));
	f = fopen(path, "re");
	return f && fscanf(f, "%u:%u", &major, &minor) == 2 ? makedev(major, minor) : dev;
}

void limits_add(struct json_object *o, const struct wire_details *d)
{
	struct json_object *both = json_object_new_object();
	dev_t disk = limits_disk((dev_t)d->backing_dev);

	json_object_object_add(both, "device",
			       limits_of(d->device.container_pid, d->device.major,
					 d->device.minor));
	json_object_object_add(both, "backing",
			       limits_of(d->device.worker_pid, major(disk), minor(disk)));
	json_object_object_add(o, "io_limits_in_force", both);
}
