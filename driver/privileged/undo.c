/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/undo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/base/ublk_abi.h"
#include "driver/privileged/backend_device.h"
#include "driver/privileged/child.h"
#include "driver/privileged/container.h"
#include "driver/privileged/devfilter.h"
#include "driver/privileged/hierarchy.h"
#include "driver/privileged/iolimit.h"
#include "driver/privileged/keep.h"
#include "driver/privileged/loss.h"
#include "driver/privileged/place.h"
#include "driver/privileged/process.h"
#include "driver/privileged/stats_file.h"
#include "driver/privileged/ublk_ctl.h"
#include "driver/privileged/unit.h"

#define UNDO_NODE_MS 5000
#define UNDO_MOUNT_MS 10000
#define UNDO_LOOK_MS 5000
#define UNDO_UNUSED_MS 2000
#define UNDO_UNUSED_STEP_MS 50
#define UNDO_LIMIT_MS 2000
#define UNDO_UNIT_MS 5000
#define UNDO_FLUSH_MS 10000
#define UNDO_STOP_MS 5000
#define UNDO_LEAVE_MS 2000 /* a worker whose device stopped leaves by itself */
#define UNDO_KILL_MS 5000

/*
 * What its systemd unit allows. With the unit ends what it allowed; of a container that has
 * ended it may be there for a while, and nobody waits for that.
 */
static int undo_unit(const struct record *rec, bool ended, struct err *e)
{
	char unit[UNIT_NAME_SIZE];
	int r;

	if (!(rec->grants & RECORD_UNIT) || !unit_of_cgroup(rec->container_cgroup, unit))
		return 0;
	r = unit_deny(unit, rec->major, rec->minor, UNDO_UNIT_MS, e);
	return r < 0 && !ended ? err_prefix(e, r, "%s still allows it", unit) : 0;
}

static int undo_filter(const struct op *op, const struct record *rec, const struct container *c,
		       struct err *e)
{
	const char *dir = op->helper->filter_dir;
	auto_close int devices_fd = -1;

	/* Version 1's is found by its name: nothing of it is pinned that would last. */
	if (hierarchy_has_devices()) {
		devices_fd = hierarchy_open_devices(rec->container_cgroup);
		return devices_fd >= 0
			       ? devfilter_revoke(dir, devices_fd, rec->major, rec->minor, e)
		       : devices_fd == -ENOENT
			       ? 0
			       : err_sys(e, -devices_fd,
					 "cannot open the container's devices cgroup");
	}
	if (c->cgroup_fd >= 0)
		return devfilter_revoke(dir, c->cgroup_fd, rec->major, rec->minor, e);
	if (!rec->cgroup_inode)
		return 0;
	return devfilter_forget(dir, rec->cgroup_inode, rec->major, rec->minor, e);
}

/*
 * Before the flush, which would else be as slow as the container had to be. A
 * failure is no reason to wait: the kernel forgets the lines with the disk.
 */
static void undo_limits(const struct record *rec)
{
	static const struct wire_io none = { 0 };
	char path[CGROUP_PATH_SIZE];
	struct err why;
	int r = 0;

	if (!(rec->grants & RECORD_IO_LIMITS))
		return;
	backend_device_cgroup(rec, path);
	if (rec->grants & RECORD_IO_BEHIND)
		r = iolimit_set_behind(path, (dev_t)rec->backing_dev, &none, UNDO_LIMIT_MS, &why);
	/* With its cgroup the limit is gone. */
	if (r < 0 && r != -ENOENT)
		log_warning("ublkb%u: the disk behind it stays limited until it ends: %s",
			    rec->dev_id, why.text);
	if (iolimit_lift(rec->container_cgroup, rec->major, rec->minor, UNDO_LIMIT_MS, &why) < 0)
		log_warning("ublkb%u: its I/O limits stay until it ends: %s", rec->dev_id,
			    why.text);
}

bool undo_shared(const struct op *op, const struct record *rec)
{
	struct record other;

	return rec->flags & WIRE_CLAIMED && record_on_host(rec) &&
	       op_find_claim(op, rec, &other, NULL) == 0 && other.state != WIRE_STATE_DETACHING;
}

struct host_file_spec undo_host_file(const struct record *rec)
{
	return (struct host_file_spec){
		.path = rec->path,
		.id = { rec->major, rec->minor, (uint32_t)rec->generation },
		.file = &rec->dir,
		.uid = rec->peer_uid,
	};
}

struct filesystem_spec undo_filesystem(const struct op *op, const struct record *rec)
{
	return (struct filesystem_spec){
		.filesystem = rec->filesystem,
		.path = rec->path,
		.dev_id = rec->dev_id,
		.major = rec->major,
		.minor = rec->minor,
		.read_only = record_device_reads(rec),
		.mount_read_only = rec->flags & WIRE_READ_ONLY,
		.shared = undo_shared(op, rec),
		.host_dir = rec->flags & WIRE_HOST ? &rec->dir : NULL,
		.host_uid = rec->peer_uid,
	};
}

int undo_find_place(struct container *c, const struct record *rec, struct err *e)
{
	if (rec->flags & WIRE_HOST)
		return container_host(c, e);
	return container_find(c, rec->container_pid, rec->container_start, rec->mount_ns_inode,
			      rec->cgroup_inode, e);
}

/*
 * Of a mount the container's end takes the last use away, when it comes to that; what the file
 * system still has to write then needs the worker. Nobody can be kept from using what they
 * have open, so there is an end to the patience.
 */
static void undo_mount(const struct op *op, const struct record *rec, bool orderly)
{
	auto_container struct container c = CONTAINER_INIT;
	struct filesystem_spec spec = undo_filesystem(op, rec);
	struct node_place place;
	struct err why;
	int r = 0;

	if (!rec->filesystem || !rec->major)
		return;
	if (undo_find_place(&c, rec, NULL) == 0 && c.mount_ns_fd >= 0) {
		place = container_place(&c, UNDO_MOUNT_MS);
		r = filesystem_remove(&place, &spec,
				      orderly ? FILESYSTEM_SYNCED : FILESYSTEM_AT_ONCE, &why);
		if (r < 0 && !process_ended(c.pidfd))
			log_warning("ublkb%u: %s", rec->dev_id, why.text);
	}
	if (orderly && !spec.shared &&
	    filesystem_wait_gone(&spec, UNDO_MOUNT_MS, NULL) == -ETIMEDOUT)
		log_warning("ublkb%u: somebody keeps its file system; what they have not written "
			    "yet is lost",
			    rec->dev_id);
}

/* All containers that have it; who works on one of them is waited for. */
static int undo_claims(const struct op *op, const struct record *device, struct err *e)
{
	struct record claim;
	int r;

	while ((r = op_find_claim(op, device, &claim, e)) == 0) {
		r = op_take(op, claim.generation, &claim, e);
		if (r == -ENOENT)
			continue;
		if (r < 0)
			return r;
		op_begin_undo(op, &claim);
		undo_mount(op, &claim, true);
		r = undo_revoke(op, &claim, e);
		if (r == 0)
			r = op_drop(op, claim.generation, e);
		if (r < 0)
			return r;
	}
	return r == -ENOENT ? 0 : r;
}

static int undo_on_file(const struct op *op, const struct record *rec, struct err *e)
{
	auto_container struct container c = CONTAINER_INIT;
	struct host_file_spec spec = undo_host_file(rec);
	struct node_place place;
	int r;

	r = container_host(&c, e);
	if (r < 0)
		return r;
	place = container_place(&c, UNDO_NODE_MS);
	return host_file_remove(&place, op->helper->node_store, &spec, e);
}

/*
 * What counts is that nobody opens it any more: the filter for root, the node's
 * mode for everybody else. A container may keep the node itself where we do not
 * find it, or keep us from removing it; that is no reason to try for ever.
 */
int undo_revoke(const struct op *op, const struct record *rec, struct err *e)
{
	auto_container struct container c = CONTAINER_INIT;
	struct node_place place;
	struct node_spec node = place_node(rec);
	struct err why;
	int found, r;

	if (rec->flags & WIRE_AHEAD)
		return undo_claims(op, rec, e);
	if (record_is_host_file(rec) && rec->major)
		return undo_on_file(op, rec, e);
	if (rec->flags & WIRE_NO_CONTAINER || !rec->major)
		return 0; /* nothing was put anywhere */
	if (rec->filesystem) {
		undo_limits(rec);
		return 0; /* there is nothing to open */
	}
	found = container_find(&c, rec->container_pid, rec->container_start, rec->mount_ns_inode,
			       rec->cgroup_inode, e);
	if (found < 0 && found != -ESRCH)
		return found;
	r = undo_filter(op, rec, &c, e);
	if (r == 0)
		r = undo_unit(rec, found < 0, e);
	if (r == 0)
		r = node_disarm(op->helper->node_store, &node.id, e);
	if (r == 0)
		undo_limits(rec);
	if (r < 0 || found < 0 || c.mount_ns_fd < 0)
		return r;
	place = container_place(&c, UNDO_NODE_MS);
	r = node_remove(&place, &node, rec->made_dirs, &why);
	if (r < 0 && !process_ended(c.pidfd))
		log_warning("ublkb%u: its node stays, and cannot be opened: %s", rec->dev_id,
			    why.text);
	return 0;
}

static int undo_flush_work(void *arg, struct err *e)
{
	const struct record *rec = arg;
	auto_close int fd = -1;
	char path[32];

	snprintf(path, sizeof(path), "/dev/ublkb%u", rec->dev_id);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT || errno == ENXIO
			       ? 0
			       : err_sys(e, errno, "cannot open %s", path);
	if (fsync(fd) < 0)
		return err_sys(e, errno, "cannot flush %s", path);
	return 0;
}

static int undo_worker_pin(const struct record *rec)
{
	return rec->worker_pid ? process_pin(rec->worker_pid, rec->worker_start) : -ESRCH;
}

/* One that is not on record yet may be there all the same, in the cgroup that is. */
static bool undo_worker_unseen(const struct record *rec)
{
	return !rec->worker_pid && *rec->cgroup;
}

/* Through its cgroup: the helper has no right to signal other uids. worker: -1 when unseen. */
static int undo_kill(const struct record *rec, int worker)
{
	int r = cgroup_kill(rec->cgroup);

	return r < 0 || worker < 0 ? r : spawn_wait_end(worker, UNDO_KILL_MS);
}

/* Flush, then stop. A worker that does not keep up with either is suspect: it is killed. */
static int undo_stop(const struct op *op, struct ublk_ctl *ctl, const struct record *rec,
		     bool orderly, struct err *e)
{
	auto_close int worker = undo_worker_pin(rec);
	struct err why;
	bool there = worker >= 0 || undo_worker_unseen(rec);
	bool suspect = false;
	int r;

	r = undo_other_worker(rec, e);
	if (r < 0)
		return r;
	if (orderly && worker >= 0 && !(rec->flags & WIRE_READ_ONLY)) {
		r = child_run(undo_flush_work, (void *)rec, UNDO_FLUSH_MS, &why);
		if (r < 0)
			log_warning("ublkb%u: %s; what was not written is lost", rec->dev_id,
				    why.text);
		suspect = r == -ETIMEDOUT;
	}
	timing_mark(op->timing, WIRE_STEP_FLUSH);
	if (there && (suspect || !orderly))
		undo_kill(rec, worker);
	r = ublk_stop(ctl, rec->dev_id, UNDO_STOP_MS, e);
	if (r == -ETIMEDOUT && there) {
		log_warning("ublkb%u: its worker does not let go and is killed", rec->dev_id);
		undo_kill(rec, worker);
		r = ublk_stop(ctl, rec->dev_id, UNDO_STOP_MS, e);
	}
	timing_mark(op->timing, WIRE_STEP_STOP);
	if (worker >= 0)
		process_wait_end(worker, UNDO_LEAVE_MS);
	timing_mark(op->timing, WIRE_STEP_LEAVE);
	return r == -ENODEV ? 0 : r;
}

/* The driver's part, if this number is still the device of this record. */
static int undo_device(const struct op *op, const struct record *rec, bool orderly, struct err *e)
{
	auto_ublk_ctl struct ublk_ctl *ctl = NULL;
	struct ublk_info info;
	int r;

	r = ublk_ctl_open(&ctl, e);
	if (r == -ENOENT)
		return 0; /* no driver, no device */
	if (r < 0)
		return r;
	r = ublk_info(ctl, rec->dev_id, &info, e);
	timing_mark(op->timing, WIRE_STEP_CONTROL);
	if (r == -ENODEV || (r == 0 && info.cookie != rec->generation))
		return 0;
	if (r < 0)
		return r;
	if (info.state != UBLK_S_DEV_DEAD) {
		r = undo_stop(op, ctl, rec, orderly, e);
		if (r < 0)
			return r;
	}
	r = ublk_delete(ctl, rec->dev_id, UNDO_STOP_MS, e);
	timing_mark(op->timing, WIRE_STEP_DELETE);
	return r == -ENODEV ? 0 : r;
}

int undo_kill_worker(const struct record *rec, struct err *e)
{
	auto_close int worker = undo_worker_pin(rec);
	int r = worker < 0 ? 0 : undo_kill(rec, worker);

	return r < 0 ? err_sys(e, -r, "worker %d does not end", rec->worker_pid) : 0;
}

static void undo_other_path(const struct record *rec, char path[CGROUP_PATH_SIZE])
{
	static_assert(sizeof(rec->cgroup) == CGROUP_PATH_SIZE, "a cgroup's path");
	memcpy(path, rec->cgroup, CGROUP_PATH_SIZE);
	cgroup_other(path);
}

int undo_other_worker(const struct record *rec, struct err *e)
{
	char path[CGROUP_PATH_SIZE];

	if (!*rec->cgroup)
		return 0;
	undo_other_path(rec, path);
	return cgroup_remove(path, UNDO_KILL_MS, e);
}

bool undo_other_lives(const struct record *rec)
{
	char path[CGROUP_PATH_SIZE];

	if (!*rec->cgroup)
		return false;
	undo_other_path(rec, path);
	return cgroup_event(path, "populated");
}

int undo_fail(const struct op *op, const struct record *rec, struct err *e)
{
	auto_ublk_ctl struct ublk_ctl *ctl = NULL;
	int r;

	r = undo_revoke(op, rec, e);
	if (r == 0)
		r = undo_kill_worker(rec, e);
	if (r == 0)
		r = undo_other_worker(rec, e);
	if (r == 0)
		r = backend_device_end(rec, e);
	if (r == 0)
		r = ublk_ctl_open(&ctl, e);
	if (r == 0)
		r = ublk_stop(ctl, rec->dev_id, UNDO_STOP_MS, e);
	return r == -ENODEV ? 0 : r;
}

static int undo_worker(const struct record *rec, struct err *e)
{
	int r = undo_kill_worker(rec, e);

	if (r == 0)
		r = undo_other_worker(rec, e);
	if (r == 0)
		r = backend_device_end(rec, e);
	if (r < 0)
		return r;
	return *rec->cgroup ? cgroup_remove(rec->cgroup, UNDO_KILL_MS, e) : 0;
}

/* What a container mounted, and its processes had open, goes a little after they do. */
static int undo_wait_unused(const struct op *op, const struct record *rec, struct err *e)
{
	int64_t deadline_ms = clock_deadline_ms(op_left_ms(op, UNDO_UNUSED_MS));
	int r;

	while ((r = loss_in_use(op, rec, UNDO_LOOK_MS, e)) == -EBUSY && clock_left_ms(deadline_ms))
		clock_sleep_ms(UNDO_UNUSED_STEP_MS);
	return r;
}

/*
 * The device goes on, for the next container. Who had it open before keeps it open, and would
 * write where the next one does: so until that ends, the claim does not. Others read what is
 * shared, and do no harm; and while the host has it elsewhere, it is nobody else's.
 */
static int undo_claim(const struct op *op, const struct record *rec, struct err *e)
{
	int r;

	r = undo_revoke(op, rec, e);
	timing_mark(op->timing, WIRE_STEP_REVOKE);
	if (r == 0 && !record_device_reads(rec) && !undo_shared(op, rec))
		r = undo_wait_unused(op, rec, e);
	timing_mark(op->timing, WIRE_STEP_UNUSED);
	if (r < 0)
		return r;
	r = op_drop(op, rec->generation, e);
	timing_mark(op->timing, WIRE_STEP_CLEAN);
	return r;
}

/*
 * From here on the block device's number is somebody else's, who has a node and a way to it of that
 * name: what is tried again must not take them away.
 */
static int undo_forget_number(const struct op *op, const struct record *rec, struct err *e)
{
	struct record gone = *rec;
	int r;

	if (!rec->major)
		return 0;
	gone.major = gone.minor = 0;
	r = op_update(op, &gone, e);
	return r == -ENOENT ? 0 : r; /* of an orphan there is no record */
}

int undo_run(const struct op *op, const struct record *rec, bool orderly, struct err *e)
{
	int r;

	undo_mount(op, rec, orderly);
	if (rec->flags & WIRE_CLAIMED)
		return undo_claim(op, rec, e);

	/* While somebody might still open it, its number must not go to another device. */
	r = undo_revoke(op, rec, e);
	timing_mark(op->timing, WIRE_STEP_REVOKE);
	if (r < 0)
		return r;
	r = undo_device(op, rec, orderly, e);
	if (r == 0)
		r = undo_forget_number(op, rec, e);
	if (r < 0)
		return r;
	r = undo_worker(rec, e);
	if (r < 0)
		return r;
	r = keep_drop(rec->generation, e);
	if (r == 0 || r == -ENOTCONN)
		r = stats_file_remove(op->helper->stats_fd, rec->generation, e);
	if (r < 0)
		return r;
	r = op_drop(op, rec->generation, e);
	timing_mark(op->timing, WIRE_STEP_CLEAN);
	return r;
}
