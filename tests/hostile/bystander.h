/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One more client of a helper, while others attack: it comes again and again,
 * and keeps how long it waits.
 */
#pragma once

#include <sys/types.h>

#define BYSTANDER_WAITS_MAX 65536

struct bystander {
	const char *socket;
	unsigned int nr;
	unsigned int nr_refused; /* of them: there was no room */
	int ms[BYSTANDER_WAITS_MAX];
};

/* In memory that is shared with the processes made from here on. */
struct bystander *bystander_new(const char *socket);

/* A process that asks until it is killed. */
pid_t bystander_start(struct bystander *b);
void bystander_stop(pid_t pid);

/* How long percent of 100 clients wait at the most, that come at any moment. */
int bystander_percentile_ms(struct bystander *b, unsigned int percent);
