/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/node_map.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/fsuid.h>

#include "driver/base/cleanup.h"

int node_map_find(FILE *map, uint32_t id, uint32_t *ret)
{
	uint32_t inside, outside, nr;

	while (fscanf(map, "%" SCNu32 " %" SCNu32 " %" SCNu32, &inside, &outside, &nr) == 3) {
		if (id >= inside && id - inside < nr) {
			*ret = outside + (id - inside);
			return 0;
		}
	}
	return -ENOENT;
}

int node_map_id(int proc_fd, const char *file, uint32_t id, uint32_t *ret, struct err *e)
{
	auto_fclose FILE *map = NULL;
	auto_close int fd = openat(proc_fd, file, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, errno, "cannot open the container's %s", file);
	map = fdopen(fd, "r");
	if (!map)
		return err_sys(e, errno, "cannot read the container's %s", file);
	fd_take(&fd);
	if (node_map_find(map, id, ret) < 0)
		return err_set(e, ERANGE,
			       "%.3s %" PRIu32 " is not mapped in the container's user "
			       "namespace",
			       file, id);
	return 0;
}

int node_map_act_as(uid_t uid, gid_t gid, struct err *e)
{
	setfsgid(gid);
	setfsuid(uid);
	if ((uid_t)setfsuid((uid_t)-1) != uid || (gid_t)setfsgid((gid_t)-1) != gid)
		return err_set(e, EPERM, "cannot act as the container's root");
	return 0;
}

void node_map_act_as_root(void)
{
	setfsuid(0);
	setfsgid(0);
}
