/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/volume-plugin/uses.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "driver/base/cleanup.h"
#include "oci-hook/volume-plugin/ask.h"

#define USES_GENERATION "%016" PRIx64 "-"
#define USES_GENERATION_SIZE 17
#define USES_NAME_SIZE (USES_GENERATION_SIZE + ASK_ID_MAX + 1)

static void use_name(char buf[USES_NAME_SIZE], uint64_t generation, const char *id)
{
	snprintf(buf, USES_NAME_SIZE, USES_GENERATION "%s", generation, id);
}

/* -1: there is none, and nobody uses the volume. */
static int volume_open(int dir_fd, const char *volume, int *ret_fd, struct err *e)
{
	*ret_fd = openat(dir_fd, volume, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*ret_fd < 0 && errno != ENOENT)
		return err_sys(e, errno, "cannot look who uses volume %s", volume);
	return 0;
}

int uses_count(int dir_fd, const char *volume, uint64_t generation, struct err *e)
{
	auto_closedir DIR *dir = NULL;
	char current[USES_NAME_SIZE];
	const struct dirent *entry;
	int fd, nr = 0;
	int r = volume_open(dir_fd, volume, &fd, e);

	if (r < 0 || fd < 0)
		return r;
	dir = fdopendir(fd);
	if (!dir) {
		r = err_sys(e, errno, "cannot look who uses volume %s", volume);
		close(fd);
		return r;
	}
	use_name(current, generation, "");
	while ((errno = 0, entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		if (!strncmp(entry->d_name, current, USES_GENERATION_SIZE))
			nr++;
		else
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	return errno ? err_sys(e, errno, "cannot look who uses volume %s", volume) : nr;
}

int uses_add(int dir_fd, const char *volume, uint64_t generation, const char *id, struct err *e)
{
	auto_close int fd = -1, file = -1;
	char name[USES_NAME_SIZE];
	int r = uses_count(dir_fd, volume, generation, e);

	if (r < 0)
		return r;
	if (r >= USES_MAX)
		return err_set(e, EUSERS, "%d containers use volume %s already", r, volume);
	if (mkdirat(dir_fd, volume, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "cannot note who uses volume %s", volume);
	r = volume_open(dir_fd, volume, &fd, e);
	if (r < 0)
		return r;
	use_name(name, generation, id);
	file = openat(fd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return file < 0 ? err_sys(e, errno, "cannot note who uses volume %s", volume) : 0;
}

int uses_drop(int dir_fd, const char *volume, uint64_t generation, const char *id, struct err *e)
{
	auto_close int fd = -1;
	char name[USES_NAME_SIZE];
	int r = volume_open(dir_fd, volume, &fd, e);

	if (r < 0 || fd < 0)
		return r;
	use_name(name, generation, id);
	if (unlinkat(fd, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, errno, "cannot forget who uses volume %s", volume);
	return 0;
}

int uses_clear(int dir_fd, const char *volume, struct err *e)
{
	int r = uses_count(dir_fd, volume, 0, e); /* no mount has this one */

	if (r < 0)
		return r;
	if (unlinkat(dir_fd, volume, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_sys(e, errno, "cannot forget who uses volume %s", volume);
	return 0;
}
