/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A caller that means harm:
 *
 *   caller PID SOCKET [GROUP...]   every group, against the helper PID
 *
 * The first of a group's rounds warms up. Others ask all the while, this helper
 * and the one behind SOCKET, which nobody attacks. After the last round the
 * helper has to be as it was after the first: its memory, its descriptors, no
 * children.
 */
#include "tests/hostile/caller.h"

#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "tests/hostile/ask.h"
#include "tests/hostile/attempt.h"
#include "tests/hostile/bystander.h"
#include "tests/hostile/group.h"
#include "tests/hostile/shape.h"

#define GROWTH_KIB 256 /* of the helper's memory, after the first round */
#define SERVED_MS 1000 /* what caller_served() bounds, */
#define IDLE_MS 100    /* on a machine where an idle helper takes no longer than that */
#define TURNS (2 * ATTEMPT_AT_ONCE + 1)
#define ROUND_MS 2000 /* a group that is done sooner begins again */

static const struct group_row {
	const char *name;
	void (*run)(struct caller *c);
	void (*begin)(struct caller *c); /* before the first round; or NULL */
	void (*end)(struct caller *c);
	bool user; /* the attacker is one, and has a user's room; else root */
	bool full; /* takes all the room there is: that others are told so is an answer */
} groups[] = {
	{ "sizes", group_sizes, .user = true },
	{ "long", group_long, .user = true },
	{ "heads", group_heads, .user = true },
	{ "random", group_random, .user = true },
	{ "mutated", group_mutated },
	{ "kinds", group_kinds },
	{ "counts", group_counts },
	{ "leavers", group_leavers, .user = true },
	{ "slow", group_slow, group_slow_begin, group_slow_end },
	{ "crowd", group_crowd, .full = true },
	{ "user-crowd", group_crowd_of_user },
};

pid_t caller_fork_user(void)
{
	const struct group *group = getgrnam("ublk-oci");
	pid_t pid = fork();

	if (!pid && (!group || setgroups(0, NULL) < 0 ||
		     setresgid(group->gr_gid, group->gr_gid, group->gr_gid) < 0 ||
		     setresuid(CALLER_USER, CALLER_USER, CALLER_USER) < 0))
		ask_die("setresuid");
	return pid;
}

/* One round, in a process of its own, while others ask both helpers. */
static void caller_attack(struct caller *c, const struct group_row *g, struct bystander *attacked,
			  struct bystander *idle)
{
	const pid_t others[] = { bystander_start(attacked), bystander_start(idle) };
	int64_t end = clock_deadline_ms(ROUND_MS);
	pid_t pid = g->user ? caller_fork_user() : fork();
	int status;

	if (!pid) {
		do
			g->run(c);
		while (clock_left_ms(end));
		exit(0);
	}
	if (waitpid(pid, &status, 0) < 0 || status) {
		fprintf(stderr, "%s went wrong\n", g->name);
		exit(1);
	}
	bystander_stop(others[0]);
	bystander_stop(others[1]);
}

/*
 * "Served within a second", on a few slow CPUs that have more to do than they
 * can: the time alone would measure the machine. What the helper answers for is
 * how much longer somebody waits because others abuse it. So there are clients
 * of a helper that nobody attacks, on the same CPUs at the same time: what the
 * machine does to them it does to both.
 *
 * - Of 100 clients, whenever they come, 95 are served within a second; on a
 *   machine where not even the idle helper serves 95 in IDLE_MS, it is as many
 *   times longer as that takes longer.
 * - They wait less than TURNS times as long as those of the idle helper. Whoever
 *   comes waits for those who came before, of whom one user has room for so many,
 *   none of whom takes longer than a whole answer; and for a whole queue to be
 *   turned away, which may cost as much again.
 *
 * The longest wait is printed and bounds nothing: one is easily the machine's.
 * A main process that waits for a caller makes everybody wait.
 */
static bool caller_served(const struct group_row *g, struct bystander *attacked,
			  struct bystander *idle)
{
	const int attacked_ms = bystander_percentile_ms(attacked, 95);
	const int idle_ms = bystander_percentile_ms(idle, 95);
	const int second_ms = SERVED_MS * (idle_ms > IDLE_MS ? idle_ms : IDLE_MS) / IDLE_MS;

	return attacked_ms <= second_ms && attacked_ms <= idle_ms * TURNS &&
	       (g->full || !attacked->nr_refused);
}

/* "ok ..." or "not ok ...", with what was measured. */
static bool group_try(struct caller *c, const struct group_row *g, struct bystander *attacked,
		      struct bystander *idle)
{
	static struct shape first, last;
	int64_t begin = clock_now_ms();
	bool good;

	c->nr_attempts = 0;
	c->nr_given = 0;
	attacked->nr = attacked->nr_refused = idle->nr = 0;
	if (g->begin)
		g->begin(c);
	for (c->round = 0; c->round < CALLER_ROUNDS; c->round++) {
		caller_attack(c, g, attacked, idle);
		if (!c->round)
			shape_settle(&first, c->helper, c->nr_devices);
	}
	shape_settle(&last, c->helper, c->nr_devices);
	good = !c->nr_given && last.rss_kib <= first.rss_kib + GROWTH_KIB &&
	       last.nr_fds == first.nr_fds && last.nr_children == c->nr_devices &&
	       caller_served(g, attacked, idle);
	printf("%s caller: %s: %lu attempts, %lu given; of %u others 95 %% waited up to %d ms, all "
	       "%d ms (of an idle helper %d and %d ms), %u refused; memory %+ld KiB, "
	       "descriptors %+ld, children %ld; %.1f s\n",
	       good ? "ok" : "not ok", g->name, c->nr_attempts, c->nr_given, attacked->nr,
	       bystander_percentile_ms(attacked, 95), bystander_percentile_ms(attacked, 100),
	       bystander_percentile_ms(idle, 95), bystander_percentile_ms(idle, 100),
	       attacked->nr_refused, last.rss_kib - first.rss_kib, last.nr_fds - first.nr_fds,
	       (long)last.nr_children - (long)c->nr_devices,
	       (double)(clock_now_ms() - begin) / 1000);
	fflush(stdout);
	if (g->end)
		g->end(c);
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
	struct bystander *attacked, *idle;
	struct caller *c =
		mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const struct rlimit files = { 4096, 4096 };
	bool good = true;

	if (argc < 3 || c == MAP_FAILED) {
		fprintf(stderr, "usage: caller PID SOCKET [GROUP...]\n");
		return 2;
	}
	*c = (struct caller){ .helper = (pid_t)atoi(argv[1]), .seed = 20261122 };
	attacked = bystander_new(WIRE_SOCKET);
	idle = bystander_new(argv[2]);
	signal(SIGPIPE, SIG_IGN);
	setrlimit(RLIMIT_NOFILE, &files);
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		if (group_wanted(groups[i].name, argv + 3))
			good &= group_try(c, &groups[i], attacked, idle);
	}
	return good ? 0 : 1;
}
