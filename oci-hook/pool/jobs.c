/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/pool/jobs.h"

#include <errno.h>
#include <string.h>

#include "driver/base/text.h"

int jobs_check(const struct jobs *j, const char *image, struct err *e)
{
	for (size_t i = 0; i < j->nr; i++) {
		if (!strcmp(j->all[i].image, image))
			return err_set(e, EAGAIN,
				       "it is still at work on image %s; try again later", image);
	}
	return j->nr == JOBS_MAX ? err_set(e, EAGAIN, "too much is under way; try again") : 0;
}

void jobs_add(struct jobs *j, const char *image, pid_t pid)
{
	struct job *job = &j->all[j->nr++];

	text_copy(job->image, sizeof(job->image), image);
	job->pid = pid;
}

void jobs_ended(struct jobs *j, pid_t pid)
{
	for (size_t i = 0; i < j->nr; i++) {
		if (j->all[i].pid != pid)
			continue;
		j->all[i] = j->all[--j->nr];
		return;
	}
}
