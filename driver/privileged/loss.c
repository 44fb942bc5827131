/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/loss.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/cgroup.h"
#include "driver/privileged/child.h"
#include "driver/privileged/holders.h"
#include "driver/privileged/process.h"
#include "targets/catalog.h"

#define LOSS_LOOK_MS 2000

__attribute__((format(printf, 2, 3))) static void loss_add(struct loss *l, const char *fmt, ...)
{
	va_list ap;

	if (l->nr == LOSS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(l->text[l->nr++], sizeof(l->text[0]), fmt, ap);
	va_end(ap);
}

struct loss_look {
	const struct op *op;
	const struct record *rec;
};

/* Workers are not looked at: they are sealed, and have no descriptors. */
static int loss_look(void *arg, struct err *e)
{
	const struct loss_look *look = arg;
	const struct record *rec = look->rec;
	char node[32], who[ERR_TEXT_SIZE / 2];
	int r;

	snprintf(node, sizeof(node), "/dev/ublkb%" PRIu32, rec->dev_id);
	r = holders_find(rec->major, rec->minor, look->op->helper->room.mount_fd, who, sizeof(who),
			 e);
	if (r < 0)
		return r;
	if (r > 0)
		return err_set(e, EBUSY, "%s (ublkb%" PRIu32 ") is in use: %s",
			       *rec->path ? rec->path : node, rec->dev_id, who);
	r = holders_probe_busy(node, e);
	return r == -EBUSY ? r : 0;
}

static int loss_look_inside(void *arg, struct err *e)
{
	const struct record *rec = ((struct loss_look *)arg)->rec;
	char who[ERR_TEXT_SIZE / 2];
	int r = rec->mounted_dev ? holders_find_inside(rec->mounted_dev, who, sizeof(who), e) : 0;

	if (r <= 0)
		return r;
	return err_set(e, EBUSY, "%s (ublkb%" PRIu32 ") is in use: %s", rec->path, rec->dev_id,
		       who);
}

int loss_in_use_inside(const struct op *op, const struct record *rec, int timeout_ms, struct err *e)
{
	struct loss_look look = { op, rec };

	return child_run(loss_look_inside, &look, timeout_ms, e);
}

int loss_in_use(const struct op *op, const struct record *rec, int timeout_ms, struct err *e)
{
	struct loss_look look = { op, rec };

	return child_run(loss_look, &look, timeout_ms, e);
}

static void loss_of_users(struct loss *l, const struct op *op, const struct record *rec)
{
	struct err e;
	int r;

	if (!rec->major)
		return;
	r = (rec->filesystem ? loss_in_use_inside : loss_in_use)(op, rec,
								 op_left_ms(op, LOSS_LOOK_MS), &e);
	if (r == -EBUSY)
		loss_add(l, "%s: what has not been written yet is lost", e.text);
	else if (r < 0)
		loss_add(l, "who uses it cannot be found out: %s", e.text);
}

static void loss_of_state(struct loss *l, const struct record *rec)
{
	if (rec->state == WIRE_STATE_RECOVERING)
		loss_add(l, "its worker died and no other has taken over: what waits for one, and "
			    "what has not been written yet, is lost");
	else if (rec->state == WIRE_STATE_FAILED)
		loss_add(l, "it has failed: what had not been written then is lost");
}

/* Requests that the driver has of it; -1: it does not say. */
static int loss_in_flight(const struct record *rec)
{
	unsigned int reads, writes;
	auto_fclose FILE *f = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/sys/block/ublkb%" PRIu32 "/inflight", rec->dev_id);
	f = fopen(path, "re");
	return f && fscanf(f, "%u %u", &reads, &writes) == 2 ? (int)(reads + writes) : -1;
}

static void loss_of_worker(struct loss *l, const struct record *rec)
{
	auto_close int worker =
		rec->worker_pid ? process_pin(rec->worker_pid, rec->worker_start) : -ESRCH;
	bool frozen = *rec->cgroup && cgroup_frozen(rec->cgroup);
	bool stopped = worker >= 0 && process_stopped(rec->worker_pid);
	int waiting;

	if (worker < 0 || (!frozen && !stopped))
		return;
	l->suspect = true;
	waiting = loss_in_flight(rec);
	loss_add(l,
		 "its worker (pid %d) is %s: it is killed, what waits for it (requests: %d) ends "
		 "with errors, and what has not been written yet is lost",
		 rec->worker_pid, frozen ? "frozen" : "stopped", waiting < 0 ? 0 : waiting);
}

void loss_find(struct loss *ret, const struct op *op, const struct record *rec)
{
	*ret = (struct loss){ 0 };
	loss_of_users(ret, op, rec);
	loss_of_state(ret, rec);
	loss_of_worker(ret, rec);
	if (rec->target == TARGET_MEMORY && rec->major)
		loss_add(ret, "its content goes with it: target memory keeps nothing");
}
