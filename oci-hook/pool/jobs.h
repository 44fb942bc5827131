/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs under way that are no servers. No image has two: who made the store ask may be gone
 * while its program goes on, and what the next one removes would be made behind it.
 *
 * Whoever does a job has the other end of a pipe, and closes it before it answers.
 */
#pragma once

#include <stddef.h>

#include "driver/base/err.h"
#include "oci-hook/pool/server.h"

#define JOBS_MAX 16

struct job {
	char image[SERVER_IMAGE_SIZE];
	int fd;
};

struct jobs {
	struct job all[JOBS_MAX];
	size_t nr;
};

/* May one for this image begin? -EAGAIN: not now. */
int jobs_check(struct jobs *j, const char *image, struct err *e);

/* Begins it; *ret_fd: to be closed when it is over. */
int jobs_begin(struct jobs *j, const char *image, int *ret_fd, struct err *e);
