/* SPDX-License-Identifier: Apache-2.0 */
/* A caller that means harm, and what it has met so far. */
#pragma once

#include <sys/types.h>

#define CALLER_ROUNDS 4

struct caller {
	pid_t helper;
	unsigned int seed;
	int round;
	int slack_ms; /* and so much more, another client may have to wait */
	int idle_ms;
	unsigned int nr_late; /* rounds in which another client waited too long */
	unsigned long nr_attempts;
	unsigned long nr_given; /* what was allowed, and must not have been */
};

/* Behind that, another client waited so long; -1: it got no answer, which ends the test. */
void caller_waited(struct caller *c, const char *behind, int waited_ms);
