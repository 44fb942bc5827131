/* SPDX-License-Identifier: Apache-2.0 */
/* A caller that means harm, and what it has met so far; shared with the processes it makes. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#define CALLER_ROUNDS 4
#define CALLER_USER 1000 /* who may connect, and is not root */
#define CALLER_DEVICES_MAX 8

struct caller {
	pid_t helper;
	unsigned int seed;
	unsigned int round;
	unsigned long nr_attempts;
	unsigned long nr_given;	 /* what was allowed, and must not have been */
	unsigned int nr_devices; /* each has a worker, which is a child of the helper's */
	uint64_t devices[CALLER_DEVICES_MAX];
};

/* A process of CALLER_USER; 0 in it. */
pid_t caller_fork_user(void);
