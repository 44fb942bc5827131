/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/dir_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"

#define DIR_LOCK_RETRY_MS 5

int dir_lock(int at_fd, const char *dir, int timeout_ms, int *ret_fd, struct err *e)
{
	int64_t deadline_ms = clock_deadline_ms(timeout_ms);
	auto_close int fd = openat(at_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, errno, "cannot open %s", dir);
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(e, errno, "cannot lock %s", dir);
		if (!clock_left_ms(deadline_ms))
			return err_set(e, ETIMEDOUT, "%s stayed locked for %d s", dir,
				       timeout_ms / 1000);
		clock_sleep_ms(DIR_LOCK_RETRY_MS);
	}
	*ret_fd = fd_take(&fd);
	return 0;
}
