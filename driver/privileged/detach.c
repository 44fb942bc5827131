/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/detach.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "driver/base/log.h"
#include "driver/base/text.h"
#include "driver/privileged/audit.h"
#include "driver/privileged/container.h"
#include "driver/privileged/devfilter.h"
#include "driver/privileged/place.h"
#include "driver/privileged/filesystem.h"
#include "driver/privileged/loss.h"
#include "driver/privileged/recover.h"
#include "driver/privileged/remake.h"
#include "driver/privileged/request.h"
#include "driver/privileged/undo.h"

#define DETACH_LOOK_MS 5000
#define DETACH_UNMOUNT_MS 20000 /* with all that is to be written */
#define DETACH_SEND_MS 500

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

/* The device filter again as it was before a detach that is refused. */
static void detach_allow_again(const struct op *op, const struct record *rec, struct container *c)
{
	int filter_fd = container_filter_fd(c);

	if (filter_fd >= 0)
		devfilter_allow(op->helper->filter_dir, filter_fd, rec->major, rec->minor,
				place_filter_how(rec), NULL);
}

/* As it was before a detach that is refused. */
static void detach_mount_again(const struct op *op, struct record *rec, const struct container *c)
{
	struct node_place place = container_place(c, op_left_ms(op, DETACH_LOOK_MS));
	struct filesystem_spec spec = undo_filesystem(op, rec);
	struct err why;

	/* Who keeps it has the file system that was here a moment ago: it is no other device's. */
	spec.shared = true;
	if (filesystem_insert(&place, &spec, &rec->mounted_dev, &why) < 0)
		log_error("ublkb%u: it is no longer mounted: %s", rec->dev_id, why.text);
	else
		op_update(op, rec, NULL);
}

static int detach_refuse(const struct err *why, int r, struct err *e)
{
	return r == -EBUSY ? err_set(e, EBUSY, "%s; close or unmount it first, or use --force",
				     why->text)
			   : err_set(e, -r, "%s", why->text);
}

/*
 * Unmounted only if nobody uses it, which the kernel says best, and then writes what there is
 * to write. Who has it mounted elsewhere keeps the device; where the host has it by another claim
 * too, it is.
 */
static int detach_check_unmounted(const struct op *op, struct record *rec, struct err *e)
{
	auto_container struct container c = CONTAINER_INIT;
	struct filesystem_spec spec = undo_filesystem(op, rec);
	struct node_place place;
	bool there;
	struct err why, who;
	int r = 0;

	there = undo_find_place(&c, rec, NULL) == 0 && c.mount_ns_fd >= 0;
	if (there) {
		place = container_place(&c, op_left_ms(op, DETACH_UNMOUNT_MS));
		r = filesystem_remove(&place, &spec, FILESYSTEM_UNUSED, &why);
	}
	if (r == -EBUSY &&
	    loss_in_use_inside(op, rec, op_left_ms(op, DETACH_LOOK_MS), &who) == -EBUSY)
		return detach_refuse(&who, r, e);
	if (r < 0)
		return detach_refuse(&why, r, e);
	r = spec.shared ? 0 : loss_in_use(op, rec, op_left_ms(op, DETACH_LOOK_MS), &why);
	if (r < 0 && there)
		detach_mount_again(op, rec, &c);
	return r < 0 ? detach_refuse(&why, r, e) : 0;
}

/*
 * Nobody may be using it. The filter is closed before the look, so that nobody
 * opens the device between the look and its end. Where the host has it on another file too,
 * nobody can tell by which it was opened.
 */
static int detach_check_unused(const struct op *op, const struct record *rec, struct err *e)
{
	auto_container struct container c = CONTAINER_INIT;
	struct err why;
	int r;

	if (undo_shared(op, rec))
		return 0;
	if (!(rec->flags & WIRE_NO_CONTAINER) &&
	    container_find(&c, rec->container_pid, rec->container_start, rec->mount_ns_inode,
			   rec->cgroup_inode, NULL) == 0 &&
	    container_filter_fd(&c) >= 0) {
		r = devfilter_revoke(op->helper->filter_dir, container_filter_fd(&c), rec->major,
				     rec->minor, e);
		if (r < 0)
			return r;
	}
	r = loss_in_use(op, rec, op_left_ms(op, DETACH_LOOK_MS), &why);
	if (r == 0)
		return 0;
	detach_allow_again(op, rec, &c);
	return detach_refuse(&why, r, e);
}

/* Nor may a container have it, open or not. One that is being taken from one soon is nobody's. */
static int detach_check_unclaimed(const struct op *op, const struct record *rec, struct err *e)
{
	struct record claim;
	int r;

	if (!(rec->flags & WIRE_AHEAD))
		return 0;
	r = op_find_claim(op, rec, &claim, e);
	if (r < 0 || claim.state == WIRE_STATE_DETACHING)
		return r == -ENOENT ? 0 : r;
	return record_on_host(&claim)
		       ? err_set(e, EBUSY,
				 "it is %s %s; end that first, or use --force, which takes it away",
				 claim.filesystem ? "mounted at" : "the host's at", claim.path)
		       : err_set(e, EBUSY,
				 "container %s has it; end that first, or use --force, which takes "
				 "it away",
				 claim.container);
}

/* What it costs, before it is done. Who does not read it need not know. */
static void detach_tell(const struct op *op, const struct record *rec, const struct loss *loss)
{
	for (unsigned int i = 0; i < loss->nr; i++) {
		struct wire_loss m = {
			.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_LOSS, sizeof(m), 0 },
		};

		log_warning("ublkb%u is detached by force: %s", rec->dev_id, loss->text[i]);
		text_copy(m.text, sizeof(m.text), loss->text[i]);
		packet_send(op->peer_fd, &m, sizeof(m), NULL, 0, op_left_ms(op, DETACH_SEND_MS));
	}
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
	struct loss loss = { 0 };
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
	if (!(ask.flags & WIRE_DETACH_FORCE)) {
		r = detach_check_unclaimed(op, &rec, e);
		if (r < 0)
			return r;
	}
	if (rec.major && rec.state != WIRE_STATE_FAILED &&
	    !(ask.flags & (WIRE_DETACH_FORCE | WIRE_DETACH_ENDED))) {
		r = rec.filesystem ? detach_check_unmounted(op, &rec, e)
				   : detach_check_unused(op, &rec, e);
		timing_mark(op->timing, WIRE_STEP_UNUSED);
		if (r < 0)
			return r;
	}
	/* A claim that ends loses nothing: the device goes on. */
	if (ask.flags & WIRE_DETACH_FORCE && !(rec.flags & WIRE_CLAIMED)) {
		loss_find(&loss, op, &rec);
		if (ask.flags & WIRE_DETACH_TELL)
			detach_tell(op, &rec, &loss);
	}
	if (rec.flags & WIRE_AHEAD) {
		r = remake_remove(op->helper->remake_fd, &rec, e);
		if (r < 0)
			return r;
	}
	op_begin_undo(op, &rec);
	r = undo_run(op, &rec, !loss.suspect, e);
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
