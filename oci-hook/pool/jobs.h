/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs under way that are no servers. No image has two: who made the store ask may be gone
 * while its program goes on, and what the next one removes would be made behind it.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "driver/base/err.h"
#include "oci-hook/pool/server.h"

#define JOBS_MAX 16

struct job {
	char image[SERVER_IMAGE_SIZE];
	pid_t pid;
};

struct jobs {
	struct job all[JOBS_MAX];
	size_t nr;
};

/* -EAGAIN: not now. */
int jobs_check(const struct jobs *j, const char *image, struct err *e);

/* After jobs_check(). */
void jobs_add(struct jobs *j, const char *image, pid_t pid);

/* A process has ended, which may be none of these. */
void jobs_ended(struct jobs *j, pid_t pid);
