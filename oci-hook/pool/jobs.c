/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/pool/jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"

static void jobs_forget_ended(struct jobs *j)
{
	for (size_t i = j->nr; i-- > 0;) {
		struct pollfd ended = { .fd = j->all[i].fd };

		if (poll(&ended, 1, 0) <= 0)
			continue;
		close_fdp(&j->all[i].fd);
		j->all[i] = j->all[--j->nr];
	}
}

int jobs_check(struct jobs *j, const char *image, struct err *e)
{
	jobs_forget_ended(j);
	for (size_t i = 0; i < j->nr; i++) {
		if (!strcmp(j->all[i].image, image))
			return err_set(e, EAGAIN,
				       "it is still at work on image %s; try again later", image);
	}
	return j->nr == JOBS_MAX ? err_set(e, EAGAIN, "too much is under way; try again") : 0;
}

int jobs_begin(struct jobs *j, const char *image, int *ret_fd, struct err *e)
{
	int r = jobs_check(j, image, e), ends[2];
	struct job *job = &j->all[j->nr];

	if (r < 0)
		return r;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, errno, "cannot make a pipe");
	job->fd = ends[0];
	text_copy(job->image, sizeof(job->image), image);
	j->nr++;
	*ret_fd = ends[1];
	return 0;
}
