/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/hang.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/privileged/cgroup.h"
#include "driver/privileged/process.h"
#include "driver/privileged/server.h"
#include "driver/privileged/undo.h"
#include "driver/privileged/work.h"

#define HANG_DISKSTATS "/proc/diskstats"
#define HANG_BETWEEN_LOOKS_MS 2000

static const char *const hang_words[] = {
	[STALL_STOPPED] = "is stopped",
	[STALL_FROZEN] = "is frozen",
	[STALL_SPINS] = "runs without end",
};

/* --- the main process -------------------------------------------------------------------- */

static int64_t hang_limit_ms(const struct registry *reg)
{
	return (int64_t)policy_hang_seconds(reg->policy) * 1000;
}

static struct device *hang_find(const struct registry *reg, const struct stall_disk *disk)
{
	for (size_t i = 0; i < reg->nr_devices; i++) {
		const struct record *rec = &reg->devices[i]->rec;

		if (rec->state == WIRE_STATE_LIVE && !(rec->flags & WIRE_CLAIMED) &&
		    rec->major == disk->major && rec->minor == disk->minor)
			return reg->devices[i];
	}
	return NULL;
}

static void hang_note(struct server *s, const struct stall_disk *disk, int64_t now_ms)
{
	struct device *d = hang_find(s->registry, disk);

	if (!d)
		return;
	if (!stall_note(&d->stall, disk, now_ms, hang_limit_ms(s->registry)) || s->ending ||
	    d->op_pid || d->look_pid)
		return;
	d->look_pid = work_own(s, WORK_LOOK, d->rec.generation);
	d->stall.told = true; /* for the next child */
}

/* Calls found() for each disk there is. */
static void hang_disks(void (*found)(void *arg, const struct stall_disk *disk), void *arg)
{
	FILE *f = fopen(HANG_DISKSTATS, "re");
	struct stall_disk disk;
	char line[512];

	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (stall_parse_disk(line, &disk))
			found(arg, &disk);
	}
	fclose(f);
}

struct hang_notes {
	struct server *s;
	int64_t now_ms;
};

static void hang_note_disk(void *arg, const struct stall_disk *disk)
{
	const struct hang_notes *notes = arg;

	hang_note(notes->s, disk, notes->now_ms);
}

void hang_pass(struct server *s, int64_t now_ms)
{
	struct hang_notes notes = { s, now_ms };

	if (hang_next_ms(s) > now_ms)
		return;
	s->hang_passed_ms = now_ms;
	hang_disks(hang_note_disk, &notes);
}

int64_t hang_next_ms(const struct server *s)
{
	const struct registry *reg = s->registry;
	int64_t limit_ms = hang_limit_ms(reg);

	for (size_t i = 0; limit_ms && !s->ending && i < reg->nr_devices; i++) {
		if (reg->devices[i]->rec.state == WIRE_STATE_LIVE)
			return s->hang_passed_ms + stall_interval_ms(limit_ms);
	}
	return INT64_MAX;
}

/* --- its child -------------------------------------------------------------------------------- */

static bool hang_look_thread(int tasks_fd, const char *name, struct stall_thread *ret)
{
	char path[64], stat[2048], status[4096];

	snprintf(path, sizeof(path), "%.20s/stat", name);
	if (process_read(tasks_fd, path, stat, sizeof(stat)) < 0)
		return false;
	snprintf(path, sizeof(path), "%.20s/status", name);
	return process_read(tasks_fd, path, status, sizeof(status)) >= 0 &&
	       stall_parse_thread(stat, status, ret);
}

static void hang_look_once(const struct record *rec, struct stall_look *ret)
{
	auto_closedir DIR *tasks = NULL;
	struct dirent *entry;
	char path[32];

	*ret = (struct stall_look){ .frozen = cgroup_frozen(rec->cgroup) };
	snprintf(path, sizeof(path), "/proc/%d/task", rec->worker_pid);
	tasks = opendir(path);
	while (tasks && ret->nr_threads < STALL_THREADS_MAX && (entry = readdir(tasks))) {
		if (entry->d_name[0] != '.' &&
		    hang_look_thread(dirfd(tasks), entry->d_name, &ret->threads[ret->nr_threads]))
			ret->nr_threads++;
	}
}

struct hang_progress {
	const struct device *d;
	bool stalled;
};

static void hang_compare(void *arg, const struct stall_disk *disk)
{
	struct hang_progress *p = arg;

	if (disk->major == p->d->rec.major && disk->minor == p->d->rec.minor)
		p->stalled = disk->in_flight && disk->finished == p->d->stall.finished;
}

/* Has still nothing ended? */
static bool hang_stalled(const struct device *d)
{
	struct hang_progress p = { .d = d };

	hang_disks(hang_compare, &p);
	return p.stalled;
}

/* Its end is noticed as every other worker's. */
static int hang_kill(const struct op *op, const struct device *d, enum stall_cause cause,
		     struct err *e)
{
	struct record rec;
	int r;

	r = op_take(op, d->rec.generation, &rec, e);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (rec.state != WIRE_STATE_LIVE || rec.worker_pid != d->rec.worker_pid ||
	    rec.worker_start != d->rec.worker_start || !hang_stalled(d))
		return 0;
	log_error("ublkb%u: no request finished for %u s, and its worker (pid %d) %s: it is killed",
		  rec.dev_id, policy_hang_seconds(op->registry->policy), rec.worker_pid,
		  hang_words[cause]);
	return undo_kill_worker(&rec, e);
}

int hang_look(const struct op *op, uint64_t generation, struct err *e)
{
	const struct device *d = registry_find(op->registry, generation);
	auto_close int worker = -1;
	struct stall_look first, second;
	enum stall_cause cause;

	if (!d)
		return 0;
	worker = process_pin(d->rec.worker_pid, d->rec.worker_start);
	hang_look_once(&d->rec, &first);
	clock_sleep_ms(HANG_BETWEEN_LOOKS_MS);
	hang_look_once(&d->rec, &second);
	if (worker < 0 || process_ended(worker) || !hang_stalled(d))
		return 0;
	cause = stall_judge(&first, &second);
	if (cause != STALL_WAITS)
		return hang_kill(op, d, cause, e);
	if (!d->stall.told)
		log_warning("ublkb%u: no request finished for %u s; its worker waits for the "
			    "backing file",
			    d->rec.dev_id, policy_hang_seconds(op->registry->policy));
	return 0;
}
