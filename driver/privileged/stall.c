/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/stall.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "driver/base/cleanup.h"

#define STALL_INTERVAL_MIN_MS 1000
#define STALL_PF_IO_WORKER 0x10u /* linux/sched.h: a thread io_uring made */

bool stall_parse_disk(const char *line, struct stall_disk *ret)
{
	uint64_t reads, writes, in_flight, discards, flushes;
	uint32_t major, minor;

	/* Completed, merged, sectors, milliseconds: of reads, writes, discards; the last has two.
	 */
	if (sscanf(line,
		   "%" SCNu32 " %" SCNu32 " %*s %" SCNu64 " %*u %*u %*u %" SCNu64
		   " %*u %*u %*u %" SCNu64 " %*u %*u %" SCNu64 " %*u %*u %*u %" SCNu64,
		   &major, &minor, &reads, &writes, &in_flight, &discards, &flushes) != 7)
		return false;
	*ret = (struct stall_disk){ major, minor, in_flight, reads + writes + discards + flushes };
	return true;
}

bool stall_note(struct stall *s, const struct stall_disk *disk, int64_t now_ms, int64_t limit_ms)
{
	int64_t last_ms;

	if (!disk->in_flight || disk->finished != s->finished || !s->since_ms) {
		*s = (struct stall){ .finished = disk->finished,
				     .since_ms = disk->in_flight ? now_ms : 0 };
		return false;
	}
	last_ms = s->looked_ms ? s->looked_ms : s->since_ms;
	if (now_ms - last_ms < limit_ms)
		return false;
	s->looked_ms = now_ms;
	return true;
}

int64_t stall_interval_ms(int64_t limit_ms)
{
	return limit_ms / 4 > STALL_INTERVAL_MIN_MS ? limit_ms / 4 : STALL_INTERVAL_MIN_MS;
}

bool stall_parse_thread(const char *stat, const char *status, struct stall_thread *ret)
{
	const char *name_end = strrchr(stat, ')'); /* the name before it may hold anything */
	const char *sleeps = strstr(status, "\nvoluntary_ctxt_switches:");
	struct stall_thread t = { 0 };
	uint64_t user, system;
	unsigned int flags;

	if (!name_end || !sleeps || sscanf(stat, "%d", &t.tid) != 1 ||
	    sscanf(sleeps, " voluntary_ctxt_switches: %" SCNu64, &t.sleeps) != 1 ||
	    sscanf(name_end, ") %c %*d %*d %*d %*d %*d %u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
		   &t.state, &flags, &user, &system) != 4)
		return false;
	t.kernels = flags & STALL_PF_IO_WORKER;
	t.ticks = user + system;
	*ret = t;
	return true;
}

static const struct stall_thread *stall_find(const struct stall_look *look, pid_t tid)
{
	for (size_t i = 0; i < look->nr_threads; i++) {
		if (look->threads[i].tid == tid)
			return &look->threads[i];
	}
	return NULL;
}

static bool stall_is_stopped(const struct stall_thread *t)
{
	return t->state == 'T' || t->state == 't';
}

static enum stall_cause stall_judge_thread(const struct stall_thread *a,
					   const struct stall_thread *b)
{
	if (stall_is_stopped(a) && stall_is_stopped(b))
		return STALL_STOPPED;
	/* One that got no processor does not spin. */
	if (a->state == 'R' && b->state == 'R' && a->sleeps == b->sleeps && a->ticks != b->ticks)
		return STALL_SPINS;
	return STALL_WAITS;
}

enum stall_cause stall_judge(const struct stall_look *first, const struct stall_look *second)
{
	enum stall_cause cause = STALL_WAITS;

	if (first->frozen && second->frozen)
		return STALL_FROZEN;
	for (size_t i = 0; i < first->nr_threads && cause == STALL_WAITS; i++) {
		const struct stall_thread *t = &first->threads[i];
		const struct stall_thread *again = stall_find(second, t->tid);

		/* What the kernel does for the ring may take as long as the disk. */
		if (again && !t->kernels)
			cause = stall_judge_thread(t, again);
	}
	return cause;
}
