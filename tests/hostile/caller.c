/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A caller that means harm:
 *
 *   caller PID [GROUP...]   every group, against the helper PID
 *
 * The first of a group's rounds warms up. After each round another client has
 * to be served as if nothing had happened, and after the last one the helper
 * has to be as it was after the first: its memory, its descriptors, no
 * children.
 */
#include "tests/hostile/caller.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "tests/hostile/ask.h"
#include "tests/hostile/group.h"
#include "tests/hostile/shape.h"

#define IDLE_TIMES 40  /* what is queued before a client, times what an idle one takes */
#define GROWTH_KIB 256 /* of the helper's memory, after the first round */

/* One late round of four is the machine's; what the helper does it does in each. */
void caller_waited(struct caller *c, const char *behind, int waited_ms)
{
	if (waited_ms >= 0 && waited_ms <= c->idle_ms * IDLE_TIMES + c->slack_ms)
		return;
	fprintf(stderr, "behind %s another client waited %d ms\n", behind, waited_ms);
	if (waited_ms < 0)
		exit(1);
	c->nr_late++;
}

static const struct group_row {
	const char *name;
	int slack_ms;
	void (*run)(struct caller *c);
} groups[] = {
	{ "sizes", 1000, group_sizes },
	{ "long", 1000, group_long },
	{ "heads", 1000, group_heads },
	{ "random", 1000, group_random },
	{ "mutated", 1000, group_mutated },
	{ "kinds", 1000, group_kinds },
	{ "counts", 1000, group_counts },
	{ "leavers", 1000, group_leavers },
	{ "slow", 1000, group_slow },
	{ "crowd", 1000, group_crowd },
	{ "user-crowd", 1000, group_crowd_of_user },
};

/* "ok ..." or "not ok ...", with what was measured. */
static bool group_try(struct caller *c, const struct group_row *g)
{
	struct shape first = { 0 }, last;
	int waited, longest = 0;
	int64_t begin = clock_now_ms();
	bool good;

	c->slack_ms = g->slack_ms;
	c->nr_attempts = 0;
	c->nr_given = 0;
	c->nr_late = 0;
	c->idle_ms = 0;
	for (int i = 0; i < 3; i++) {
		waited = ask_round_trip_ms();
		c->idle_ms = waited > c->idle_ms ? waited : c->idle_ms;
	}
	for (c->round = 0; c->round < CALLER_ROUNDS; c->round++) {
		g->run(c);
		waited = ask_round_trip_ms();
		caller_waited(c, g->name, waited);
		longest = waited < 0 || waited > longest ? waited : longest;
		if (waited < 0)
			break;
		if (!c->round)
			first = shape_settled(c->helper);
	}
	last = shape_settled(c->helper);
	good = waited >= 0 && c->nr_late <= 1 && !c->nr_given &&
	       last.rss_kib <= first.rss_kib + GROWTH_KIB && last.nr_fds == first.nr_fds &&
	       !last.nr_children;
	printf("%s caller: %s: %lu attempts, %lu given; then served in %d ms (idle %d ms), "
	       "memory %+ld KiB, descriptors %+ld, children %ld; %.1f s\n",
	       good ? "ok" : "not ok", g->name, c->nr_attempts, c->nr_given, longest, c->idle_ms,
	       last.rss_kib - first.rss_kib, last.nr_fds - first.nr_fds, last.nr_children,
	       (double)(clock_now_ms() - begin) / 1000);
	fflush(stdout);
	return good;
}

static bool group_wanted(const char *name, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++) {
		if (!strcmp(*names, name))
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct caller c = { .seed = 20261122 };
	const struct rlimit files = { 4096, 4096 };
	bool good = true;

	if (argc < 2) {
		fprintf(stderr, "usage: caller PID [GROUP...]\n");
		return 2;
	}
	c.helper = (pid_t)atoi(argv[1]);
	signal(SIGPIPE, SIG_IGN);
	setrlimit(RLIMIT_NOFILE, &files);
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		if (group_wanted(groups[i].name, argv + 2))
			good &= group_try(&c, &groups[i]);
	}
	return good ? 0 : 1;
}
