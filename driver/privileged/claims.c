/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/claims.h"

#include <errno.h>
#include <string.h>

#include "driver/privileged/audit.h"

static bool claims_is_of(const struct record *claim, const struct record *device)
{
	return claim->flags & WIRE_CLAIMED && claim->dev_id == device->dev_id;
}

/* Does the host have both, in one way: mounted, or as a device? */
static bool claims_alike(const struct record *a, const struct record *b)
{
	return record_on_host(a) && record_on_host(b) && a->filesystem == b->filesystem;
}

const struct device *claims_find(const struct registry *reg, const struct record *device)
{
	const struct device *best = NULL;

	for (size_t i = 0; i < reg->nr_devices; i++) {
		const struct device *d = reg->devices[i];

		if (!claims_is_of(&d->rec, device) || d->rec.generation == device->generation)
			continue;
		if (device->flags & WIRE_CLAIMED && !claims_alike(&d->rec, device))
			continue;
		if (d->rec.state == WIRE_STATE_LIVE)
			return d;
		if (!best || best->rec.state == WIRE_STATE_DETACHING)
			best = d;
	}
	return best;
}

const struct device *claims_device(const struct registry *reg, const struct record *claim)
{
	const struct device *d = registry_find_number(reg, claim->dev_id);

	return d && d->rec.flags & WIRE_AHEAD ? d : NULL;
}

static int claims_check_device(const struct device *d, struct err *e)
{
	const char *name = d->rec.path + strlen("/dev/");

	if (d->rec.state == WIRE_STATE_DETACHING)
		return err_set(e, ENOENT, "device %s is being removed", name);
	if (d->rec.state == WIRE_STATE_FAILED)
		return err_set(e, EIO, "device %s has failed: %s", name, d->rec.failure);
	if (d->rec.state != WIRE_STATE_LIVE || d->op_pid)
		return err_set(e, EAGAIN, "somebody is working on device %s", name);
	return 0;
}

/* From the device what is true of it, from *rec what is of the container and of who asks. */
static void claims_fill(struct record *rec, const struct record *device)
{
	struct record claim = *device;

	claim.flags = (device->flags & ~(uint32_t)WIRE_AHEAD) | WIRE_CLAIMED |
		      (rec->flags & WIRE_FLAGS_CLAIM);
	claim.filesystem = rec->filesystem;
	claim.dir = rec->dir;
	claim.grants &= RECORD_IO_LIMITS;
	if (claim.flags & ~device->flags & WIRE_READ_ONLY)
		claim.grants |= RECORD_READ_MOUNT;
	/* It serves nothing and holds nothing: those are the device's. */
	claim.worker_pid = 0;
	claim.worker_uid = 0;
	claim.worker_start = 0;
	claim.kept_dev = claim.kept_inode = 0;
	claim.backing_dev = claim.backing_inode = 0;
	claim.base_kept_dev = claim.base_kept_inode = 0;
	memset(claim.nbd.kept_inodes, 0, sizeof(claim.nbd.kept_inodes));
	claim.nbd.state = RECORD_NBD_NONE;
	claim.base_dev = claim.base_inode = 0;
	claim.kernel_flags = 0;
	claim.handed_over = 0;
	memset(claim.cgroup, 0, sizeof(claim.cgroup));
	claim.peer_uid = rec->peer_uid;
	claim.peer_gid = rec->peer_gid;
	claim.container_pid = rec->container_pid;
	claim.container_start = rec->container_start;
	claim.mount_ns_inode = rec->mount_ns_inode;
	claim.cgroup_inode = rec->cgroup_inode;
	claim.container_uid = rec->container_uid;
	memcpy(claim.container_cgroup, rec->container_cgroup, sizeof(claim.container_cgroup));
	memcpy(claim.container, rec->container, sizeof(claim.container));
	memcpy(claim.engine, rec->engine, sizeof(claim.engine));
	if (*rec->path)
		memcpy(claim.path, rec->path, sizeof(claim.path));
	*rec = claim;
}

/* A node on a file that is read-only is written all the same by who may write the device. */
static int claims_check_way(const struct record *rec, struct err *e)
{
	if (!record_is_host_file(rec) || !(rec->grants & RECORD_READ_MOUNT))
		return 0;
	return err_set(e, EROFS,
		       "device %s can be written, so it is not given read-only: have it made "
		       "read-only, while nobody has it",
		       rec->path);
}

static int claims_refuse_place(const struct record *there, const struct record *rec, struct err *e)
{
	if (!claims_is_of(there, rec))
		return err_set(e, EEXIST, "another device (ublkb%u) is at %s already",
			       there->dev_id, rec->path);
	return err_set(e, EEXIST, "it is %s %s already, %s",
		       there->filesystem ? "mounted at" : "put on", rec->path,
		       there->filesystem != rec->filesystem ? "as something else"
		       : there->flags & WIRE_READ_ONLY	    ? "to be read only"
							    : "to be written");
}

static int claims_check_place(const struct registry *reg, struct record *rec, struct err *e)
{
	for (size_t i = 0; i < reg->nr_devices; i++) {
		const struct device *d = reg->devices[i];

		if (!registry_same_place(&d->rec, rec))
			continue;
		if (!claims_is_of(&d->rec, rec) || d->rec.filesystem != rec->filesystem ||
		    (d->rec.flags ^ rec->flags) & WIRE_READ_ONLY)
			return claims_refuse_place(&d->rec, rec, e);
		return registry_again(d, rec, e);
	}
	return 0;
}

/* The host has a device as often as one user asks for it, in one way. */
static bool claims_share(const struct record *a, const struct record *b)
{
	return claims_alike(a, b) && a->peer_uid == b->peer_uid;
}

/*
 * Whoever works on one of several has to know that it is one of several: it is waited for, so
 * that none is added meanwhile.
 */
static int claims_check_shared(const struct registry *reg, const struct record *rec, struct err *e)
{
	unsigned int nr = 0;

	for (size_t i = 0; i < reg->nr_devices; i++) {
		const struct device *d = reg->devices[i];

		if (!claims_is_of(&d->rec, rec) || !claims_share(&d->rec, rec))
			continue;
		if (d->op_pid)
			return err_set(e, EAGAIN, "somebody is working on it at %s", d->rec.path);
		nr++;
	}
	return nr < CLAIMS_SHARED_MAX
		       ? 0
		       : err_set(e, EUSERS, "the host has it at %u places already", nr);
}

/* A container that ended, and has not let go yet, is waited for; one that only reads need not be.
 */
static int claims_check_left(const struct registry *reg, const struct record *rec, struct err *e)
{
	for (size_t i = 0; i < reg->nr_devices; i++) {
		const struct record *other = &reg->devices[i]->rec;

		if (claims_is_of(other, rec) && other->state == WIRE_STATE_DETACHING &&
		    !record_device_reads(rec))
			return record_on_host(other)
				       ? err_set(e, EAGAIN, "it is still being unmounted from %s",
						 other->path)
				       : err_set(e, EAGAIN,
						 "it is still being taken from container %s",
						 other->container);
	}
	return 0;
}

static bool claims_taken(const struct registry *reg, const struct record *rec)
{
	for (size_t i = 0; i < reg->nr_devices; i++) {
		const struct record *other = &reg->devices[i]->rec;

		if (claims_is_of(other, rec) && !claims_share(other, rec) &&
		    other->state != WIRE_STATE_DETACHING)
			return true;
	}
	return false;
}

static int claims_decide(const struct registry *reg, const struct registry_peer *peer,
			 uint32_t maker_uid, const struct record *rec, struct err *e)
{
	struct policy_claim sums = registry_claim(reg, peer, rec);
	const struct policy_use use = {
		.rule = rec->rule,
		.uid = peer->uid,
		.maker_uid = maker_uid,
		.hook = peer->uid == reg->hook_uid,
		.host = record_on_host(rec),
		.taken = claims_taken(reg, rec),
		.cgroup = sums.cgroup,
		.owner_uid = sums.owner_uid,
		.read_only = record_device_reads(rec),
		.size_bytes = rec->size_bytes,
		.devices_in_container = sums.devices_in_container,
		.bytes_in_container = sums.bytes_in_container,
	};
	struct policy_verdict verdict = { 0 };
	int r;

	policy_decide_use(reg->policy, &use, &verdict);
	r = audit_verdict("claim", peer, rec, &verdict, e);
	if (!verdict.allowed)
		return err_set(e, EPERM, "the policy refuses it: %s", verdict.reason);
	return r; /* what is not on record is not done */
}

/* The rule that gave the device says who may claim it; one for the host, where it is mounted. */
static int claims_decide_mount(const struct registry *reg, const struct registry_peer *peer,
			       const struct record *rec, struct err *e)
{
	struct policy_claim claim = registry_claim(reg, peer, rec);
	struct policy_verdict verdict = { 0 };
	int r;

	if (rec->grants & RECORD_IO_LIMITS)
		return err_set(e, EPERM, "rule %s limits I/O, and the host has no cgroup to limit",
			       rec->rule);
	policy_decide(reg->policy, &claim, &verdict);
	r = audit_verdict("claim", peer, rec, &verdict, e);
	if (!verdict.allowed)
		return err_set(e, EPERM, "the policy refuses it: %s", verdict.reason);
	return r;
}

int claims_begin(struct registry *reg, const struct registry_peer *peer, struct record *rec,
		 struct err *e)
{
	const struct device *d = registry_find(reg, rec->generation);
	uint32_t maker_uid;
	int r;

	if (!d || !(d->rec.flags & WIRE_AHEAD))
		return err_set(e, ENOENT,
			       "there is no such device: it was removed, or made again since");
	r = claims_check_device(d, e);
	if (r < 0)
		return r;
	maker_uid = d->rec.peer_uid;
	claims_fill(rec, &d->rec);
	r = claims_check_way(rec, e);
	if (r == 0)
		r = claims_check_place(reg, rec, e);
	if (r == 0)
		r = claims_check_left(reg, rec, e);
	if (r == 0)
		r = claims_check_shared(reg, rec, e);
	if (r < 0)
		return r;
	r = claims_decide(reg, peer, maker_uid, rec, e);
	if (r == 0 && record_on_host(rec))
		r = claims_decide_mount(reg, peer, rec, e);
	if (r < 0)
		return r;
	r = registry_choose_generation(reg, &rec->generation, e);
	return r < 0 ? r : registry_enter(reg, peer, rec, e);
}
