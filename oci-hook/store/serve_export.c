/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/store/serve_verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "oci-hook/store/copy.h"
#include "oci-hook/store/device.h"

static int export_check(int fd, struct err *e)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	/* Empty, so that what is a hole there reads as zeroes. */
	if (flags < 0 || flags & (O_PATH | O_APPEND) || (flags & O_ACCMODE) == O_RDONLY ||
	    fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size)
		return err_set(e, EINVAL, "a volume is exported to a new, empty file");
	return 0;
}

int serve_export(struct serve *s, struct err *e)
{
	const struct copy_watch watch = { serve_step, s };
	auto_place struct place place = PLACE_INIT;
	auto_close int fd = -1;
	int r;

	r = export_check(s->data_fd, e);
	if (r == 0)
		r = serve_find(s, s->ask.name, LOCK_SH, &place, e);
	if (r == 0)
		r = serve_decide(s, POLICY_SNAPSHOT, &place, true, e);
	if (r == 0)
		r = device_check_free(s->ask.name, true, e);
	if (r < 0)
		return r;
	fd = openat(place.dir_fd, VOLUME_DATA, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || ftruncate(s->data_fd, (off_t)place.volume.size_bytes) < 0)
		return err_sys(e, errno, "cannot export volume %s", s->ask.name);
	r = copy_data(fd, s->data_fd, place.volume.size_bytes, &watch, e);
	if (r == 0 && fsync(s->data_fd) < 0)
		r = err_sys(e, errno, "cannot write the file");
	return r;
}
