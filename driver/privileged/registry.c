/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "driver/privileged/audit.h"
#include "driver/privileged/backend_device.h"
#include "driver/privileged/cgroup.h"
#include "targets/catalog.h"

static void device_free(struct device *d)
{
	if (!d)
		return;
	close_fdp(&d->worker_pidfd);
	close_fdp(&d->container_pidfd);
	free(d);
}

void registry_fini(struct registry *reg)
{
	for (size_t i = 0; i < reg->nr_devices; i++)
		device_free(reg->devices[i]);
	free(reg->devices);
	reg->devices = NULL;
	reg->nr_devices = 0;
}

int registry_adopt(struct registry *reg, const struct record *rec)
{
	struct device **devices, *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	devices = realloc(reg->devices, (reg->nr_devices + 1) * sizeof(struct device *));
	if (!devices) {
		free(d);
		return -ENOMEM;
	}
	d->rec = *rec;
	d->worker_pidfd = -1;
	d->container_pidfd = -1;
	reg->devices = devices;
	reg->devices[reg->nr_devices++] = d;
	return 0;
}

struct device *registry_find(const struct registry *reg, uint64_t generation)
{
	for (size_t i = 0; i < reg->nr_devices; i++) {
		if (reg->devices[i]->rec.generation == generation)
			return reg->devices[i];
	}
	return NULL;
}

struct device *registry_find_number(const struct registry *reg, uint32_t dev_id)
{
	for (size_t i = 0; i < reg->nr_devices; i++) {
		if (reg->devices[i]->rec.dev_id == dev_id &&
		    !(reg->devices[i]->rec.flags & WIRE_CLAIMED))
			return reg->devices[i];
	}
	return NULL;
}

bool registry_same_container(const struct record *a, const struct record *b)
{
	return !(a->flags & WIRE_NO_CONTAINER) && !(b->flags & WIRE_NO_CONTAINER) &&
	       a->container_pid == b->container_pid && a->container_start == b->container_start;
}

/* Names of devices made ahead are a place too: there is one of each. So are the host's directories.
 */
bool registry_same_place(const struct record *a, const struct record *b)
{
	return ((a->flags & b->flags & WIRE_AHEAD) || (record_on_host(a) && record_on_host(b)) ||
		registry_same_container(a, b)) &&
	       !strcmp(a->path, b->path);
}

/* A file that a device is made of. */
struct registry_file {
	uint64_t dev, inode;
	bool writes;
};

#define REGISTRY_FILES 2

static void registry_files(const struct record *rec, struct registry_file ret[REGISTRY_FILES])
{
	ret[0] = (struct registry_file){ rec->backing_dev, rec->backing_inode,
					 !(rec->flags & WIRE_READ_ONLY) };
	ret[1] = (struct registry_file){ rec->base_dev, rec->base_inode, false };
}

/* Is one export of one server behind both, and does one of them write? */
static bool registry_same_server(const struct record *a, const struct record *b)
{
	return a->nbd.asked_connections && b->nbd.asked_connections && !backend_serves(a) &&
	       !(a->flags & b->flags & WIRE_READ_ONLY) && !strcmp(a->backing, b->backing) &&
	       !strcmp(a->nbd.export_name, b->nbd.export_name);
}

/* Is a file of both, which one of them writes? */
static bool registry_collide(const struct record *a, const struct record *b)
{
	struct registry_file x[REGISTRY_FILES], y[REGISTRY_FILES];

	if (registry_same_server(a, b))
		return true;
	registry_files(a, x);
	registry_files(b, y);
	for (size_t i = 0; i < REGISTRY_FILES; i++) {
		for (size_t k = 0; k < REGISTRY_FILES; k++) {
			if (x[i].dev && x[i].dev == y[k].dev && x[i].inode == y[k].inode &&
			    (x[i].writes || y[k].writes))
				return true;
		}
	}
	return false;
}

/* The same peer asks for the same thing. */
static bool registry_same_claim(const struct record *a, const struct record *b)
{
	return a->peer_uid == b->peer_uid && a->target == b->target && a->flags == b->flags &&
	       a->asked_bytes == b->asked_bytes && a->asked_queues == b->asked_queues &&
	       a->asked_depth == b->asked_depth && a->node_uid == b->node_uid &&
	       a->node_gid == b->node_gid && a->node_mode == b->node_mode &&
	       a->filesystem == b->filesystem && a->backing_dev == b->backing_dev &&
	       a->backing_inode == b->backing_inode && a->base_dev == b->base_dev &&
	       a->base_inode == b->base_inode && !strcmp(a->nbd.export_name, b->nbd.export_name) &&
	       a->nbd.asked_connections == b->nbd.asked_connections &&
	       a->nbd.format == b->nbd.format && a->nbd.base_format == b->nbd.base_format &&
	       (!a->nbd.asked_connections || !strcmp(a->backing, b->backing)) &&
	       !memcmp(&a->fault, &b->fault, sizeof(a->fault));
}

int registry_again(const struct device *d, struct record *rec, struct err *e)
{
	if (d->rec.state != WIRE_STATE_LIVE || d->op_pid)
		return err_set(e, EAGAIN, "somebody is working on the device at %s", rec->path);
	*rec = d->rec;
	return -EALREADY;
}

int registry_check_place(const struct registry *reg, struct record *rec, struct err *e)
{
	for (size_t i = 0; i < reg->nr_devices; i++) {
		const struct device *d = reg->devices[i];

		if (!registry_same_place(&d->rec, rec))
			continue;
		if (d->rec.state == WIRE_STATE_DETACHING)
			return err_set(e, EAGAIN, "the device at %s is being detached", rec->path);
		if (d->rec.state == WIRE_STATE_FAILED)
			return err_set(e, EEXIST,
				       "the device at %s (ublkb%u) has failed: detach it first",
				       rec->path, d->rec.dev_id);
		if (!registry_same_claim(&d->rec, rec))
			return err_set(e, EEXIST, "another device (ublkb%u) is at %s already",
				       d->rec.dev_id, rec->path);
		return registry_again(d, rec, e);
	}
	return 0;
}

int registry_check_backing(const struct registry *reg, const struct record *rec, struct err *e)
{
	for (size_t i = 0; i < reg->nr_devices; i++) {
		const struct record *other = &reg->devices[i]->rec;

		if (!registry_collide(other, rec))
			continue;
		return err_set(e, EBUSY, "%s is attached %s already, as ublkb%u%s%s",
			       rec->nbd.asked_connections && !rec->nbd.format
				       ? "the server's export"
				       : "the backing file",
			       other->flags & WIRE_READ_ONLY ? "read-only" : "read-write",
			       other->dev_id, *other->container ? " in " : "", other->container);
	}
	return 0;
}

/* A sum too large to say is more than any limit. */
static void registry_add_bytes(uint64_t *sum, uint64_t bytes)
{
	if (__builtin_add_overflow(*sum, bytes, sum))
		*sum = UINT64_MAX;
}

struct policy_claim registry_claim(const struct registry *reg, const struct registry_peer *peer,
				   const struct record *rec)
{
	bool host = rec->flags & WIRE_HOST;
	bool placed = !(rec->flags & WIRE_NO_CONTAINER);
	const struct catalog_target *target = catalog_target(rec->target);
	bool server = target && target->by_address, file = *rec->backing && !server;
	struct policy_claim claim = {
		.act = rec->filesystem ? POLICY_MOUNT : POLICY_ATTACH,
		.uid = peer->uid,
		.gids = peer->gids,
		.nr_gids = peer->nr_gids,
		.host = host,
		.ahead = rec->flags & WIRE_AHEAD,
		.cgroup = placed && *rec->container_cgroup ? rec->container_cgroup : NULL,
		.owner_uid = placed ? rec->container_uid : UINT32_MAX,
		.target = rec->target,
		.read_only = rec->flags & WIRE_READ_ONLY,
		.size_bytes = rec->size_bytes,
		.backing = file ? rec->backing : NULL,
		.backing_uid = file ? rec->backing_uid : UINT32_MAX,
		.address = server ? rec->backing : NULL,
		.base = *rec->base ? rec->base : NULL,
		.format = rec->nbd.format,
		.base_format = rec->nbd.base_format,
		.zero_copy = rec->flags & WIRE_ZERO_COPY,
		.nr_queues = rec->nr_queues,
		.depth = rec->depth,
		.mount_path = rec->filesystem || record_is_host_file(rec) ? rec->path : NULL,
		.mount_filesystem = catalog_filesystem(rec->filesystem),
		.raw_writers = rec->filesystem && (peer->uid != 0 || rec->raw_writers),
	};

	for (size_t i = 0; i < reg->nr_devices; i++) {
		const struct device *d = reg->devices[i];
		const struct record *other = &d->rec;
		uint64_t bytes = d->grown_bytes ? d->grown_bytes : other->size_bytes;

		if (other->generation == rec->generation)
			continue;
		/* What containers have of a device is no more than the device. */
		if (!(other->flags & WIRE_CLAIMED)) {
			claim.devices_in_all++;
			registry_add_bytes(&claim.bytes_in_all, bytes);
		}
		if (!registry_same_container(other, rec))
			continue;
		claim.devices_in_container++;
		registry_add_bytes(&claim.bytes_in_container, bytes);
	}
	return claim;
}

/* What comes with the verdict goes into the record, so that whoever acts on it need not ask again.
 */
static int registry_grant(struct record *rec, const struct policy_verdict *verdict, struct err *e)
{
	const struct policy_io *io = &verdict->io;

	static_assert(sizeof(rec->rule) > POLICY_ID_MAX, "a rule's id fits");
	text_copy(rec->rule, sizeof(rec->rule), verdict->rule);
	rec->io = (struct wire_io){ io->read_bytes, io->write_bytes, io->read_ops, io->write_ops };
	rec->grants = (verdict->discard ? RECORD_DISCARD : 0u) |
		      (verdict->zero_copy ? RECORD_ZERO_COPY : 0u) |
		      (verdict->nbd_reissue ? RECORD_REISSUE : 0u);
	if (rec->nbd.asked_connections)
		rec->nbd.timeout_ms = verdict->nbd_timeout_seconds * 1000;
	if (!io->read_bytes && !io->write_bytes && !io->read_ops && !io->write_ops)
		return 0;
	if (rec->flags & WIRE_HOST)
		return err_set(e, EPERM,
			       "rule %s limits I/O, and a device for the host has no cgroup to "
			       "limit",
			       rec->rule);
	rec->grants |= RECORD_IO_LIMITS;
	return 0;
}

static int registry_ask_policy(const struct registry *reg, const struct registry_peer *peer,
			       const char *what, const struct policy_claim *claim,
			       const struct record *rec, struct policy_verdict *ret, struct err *e)
{
	int r;

	policy_decide(reg->policy, claim, ret);
	r = audit_verdict(what, peer, rec, ret, e);
	if (!ret->allowed)
		return err_set(e, EPERM, "the policy refuses it: %s", ret->reason);
	return r; /* what is not on record is not done */
}

static int registry_decide(const struct registry *reg, const struct registry_peer *peer,
			   struct record *rec, struct err *e)
{
	struct policy_claim claim = registry_claim(reg, peer, rec);
	struct policy_verdict verdict = { 0 };
	int r;

	/* Nothing is started for who would not get it, whatever the size, which the back end knows:
	 * see registry_grow(). */
	if (!claim.size_bytes && backend_serves(rec))
		claim.size_bytes = rec->logical_block_bytes;
	r = registry_ask_policy(reg, peer, "attach", &claim, rec, &verdict, e);
	return r < 0 ? r : registry_grant(rec, &verdict, e);
}

int registry_grow(struct registry *reg, const struct registry_peer *peer, struct record *rec,
		  struct err *e)
{
	struct policy_claim claim = registry_claim(reg, peer, rec);
	struct device *d = registry_find(reg, rec->generation);
	struct policy_verdict verdict = { 0 };
	bool attaching;
	int r;

	if (!d || d->op_pid != peer->op_pid)
		return err_set(e, ENOENT, "there is no such device");
	attaching = d->rec.state == WIRE_STATE_ATTACHING;
	if (!attaching) {
		claim.act = POLICY_RESIZE;
		claim.mount_path = claim.mount_filesystem = NULL;
	}
	r = registry_ask_policy(reg, peer, attaching ? "attach" : "resize", &claim, rec, &verdict,
				e);
	/* It may be another rule that allows so much, and gives less otherwise. */
	if (r == 0 && attaching)
		r = registry_grant(rec, &verdict, e);
	if (r == 0)
		d->grown_bytes = rec->size_bytes;
	return r;
}

/*
 * The lowest of 0 .. nr_devices that no device has: of one more number than
 * there are devices one is free. -ENOMEM.
 */
static int64_t registry_lowest(const struct registry *reg,
			       uint32_t (*number)(const struct record *rec, uint32_t first),
			       uint32_t first)
{
	auto_free bool *used = calloc(reg->nr_devices + 1, sizeof(*used));
	int64_t lowest = 0;

	if (!used)
		return -ENOMEM;
	for (size_t i = 0; i < reg->nr_devices; i++) {
		uint32_t n = number(&reg->devices[i]->rec, first);

		if (n < reg->nr_devices)
			used[n] = true;
	}
	while (used[lowest])
		lowest++;
	return lowest;
}

static uint32_t registry_dev_id(const struct record *rec, uint32_t first)
{
	return rec->dev_id - first;
}

static uint32_t registry_uid(const struct record *rec, uint32_t first)
{
	return rec->worker_uid - first;
}

/* The workers of one container share a uid that no other container's has. */
static int registry_choose_uid(const struct registry *reg, struct record *rec, struct err *e)
{
	uint32_t first = policy_worker_ids_first(reg->policy);
	uint32_t count = policy_worker_ids_count(reg->policy);
	int64_t lowest;

	for (size_t i = 0; i < reg->nr_devices; i++) {
		if (registry_same_container(&reg->devices[i]->rec, rec) &&
		    !(reg->devices[i]->rec.flags & WIRE_CLAIMED)) {
			rec->worker_uid = reg->devices[i]->rec.worker_uid;
			return 0;
		}
	}
	lowest = registry_lowest(reg, registry_uid, first);
	if (lowest < 0)
		return err_sys(e, ENOMEM, "cannot choose a uid");
	if (lowest >= count)
		return err_set(e, EUSERS, "all %u uids of the policy's \"worker_ids\" are in use",
			       count);
	rec->worker_uid = first + (uint32_t)lowest;
	return 0;
}

int registry_name_cgroup(struct record *rec, const char *base, struct err *e)
{
	uint64_t place = rec->flags & WIRE_NO_CONTAINER ? 0 : rec->mount_ns_inode;

	return cgroup_worker_path(rec->cgroup, base, place, rec->dev_id, rec->generation, e);
}

int registry_choose_generation(const struct registry *reg, uint64_t *ret, struct err *e)
{
	uint32_t random;

	do {
		if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
			return err_sys(e, errno, "cannot get a random number");
		*ret = RECORD_GENERATION_MARK << 32 | random;
	} while (registry_find(reg, *ret));
	return 0;
}

static int registry_choose_names(const struct registry *reg, struct record *rec, struct err *e)
{
	int64_t lowest;
	int r;

	r = registry_choose_generation(reg, &rec->generation, e);
	if (r < 0)
		return r;
	lowest = registry_lowest(reg, registry_dev_id, 0);
	if (lowest < 0)
		return err_sys(e, ENOMEM, "cannot choose a number");
	rec->dev_id = (uint32_t)lowest;
	r = reg->cgroup_base ? registry_name_cgroup(rec, reg->cgroup_base, e) : 0;
	return r < 0 ? r : registry_choose_uid(reg, rec, e);
}

int registry_enter(struct registry *reg, const struct registry_peer *peer, struct record *rec,
		   struct err *e)
{
	int r;

	rec->magic = RECORD_MAGIC;
	rec->version = RECORD_VERSION;
	rec->size = sizeof(*rec);
	rec->state = WIRE_STATE_ATTACHING;
	rec->since = (uint64_t)time(NULL);
	r = journal_save(reg->journal_fd, rec, e);
	if (r < 0)
		return r;
	r = registry_adopt(reg, rec);
	if (r < 0) {
		journal_remove(reg->journal_fd, rec->generation, NULL);
		return err_sys(e, -r, "cannot remember the device");
	}
	reg->devices[reg->nr_devices - 1]->op_pid = peer->op_pid;
	return 0;
}

int registry_reserve(struct registry *reg, const struct registry_peer *peer, struct record *rec,
		     struct err *e)
{
	int r;

	r = registry_check_place(reg, rec, e);
	if (r < 0)
		return r;
	r = registry_decide(reg, peer, rec, e);
	if (r < 0)
		return r;
	r = registry_check_backing(reg, rec, e);
	if (r < 0)
		return r;
	r = registry_choose_names(reg, rec, e);
	return r < 0 ? r : registry_enter(reg, peer, rec, e);
}

/* What containers have of a device that grew is as large. */
static void registry_grow_claims(struct registry *reg, const struct record *rec)
{
	for (size_t i = 0; i < reg->nr_devices; i++) {
		struct record *claim = &reg->devices[i]->rec;

		if (!(claim->flags & WIRE_CLAIMED) || claim->dev_id != rec->dev_id)
			continue;
		claim->size_bytes = rec->size_bytes;
		journal_save(reg->journal_fd, claim, NULL);
	}
}

int registry_update(struct registry *reg, const struct record *rec, struct err *e)
{
	struct device *d = registry_find(reg, rec->generation);
	int r;

	if (!d)
		return err_set(e, ENOENT, "there is no such device");
	r = journal_save(reg->journal_fd, rec, e);
	/* Taking away does not depend on being written down. */
	if (r < 0 && rec->state != WIRE_STATE_DETACHING)
		return r;
	reg->cdi_stale |= rec->flags & WIRE_AHEAD && d->rec.state != rec->state;
	if (d->rec.size_bytes != rec->size_bytes)
		registry_grow_claims(reg, rec);
	d->rec = *rec;
	d->grown_bytes = 0;
	if (rec->state == WIRE_STATE_LIVE || rec->state == WIRE_STATE_FAILED)
		d->op_pid = 0;
	return 0;
}

int registry_take(struct registry *reg, uint64_t generation, pid_t op_pid, struct record *ret,
		  struct err *e)
{
	struct device *d = registry_find(reg, generation);

	if (!d)
		return err_set(e, ENOENT, "there is no such device");
	if (d->op_pid && d->op_pid != op_pid)
		return err_set(e, EAGAIN, "somebody is working on ublkb%u", d->rec.dev_id);
	d->op_pid = op_pid;
	d->retry_ms = 0;
	*ret = d->rec;
	return 0;
}

int registry_saw(struct registry *reg, uint64_t generation, const struct device_access *seen,
		 struct err *e)
{
	struct device *d = registry_find(reg, generation);

	if (!d)
		return err_set(e, ENOENT, "there is no such device");
	d->access = *seen;
	d->op_pid = 0;
	return 0;
}

int registry_drop(struct registry *reg, uint64_t generation, struct err *e)
{
	for (size_t i = 0; i < reg->nr_devices; i++) {
		struct device *d = reg->devices[i];

		if (d->rec.generation != generation)
			continue;
		reg->cdi_stale |= d->rec.flags & WIRE_AHEAD;
		device_free(d);
		reg->devices[i] = reg->devices[--reg->nr_devices];
		return journal_remove(reg->journal_fd, generation, e);
	}
	return 0;
}
