/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/reconcile.h"

#include <errno.h>

#include "driver/base/cleanup.h"
#include "driver/base/log.h"
#include "driver/base/ublk_abi.h"
#include "driver/privileged/claims.h"
#include "driver/privileged/container.h"
#include "driver/privileged/detach.h"
#include "driver/privileged/devfilter.h"
#include "driver/privileged/place.h"
#include "driver/privileged/filesystem.h"
#include "driver/privileged/memlimit.h"
#include "driver/privileged/repair.h"
#include "driver/privileged/ublk_ctl.h"
#include "driver/privileged/undo.h"

#define RECONCILE_MOUNT_MS 5000

/* Does the driver serve what this record says, or hold it for another worker? */
static bool reconcile_is_there(struct ublk_ctl *ctl, const struct record *rec)
{
	struct ublk_info info;

	return ublk_info(ctl, rec->dev_id, &info, NULL) == 0 && info.cookie == rec->generation &&
	       info.state != UBLK_S_DEV_DEAD;
}

/*
 * Its container may open it: a helper that died while it looked whether a device is in use
 * had closed the filter.
 */
static void reconcile_allow(const struct op *op, const struct record *rec)
{
	auto_container struct container c = CONTAINER_INIT;
	struct err why;

	if (rec->flags & WIRE_NO_CONTAINER || rec->filesystem ||
	    container_find(&c, rec->container_pid, rec->container_start, rec->mount_ns_inode,
			   rec->cgroup_inode, NULL) < 0 ||
	    container_filter_fd(&c) < 0)
		return;
	if (devfilter_allow(op->helper->filter_dir, container_filter_fd(&c), rec->major, rec->minor,
			    place_filter_how(rec), &why) < 0)
		log_warning("ublkb%u: its container may not open it: %s", rec->dev_id, why.text);
}

/* Likewise: that helper had unmounted its file system. */
static void reconcile_mount(const struct op *op, const struct record *rec)
{
	auto_container struct container c = CONTAINER_INIT;
	struct filesystem_spec spec = undo_filesystem(op, rec);
	struct node_place place;
	struct err why;
	uint64_t dev;
	int r;

	if (!rec->filesystem || undo_find_place(&c, rec, NULL) < 0 || c.mount_ns_fd < 0)
		return;
	place = container_place(&c, op_left_ms(op, RECONCILE_MOUNT_MS));
	r = filesystem_look(&place, &spec, &why);
	if (r == -ENOENT)
		r = filesystem_insert(&place, &spec, &dev, &why);
	if (r < 0)
		log_warning("ublkb%u: %s is not mounted: %s", rec->dev_id, rec->path, why.text);
}

/* Nobody takes it from there but us, and who unmounts by hand. */
static void reconcile_file(const struct op *op, const struct record *rec)
{
	auto_container struct container c = CONTAINER_INIT;
	struct err why;

	if (!record_is_host_file(rec) || container_host(&c, NULL) < 0)
		return;
	if (place_again(op, &c, (struct record *)rec, &why) < 0)
		log_warning("ublkb%u: it is not at %s: %s", rec->dev_id, rec->path, why.text);
}

static void reconcile_device(struct ublk_ctl *ctl, const struct op *op, const struct record *rec)
{
	struct err why;

	if (reconcile_is_there(ctl, rec)) {
		/* The service manager has to take limits away to start us: see ublk-ocid.service.
		 */
		if (memlimit_set(rec, &why) < 0)
			log_warning("ublkb%u: %s", rec->dev_id, why.text);
		reconcile_allow(op, rec);
		reconcile_mount(op, rec);
		/* One that was born to take over, and came no further. */
		if (undo_other_worker(rec, &why) < 0)
			log_warning("ublkb%u: %s", rec->dev_id, why.text);
		return;
	}
	log_warning("ublkb%u is served by nobody: it is taken away", rec->dev_id);
	if (detach_own(op, rec->generation, &why) < 0)
		log_error("ublkb%u: %s", rec->dev_id, why.text);
}

/* What a container has of a device goes no later than the device. */
static void reconcile_claim(const struct op *op, const struct record *rec)
{
	struct err why;

	if (claims_device(op->registry, rec)) {
		reconcile_allow(op, rec);
		reconcile_mount(op, rec);
		reconcile_file(op, rec);
		return;
	}
	log_warning("ublkb%u is gone: it is taken from %s %s", rec->dev_id,
		    record_on_host(rec) ? "the host's" : "container",
		    record_on_host(rec) ? rec->path : rec->container);
	if (detach_own(op, rec->generation, &why) < 0)
		log_error("ublkb%u: %s", rec->dev_id, why.text);
}

int reconcile_run(const struct op *op, struct err *e)
{
	auto_ublk_ctl struct ublk_ctl *ctl = NULL;
	struct err why;
	int r;

	r = ublk_ctl_open(&ctl, e);
	if (r < 0)
		return r;
	if (repair_start(op, &why) < 0)
		log_error("%s", why.text);
	for (size_t i = 0; i < op->registry->nr_devices; i++) {
		const struct record *rec = &op->registry->devices[i]->rec;

		/* What somebody undoes already is not waited for: callers wait for us. */
		if (rec->state != WIRE_STATE_LIVE || op->registry->devices[i]->op_pid)
			continue;
		if (rec->flags & WIRE_CLAIMED)
			reconcile_claim(op, rec);
		else
			reconcile_device(ctl, op, rec);
	}
	return 0;
}
