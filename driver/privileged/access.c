/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/access.h"

#include <errno.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/base/text.h"
#include "driver/privileged/cgroup.h"
#include "driver/privileged/container.h"
#include "driver/privileged/place.h"
#include "driver/privileged/request.h"
#include "driver/privileged/server.h"
#include "driver/privileged/unit.h"
#include "driver/privileged/work.h"
#include "driver/wire/packet.h"

#define ACCESS_INTERVAL_MS 2000
#define ACCESS_AGAIN_MS 30000 /* what could not be repaired, or not be tried */
#define ACCESS_TELL_MS 60000  /* the log, of one device */
#define ACCESS_TRY_MS 3000
#define ACCESS_UNIT_MS 5000
#define ACCESS_UNIT_APPLIES_MS 1000 /* systemd answers before it has done it */
#define ACCESS_STEP_MS 50
#define ACCESS_SEND_MS 2000

/* --- the main process -------------------------------------------------------------------- */

/* Is it in a container whose filter could keep it from its device? */
static bool access_watched(const struct device *d)
{
	return d->rec.state == WIRE_STATE_LIVE && !(d->rec.flags & WIRE_NO_CONTAINER) &&
	       d->rec.major && !d->rec.filesystem && *d->rec.container_cgroup;
}

/* One look is enough for all devices of a container. */
static bool access_is_first(const struct registry *reg, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (access_watched(reg->devices[k]) &&
		    registry_same_container(&reg->devices[k]->rec, &reg->devices[i]->rec))
			return false;
	}
	return true;
}

static void access_pass_device(struct server *s, struct device *d, int64_t now_ms)
{
	auto_close int cgroup_fd = -1;
	struct devfilter_look look;
	bool due = d->access.again_ms && d->access.again_ms <= now_ms;

	if (d->op_pid || d->access_pid)
		return;
	cgroup_fd = container_open_filter(d->rec.container_cgroup, d->rec.cgroup_inode);
	if (cgroup_fd < 0 ||
	    devfilter_look(s->helper->filter_dir, cgroup_fd, d->access.print, &look, NULL) < 0)
		return; /* it ended, and somebody sees to that */
	if (look.print == d->access.print && !due)
		return;
	if (look.ours && look.print != d->access.print && !d->access.lost) {
		d->access.print = look.print;
		return;
	}
	d->access_pid = work_own(s, WORK_ACCESS, d->rec.generation);
}

void access_pass(struct server *s, int64_t now_ms)
{
	const struct registry *reg = s->registry;

	if (access_next_ms(s) > now_ms)
		return;
	s->access_passed_ms = now_ms;
	for (size_t i = 0; i < reg->nr_devices; i++) {
		if (access_watched(reg->devices[i]) && access_is_first(reg, i))
			access_pass_device(s, reg->devices[i], now_ms);
	}
}

int64_t access_next_ms(const struct server *s)
{
	for (size_t i = 0; !s->ending && i < s->registry->nr_devices; i++) {
		if (access_watched(s->registry->devices[i]))
			return s->access_passed_ms + ACCESS_INTERVAL_MS;
	}
	return INT64_MAX;
}

/* --- its child -------------------------------------------------------------------------------- */

struct access_work {
	const struct op *op;
	bool look_only;
	bool asked; /* by root, who is told */
};

/* One device, while it is this child's. */
struct access {
	const struct op *op;
	const struct device *d;
	struct record rec;
	struct container c;
	int filter_fd;		      /* borrowed from c */
	struct devfilter_look before; /* what was there */
	uint32_t outcome;	      /* enum wire_access_outcome */
	struct err why;		      /* it is lost, or not known */
};

static const char *access_cause(const struct devfilter_look *look)
{
	if (look->systemds)
		return "systemd has put a device filter of its own beside it";
	if (look->wrapped)
		return "another device filter was put beside it";
	return look->ours ? "it is not known why" : "its device filter was replaced";
}

static int access_try(struct access *a)
{
	struct node_place place = container_place(&a->c, op_left_ms(a->op, ACCESS_TRY_MS));
	struct node_spec node = place_node(&a->rec);
	int r = node_try(&place, &node, &a->why);

	return r == -EPERM ? -EACCES : r;
}

/* Until it is back again or a moment has passed. */
static int access_try_patiently(struct access *a)
{
	int64_t deadline_ms = clock_deadline_ms(ACCESS_UNIT_APPLIES_MS);
	int r;

	while ((r = access_try(a)) == -EACCES && clock_left_ms(deadline_ms))
		clock_sleep_ms(ACCESS_STEP_MS);
	return r;
}

/* On record, and still ours: to be on record lets go of it. -ESRCH: it is being taken away. */
static int access_note(struct access *a, uint32_t grants)
{
	int r;

	if (a->rec.grants == grants)
		return 0;
	a->rec.grants = grants;
	r = op_update(a->op, &a->rec, &a->why);
	if (r == 0)
		r = op_take(a->op, a->rec.generation, &a->rec, &a->why);
	return r == -ENOENT || (r == 0 && a->rec.state != WIRE_STATE_LIVE) ? -ESRCH : r;
}

/* On record before it is done, so that undoing takes it out of the unit again. */
static int access_enter_unit(struct access *a)
{
	uint32_t grants = a->rec.grants;
	char unit[UNIT_NAME_SIZE];
	struct err why;
	int r;

	if (!unit_here() || !unit_of_cgroup(a->rec.container_cgroup, unit))
		return 0;
	r = access_note(a, grants | RECORD_UNIT);
	if (r < 0)
		return r;
	r = unit_allow(unit, a->rec.major, a->rec.minor, !(a->rec.flags & WIRE_READ_ONLY),
		       op_left_ms(a->op, ACCESS_UNIT_MS), &why);
	if (r == 0)
		return 0;
	log_warning("ublkb%u: cannot be allowed in %s: %s", a->rec.dev_id, unit, why.text);
	/* What may have been done has to be undone; and it may help. */
	return r == -ETIMEDOUT ? 0 : access_note(a, grants);
}

/* Gives access again. -EACCES: that was not enough. */
static int access_restore(struct access *a)
{
	int r = 0;

	if (a->before.systemds)
		r = access_enter_unit(a);
	if (r == 0)
		r = place_allow(a->op, &a->c, &a->rec, &a->why);
	if (r < 0)
		return r;
	r = access_try_patiently(a);
	if (r != -EACCES || !(a->rec.grants & RECORD_UNIT))
		return r;
	/* systemd would not have it: its program gets ours in front, until it makes another. */
	r = devfilter_allow(a->op->helper->filter_dir, a->filter_fd, a->rec.major, a->rec.minor,
			    place_filter_how(&a->rec) & ~(unsigned int)DEVFILTER_IN_UNIT, &a->why);
	return r < 0 ? r : access_try(a);
}

/*
 * A foreign program is given ours in front even if the device can be opened: it was tried for
 * reading only.
 */
static bool access_needs_repair(const struct access *a, int tried)
{
	return tried == -EACCES || (!a->before.ours && !a->before.systemds);
}

/* -ESRCH: it is no longer ours. */
static int access_run(struct access *a, bool look_only)
{
	int tried, r;

	r = devfilter_look(a->op->helper->filter_dir, a->filter_fd, 0, &a->before, &a->why);
	tried = r = r < 0 ? r : access_try(a);
	if ((r == 0 || r == -EACCES) && !look_only && access_needs_repair(a, tried))
		r = access_restore(a);
	if (r == -ESRCH)
		return r;
	if (r == 0)
		a->outcome = tried == -EACCES ? WIRE_ACCESS_REPAIRED : WIRE_ACCESS_OPEN;
	else
		a->outcome =
			r == -EACCES || tried == -EACCES ? WIRE_ACCESS_LOST : WIRE_ACCESS_UNKNOWN;
	return 0;
}

/* Each loss once, with its cause and, where it stays, the remedy. */
static bool access_log(const struct access *a, int64_t now_ms)
{
	const struct device_access *was = &a->d->access;
	const struct record *rec = &a->rec;

	if (a->outcome != WIRE_ACCESS_REPAIRED && a->outcome != WIRE_ACCESS_LOST)
		return false;
	if (was->told_ms && now_ms - was->told_ms < ACCESS_TELL_MS)
		return false;
	if (a->outcome == WIRE_ACCESS_REPAIRED)
		log_warning("ublkb%u: container %s could not open %s any more (%s): it can again",
			    rec->dev_id, rec->container, rec->path, access_cause(&a->before));
	else
		log_error("ublkb%u: container %s cannot open %s any more (%s): %s; allow block "
			  "device %u:%u there, then ublk-oci repair --container %s",
			  rec->dev_id, rec->container, rec->path, access_cause(&a->before),
			  a->why.text, rec->major, rec->minor, rec->container);
	return true;
}

/* What the main process is to know: of a filter that was there before it was tried. */
static struct device_access access_seen(const struct access *a)
{
	int64_t now_ms = clock_now_ms();
	struct device_access seen = {
		.print = a->before.print,
		.told_ms = a->d->access.told_ms,
		.lost = a->outcome == WIRE_ACCESS_LOST,
	};

	if (access_log(a, now_ms))
		seen.told_ms = now_ms;
	if (a->outcome == WIRE_ACCESS_LOST || a->outcome == WIRE_ACCESS_UNKNOWN)
		seen.again_ms = now_ms + ACCESS_AGAIN_MS;
	return seen;
}

static int access_tell(const struct access *a, struct err *e)
{
	struct wire_access m = {
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_ACCESS, sizeof(m), 0 },
		.generation = a->rec.generation,
		.dev_id = a->rec.dev_id,
		.outcome = a->outcome,
	};
	int r;

	memcpy(m.path, a->rec.path, sizeof(m.path));
	if (a->outcome != WIRE_ACCESS_OPEN)
		text_copy(m.why, sizeof(m.why),
			  a->outcome == WIRE_ACCESS_UNKNOWN ? a->why.text
							    : access_cause(&a->before));
	r = packet_send(a->op->peer_fd, &m, sizeof(m), NULL, 0, op_left_ms(a->op, ACCESS_SEND_MS));
	return r < 0 ? err_sys(e, -r, "the caller does not read the answer") : 0;
}

static void access_fini(struct access *a)
{
	container_fini(&a->c);
}

/* One that ends meanwhile, or is taken away, is nobody's to open. */
static int access_device(const struct access_work *w, const struct device *d, struct err *e)
{
	__attribute__((cleanup(access_fini))) struct access a = {
		.op = w->op,
		.d = d,
		.c = CONTAINER_INIT,
	};
	struct device_access seen;
	int r;

	r = op_take(w->op, d->rec.generation, &a.rec, e);
	if (r < 0 || a.rec.state != WIRE_STATE_LIVE)
		return r == -ENOENT ? 0 : r;
	r = container_find(&a.c, a.rec.container_pid, a.rec.container_start, a.rec.mount_ns_inode,
			   a.rec.cgroup_inode, e);
	a.filter_fd = container_filter_fd(&a.c);
	if (r < 0 || a.filter_fd < 0 || a.c.mount_ns_fd < 0)
		return r == -ESRCH ? 0 : r;
	r = access_run(&a, w->look_only);
	if (r < 0)
		return 0;
	if (!w->look_only) {
		seen = access_seen(&a);
		r = op_saw(w->op, a.rec.generation, &seen, e);
	}
	return r < 0 || !w->asked ? r : access_tell(&a, e);
}

static int access_container(const struct access_work *w, uint64_t generation, struct err *e)
{
	const struct registry *reg = w->op->registry;
	const struct device *d = registry_find(reg, generation);
	int r = 0;

	if (!d)
		return err_set(e, ENOENT, "there is no such device");
	for (size_t i = 0; i < reg->nr_devices && r == 0; i++) {
		if (access_watched(reg->devices[i]) &&
		    registry_same_container(&reg->devices[i]->rec, &d->rec))
			r = access_device(w, reg->devices[i], e);
	}
	return r;
}

int access_look(const struct op *op, uint64_t generation, struct err *e)
{
	struct access_work w = { .op = op };

	return registry_find(op->registry, generation) ? access_container(&w, generation, e) : 0;
}

int access_serve(const struct op *op, uint64_t generation, bool look_only, struct err *e)
{
	struct access_work w = { .op = op, .look_only = look_only, .asked = true };
	int r = access_container(&w, generation, e);

	if (r < 0)
		return r;
	request_reply(op->peer_fd, 0, NULL, "");
	return 0;
}
