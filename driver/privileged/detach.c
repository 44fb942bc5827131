/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/detach.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "driver/privileged/audit.h"
#include "driver/privileged/child.h"
#include "driver/privileged/container.h"
#include "driver/privileged/devfilter.h"
#include "driver/privileged/holders.h"
#include "driver/privileged/recover.h"
#include "driver/privileged/request.h"
#include "driver/privileged/undo.h"

#define DETACH_LOOK_MS 5000

bool detach_peer_ok(const struct op *op, const struct record *rec)
{
	return op->uid == 0 || op->uid == rec->peer_uid;
}

bool detach_peer_admit(const struct op *op, const char *what, const struct record *rec)
{
	if (detach_peer_ok(op, rec))
		return true;
	request_refused(op, what, rec, "it is another user's device");
	return false;
}

struct detach_look {
	const struct op *op;
	const struct record *rec;
};

/* Workers are not looked at: they are sealed, and have no descriptors. */
static int detach_look(void *arg, struct err *e)
{
	const struct detach_look *look = arg;
	const struct record *rec = look->rec;
	char node[32], who[ERR_TEXT_SIZE / 2];
	int r;

	snprintf(node, sizeof(node), "/dev/ublkb%u", rec->dev_id);
	r = holders_find(rec->major, rec->minor, look->op->helper->room.mount_fd, who, sizeof(who),
			 e);
	if (r < 0)
		return r;
	if (r > 0)
		return err_set(e, EBUSY,
			       "%s (ublkb%u) is in use: %s; close or unmount it first, or "
			       "use --force",
			       *rec->path ? rec->path : node, rec->dev_id, who);
	r = holders_probe_busy(node, e);
	return r == -EBUSY ? r : 0;
}

/* The device filter again as it was before a detach that is refused. */
static void detach_allow_again(const struct op *op, const struct record *rec, struct container *c)
{
	if (c->cgroup_fd >= 0)
		devfilter_allow(op->helper->filter_dir, c->cgroup_fd, rec->major, rec->minor,
				!(rec->flags & WIRE_READ_ONLY), NULL);
}

/*
 * Nobody may be using it. The filter is closed before the look, so that nobody
 * opens the device between the look and its end.
 */
static int detach_check_unused(const struct op *op, const struct record *rec, struct err *e)
{
	auto_container struct container c = CONTAINER_INIT;
	struct detach_look look = { op, rec };
	int r;

	if (!(rec->flags & WIRE_HOST) &&
	    container_find(&c, rec->container_pid, rec->container_start, rec->mount_ns_inode,
			   rec->cgroup_inode, NULL) == 0 &&
	    c.cgroup_fd >= 0) {
		r = devfilter_revoke(op->helper->filter_dir, c.cgroup_fd, rec->major, rec->minor,
				     e);
		if (r < 0)
			return r;
	}
	r = child_run(detach_look, &look, op_left_ms(op, DETACH_LOOK_MS), e);
	if (r < 0)
		detach_allow_again(op, rec, &c);
	return r;
}

/* It is done even where this cannot be written. */
static void detach_audit(const struct op *op, const struct record *rec, bool force)
{
	audit_note(&(struct audit_event){
		.request = "detach",
		.peer = &op->peer,
		.rec = rec,
		.allowed = true,
		.reason = force ? "by force" : "",
	});
}

/*
 * What was written and not flushed needs a worker: one whose worker died gets another
 * first, or stays. By force, or when nobody is left who wrote, it goes as it is.
 */
static int detach_take(const struct op *op, const struct wire_detach *ask, struct record *rec,
		       struct err *e)
{
	int r;

	r = op_take(op, ask->generation, rec, e);
	if (r < 0 || rec->state != WIRE_STATE_RECOVERING || rec->flags & WIRE_READ_ONLY ||
	    ask->flags & (WIRE_DETACH_FORCE | WIRE_DETACH_ENDED))
		return r;
	r = recover_run(op, ask->generation, e);
	if (r < 0)
		return err_prefix(e, r,
				  "its worker died and no other could be started (--force detaches "
				  "it all the same, and loses what was not flushed)");
	return op_take(op, ask->generation, rec, e);
}

int detach_serve(struct op *op, struct packet *p, struct err *e)
{
	const struct device *d;
	struct wire_detach ask;
	struct record rec;
	int r;

	memcpy(&ask, p->bytes, sizeof(ask));
	if (ask.flags & ~(uint32_t)WIRE_DETACH_FLAGS_ALL)
		return err_set(e, EINVAL, "the request has flags this helper does not know");
	d = registry_find(op->registry, ask.generation);
	if (!d || !detach_peer_admit(op, "detach", &d->rec))
		return err_set(e, ENOENT, "there is no such device");
	r = op_shorten(op, ask.timeout_ms, e);
	if (r < 0)
		return r;
	op->timed = ask.flags & WIRE_DETACH_TIMED;
	r = detach_take(op, &ask, &rec, e);
	if (r == -ENOENT) {
		request_done(op, NULL); /* somebody was faster */
		return 0;
	}
	if (r < 0)
		return r;
	detach_audit(op, &rec, ask.flags & WIRE_DETACH_FORCE);
	timing_mark(op->timing, WIRE_STEP_TAKE);
	if (rec.major && rec.state != WIRE_STATE_FAILED &&
	    !(ask.flags & (WIRE_DETACH_FORCE | WIRE_DETACH_ENDED))) {
		r = detach_check_unused(op, &rec, e);
		timing_mark(op->timing, WIRE_STEP_UNUSED);
		if (r < 0)
			return r;
	}
	op_begin_undo(op, &rec);
	r = undo_run(op, &rec, true, e);
	if (r < 0)
		return err_prefix(e, r, "not all of ublkb%u is gone, the helper keeps trying",
				  rec.dev_id);
	request_done(op, &rec);
	return 0;
}

int detach_own(const struct op *op, uint64_t generation, struct err *e)
{
	struct record rec;
	int r;

	r = op_take(op, generation, &rec, e);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	op_begin_undo(op, &rec);
	return undo_run(op, &rec, true, e);
}
