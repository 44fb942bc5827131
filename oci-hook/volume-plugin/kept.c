/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/volume-plugin/kept.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEPT_SIZE 32

int kept_read(int dir_fd, const char *volume, struct kept *ret, struct err *e)
{
	char text[KEPT_SIZE] = "";
	ssize_t n = readlinkat(dir_fd, volume, text, sizeof(text) - 1);

	*ret = (struct kept){ 0 };
	if (n < 0 && errno == ENOENT)
		return 0;
	if (n < 0 && errno != EINVAL)
		return err_sys(e, errno, "cannot read how volume %s was made", volume);
	ret->read_only = !strncmp(text, "ro,", 3);
	if (ret->read_only || !strncmp(text, "rw,", 3)) {
		ret->filesystem = catalog_find_filesystem(text + 3);
		if (ret->filesystem || !text[3])
			return 0;
	}
	return err_set(e, EUCLEAN,
		       "how volume %s was made is not known: what has its name in the state "
		       "directory is another program's",
		       volume);
}

int kept_write(int dir_fd, const char *volume, const struct kept *kept, struct err *e)
{
	char text[KEPT_SIZE];

	kept_remove(dir_fd, volume);
	if (!kept->read_only && !kept->filesystem)
		return 0;
	snprintf(text, sizeof(text), "%s,%s", kept->read_only ? "ro" : "rw",
		 catalog_filesystem(kept->filesystem) ?: "");
	if (symlinkat(text, dir_fd, volume) < 0 || fsync(dir_fd) < 0)
		return err_sys(e, errno, "cannot keep how volume %s is made", volume);
	return 0;
}

void kept_remove(int dir_fd, const char *volume)
{
	unlinkat(dir_fd, volume, 0);
}
