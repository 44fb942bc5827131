/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/repair.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/log.h"
#include "driver/base/text.h"
#include "driver/privileged/access.h"
#include "driver/privileged/cgroup.h"
#include "driver/privileged/container.h"
#include "driver/privileged/detach.h"
#include "driver/privileged/devfilter.h"
#include "driver/privileged/dir_lock.h"
#include "driver/privileged/journal.h"
#include "driver/privileged/process.h"
#include "driver/privileged/request.h"
#include "driver/privileged/ublk_ctl.h"
#include "driver/privileged/undo.h"

#define REPAIR_LOCK_MS 5000
#define REPAIR_SEND_MS 2000
#define REPAIR_PLACE_MS 5000
#define REPAIR_UNMOUNT_MS 5000
#define REPAIR_ONE_MS                                                                              \
	18000 /* what one of them may take: its mounts, its worker's end, STOP, DELETE */

struct repair {
	const struct op *op;
	struct orphans *all;
};

/* --- each in its way ----------------------------------------------------------------------- */

struct repair_asks {
	const struct op *op;
	const struct orphan_key *key;
};

/* Who cannot be asked is taken for an owner. */
static bool repair_wanted(void *arg)
{
	const struct repair_asks *asks = arg;

	return op_owned(asks->op, asks->key, NULL) != 0;
}

static int repair_record(struct repair *r, struct orphan *o, struct err *e)
{
	return detach_own(r->op, o->key.generation, e);
}

static int repair_filter(struct repair *r, struct orphan *o, struct err *e)
{
	struct repair_asks asks = { r->op, &o->key };
	auto_close int cgroup_fd = cgroup_open_inode(o->key.cgroup_inode);
	struct devfilter_stray stray = {
		.cgroup_inode = o->key.cgroup_inode,
		.cgroup_fd = cgroup_fd < 0 ? -1 : cgroup_fd,
		.major = o->key.major,
		.minor = o->key.minor,
		.wanted = repair_wanted,
		.arg = &asks,
	};

	/* Without its own program a cgroup that is there would open nothing any more. */
	if (cgroup_fd < 0 && cgroup_fd != -ENOENT)
		return err_sys(e, -cgroup_fd, "cannot look for the cgroup");
	return devfilter_reclaim(r->op->helper->filter_dir, &stray, e);
}

static int repair_node(struct repair *r, struct orphan *o, struct err *e)
{
	struct repair_asks asks = { r->op, &o->key };

	struct node_id id = { o->key.major, o->key.minor, (uint32_t)o->key.generation };

	return node_reclaim(r->op->helper->node_store, &id, repair_wanted, &asks, e);
}

/* The process that was seen may be another one by now. */
static int repair_place(struct repair *r, struct orphan *o, struct err *e)
{
	auto_container struct container c = CONTAINER_INIT;
	auto_close int proc_fd = process_proc_open(o->pid);
	struct node_spec node = {
		.path = o->path,
		.id = { o->key.major, o->key.minor, 0 },
	};
	struct node_place place;
	uint64_t start;
	int ret;

	if (proc_fd < 0 || process_start_time(proc_fd, &start) < 0)
		return 0; /* who is left there is found the next time */
	ret = container_identify(&c, process_pin(o->pid, start), e);
	if (ret < 0)
		return ret == -ESRCH ? 0 : ret;
	if (c.mount_ns_inode != o->ns_inode)
		return err_set(e, EAGAIN, "who was seen there went elsewhere: ask again");
	place = container_place(&c, op_left_ms(r->op, REPAIR_PLACE_MS));
	return node_remove(&place, &node, 0, e);
}

/* Its number must not go to another device while something still opens it. */
static int repair_check_closed(const struct repair *r, const struct record *rec, struct err *e)
{
	for (size_t i = 0; i < r->all->nr; i++) {
		const struct orphan *o = &r->all->list[i];

		if (o->outcome == WIRE_OUTCOME_STAYS && orphan_opens(o, rec->major, rec->minor))
			return err_set(e, EBUSY, "it can still be opened: %s", o->failure);
	}
	return 0;
}

/* Is this number still this device's? While it is mounted it cannot become another's. */
static bool repair_is_there(const struct record *rec)
{
	auto_ublk_ctl struct ublk_ctl *ctl = NULL;
	uint32_t major = 0, minor = 0;
	struct ublk_info info;

	return ublk_ctl_open(&ctl, NULL) == 0 && ublk_info(ctl, rec->dev_id, &info, NULL) == 0 &&
	       info.cookie == rec->generation &&
	       ublk_block_number(ctl, rec->dev_id, &major, &minor, NULL) == 0 &&
	       major == rec->major && minor == rec->minor;
}

/*
 * As what it was mounted on the host is not known, nor where: by its number. While its worker
 * may still write what there is to write.
 */
static void repair_unmount(const struct repair *r, const struct record *rec)
{
	auto_container struct container c = CONTAINER_INIT;
	struct filesystem_spec spec = undo_filesystem(r->op, rec);
	struct node_place place;
	struct err why;

	if (!rec->major || !repair_is_there(rec) || container_host(&c, NULL) < 0)
		return;
	spec.path = "/"; /* nowhere in particular */
	place = container_place(&c, op_left_ms(r->op, REPAIR_UNMOUNT_MS));
	if (filesystem_remove(&place, &spec, FILESYSTEM_SYNCED, &why) < 0)
		log_warning("repair: ublkb%u: %s", rec->dev_id, why.text);
}

/* All that was made for one device. The driver is asked once more whose its number is. */
static int repair_device(struct repair *r, struct orphan *o, struct err *e)
{
	struct record rec = orphan_record(o, r->all->list, r->all->nr);
	int ret;

	ret = repair_check_closed(r, &rec, e);
	if (ret < 0)
		return ret;
	repair_unmount(r, &rec);
	return undo_run(r->op, &rec, false, e);
}

static int repair_file(struct repair *r, struct orphan *o, struct err *e)
{
	return journal_remove_stray(r->op->helper->journal_fd, o->path, e);
}

/* The main process writes the list: without what is on no record. */
static int repair_entry(struct repair *r, struct orphan *o, struct err *e)
{
	return op_list_again(r->op, e);
}

static int (*const repair_removes[WIRE_ORPHAN_END])(struct repair *r, struct orphan *o,
						    struct err *e) = {
	[WIRE_ORPHAN_RECORD] = repair_record,	[WIRE_ORPHAN_FILTER] = repair_filter,
	[WIRE_ORPHAN_NODE] = repair_node,	[WIRE_ORPHAN_PLACE] = repair_place,
	[WIRE_ORPHAN_WORKER] = repair_device,	[WIRE_ORPHAN_DEVICE] = repair_device,
	[WIRE_ORPHAN_CGROUP] = repair_device,	[WIRE_ORPHAN_KEPT] = repair_device,
	[WIRE_ORPHAN_COUNTERS] = repair_device, [WIRE_ORPHAN_FILE] = repair_file,
	[WIRE_ORPHAN_ENTRY] = repair_entry,
};

/* --- all of them --------------------------------------------------------------------------- */

static void repair_settle(struct repair *r, const struct orphan *of, int ret, const struct err *why)
{
	for (size_t i = 0; i < r->all->nr; i++) {
		struct orphan *o = &r->all->list[i];

		if (o != of && !orphan_together(o, of))
			continue;
		o->outcome = ret < 0 ? WIRE_OUTCOME_STAYS : WIRE_OUTCOME_REMOVED;
		if (ret < 0)
			text_copy(o->failure, sizeof(o->failure), why->text);
	}
}

static void repair_one(struct repair *r, struct orphan *o)
{
	struct err why = { "" };
	int ret;

	if (op_left_ms(r->op, REPAIR_ONE_MS) < REPAIR_ONE_MS)
		ret = err_set(&why, ETIMEDOUT, "there is no time left for it: ask again");
	else
		ret = repair_removes[o->key.kind](r, o, &why);
	repair_settle(r, o, ret, &why);
}

/* Two at once could take each other's numbers for what they saw. */
static int repair_run(const struct op *op, struct orphans *all, bool start, bool look_only,
		      struct err *e)
{
	struct repair r = { op, all };
	auto_close int lock_fd = -1;
	int ret;

	ret = dir_lock(op->helper->journal_fd, ".", op_left_ms(op, REPAIR_LOCK_MS), &lock_fd, e);
	if (ret < 0)
		return ret == -ETIMEDOUT ? err_set(e, EBUSY, "another repair is under way") : ret;
	ret = repair_find(all, op, start, e);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < all->nr; i++) {
		if (look_only)
			all->list[i].outcome = WIRE_OUTCOME_FOUND;
		else if (!all->list[i].outcome)
			repair_one(&r, &all->list[i]);
	}
	return 0;
}

static int repair_tell(const struct op *op, const struct orphan *o)
{
	struct wire_orphan m = {
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_ORPHAN, sizeof(m), 0 },
		.kind = o->key.kind,
		.outcome = o->outcome,
	};

	text_copy(m.name, sizeof(m.name), o->name);
	text_copy(m.why, sizeof(m.why), o->why);
	text_copy(m.failure, sizeof(m.failure), o->failure);
	return packet_send(op->peer_fd, &m, sizeof(m), NULL, 0, op_left_ms(op, REPAIR_SEND_MS));
}

static void repair_log(const struct orphan *o)
{
	if (o->outcome == WIRE_OUTCOME_STAYS)
		log_error("repair: %s: %s; it stays: %s", o->name, o->why, o->failure);
	else if (o->outcome == WIRE_OUTCOME_REMOVED)
		log_warning("repair: %s: %s; it is removed", o->name, o->why);
}

int repair_serve(struct op *op, struct packet *p, struct err *e)
{
	auto_orphans struct orphans all = { 0 };
	struct wire_repair ask;
	int r;

	memcpy(&ask, p->bytes, sizeof(ask));
	if (ask.flags & ~(uint32_t)WIRE_REPAIR_FLAGS_ALL || ask.pad)
		return err_set(e, EINVAL, "the request has flags this helper does not know");
	if (ask.generation)
		return access_serve(op, ask.generation, ask.flags & WIRE_REPAIR_DRY_RUN, e);
	r = repair_run(op, &all, false, ask.flags & WIRE_REPAIR_DRY_RUN, e);
	for (size_t i = 0; i < all.nr; i++)
		repair_log(&all.list[i]);
	for (size_t i = 0; i < all.nr && r == 0; i++) {
		r = repair_tell(op, &all.list[i]);
		if (r < 0)
			return err_sys(e, -r, "the caller does not read the answer");
	}
	if (r < 0)
		return r;
	request_reply(op->peer_fd, 0, NULL, all.more ? "there is more: ask again" : "");
	return 0;
}

int repair_start(const struct op *op, struct err *e)
{
	auto_orphans struct orphans all = { 0 };
	unsigned int nr_aside = journal_nr_aside(op->helper->journal_fd);
	int r;

	/* Devices that are used, perhaps: of another version that was here before. */
	if (nr_aside) {
		log_warning("%u records cannot be read: what seems to be nobody's may be theirs, "
			    "and stays until somebody asks for ublk-oci repair",
			    nr_aside);
		return 0;
	}
	r = repair_run(op, &all, true, false, e);
	for (size_t i = 0; i < all.nr; i++)
		repair_log(&all.list[i]);
	return r;
}
