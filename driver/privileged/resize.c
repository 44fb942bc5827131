/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/resize.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "driver/base/ublk_abi.h"
#include "driver/privileged/backing.h"
#include "driver/privileged/detach.h"
#include "driver/privileged/filesystem_grow.h"
#include "driver/privileged/remake.h"
#include "driver/privileged/undo.h"
#include "driver/privileged/upgrade.h"
#include "targets/catalog.h"
#include "targets/image_format.h"

#define RESIZE_GROW_MS 20000

/* What a caller may ask of a device with so much behind it; 0 becomes all of that. */
static int resize_check(const struct record *rec, uint64_t backing_bytes, uint64_t *bytes,
			struct err *e)
{
	if (!*bytes)
		*bytes = backing_bytes - backing_bytes % rec->logical_block_bytes;
	if (*bytes % rec->logical_block_bytes)
		return err_set(e, EINVAL, "size %" PRIu64 " is not a multiple of its blocks of %u",
			       *bytes, rec->logical_block_bytes);
	if (*bytes < rec->size_bytes)
		return err_set(e, EINVAL,
			       "the device has %" PRIu64
			       " bytes, and a device cannot become smaller",
			       rec->size_bytes);
	if (*bytes > backing_bytes)
		return err_set(e, EINVAL,
			       "what is behind it has %" PRIu64 " bytes: make that larger first",
			       backing_bytes);
	return 0;
}

/* Decided by the main process, which keeps the room until the record says so. */
static int resize_change(const struct op *op, void *arg, struct record *rec, int backing_fd,
			 struct err *e)
{
	uint64_t bytes = *(const uint64_t *)arg, backing_bytes = INT64_MAX;
	int r = 0;

	if (backing_fd < 0 && !bytes)
		return err_set(e, EINVAL, "an image becomes as large as is said: how large?");
	if (backing_fd >= 0)
		r = backing_size(backing_fd, &backing_bytes, e);
	if (r == 0)
		r = resize_check(rec, backing_bytes, &bytes, e);
	if (r < 0)
		return r;
	if (bytes == rec->size_bytes)
		return -EALREADY;
	rec->size_bytes = bytes;
	r = op_grow(op, rec, e);
	if (r < 0 || !(rec->flags & WIRE_AHEAD) || !rec->asked_bytes)
		return r;
	/* Made again after a start of the machine it is to be as large. */
	rec->asked_bytes = bytes;
	return backing_fd < 0 ? 0 : remake_save(op->helper->remake_fd, rec, e);
}

/* What no try can do. */
static int resize_possible(const struct record *rec, struct err *e)
{
	const struct catalog_target *target = catalog_target(rec->target);

	if (target && target->image && !image_format_grows(rec->nbd.format))
		return err_set(e, EOPNOTSUPP,
			       "an image of format %s keeps its size: qemu-img convert makes a "
			       "larger one of another format",
			       image_format_name(rec->nbd.format));
	if (target && target->image && rec->flags & WIRE_READ_ONLY)
		return err_set(e, EROFS, "what only reads an image does not make it larger");
	if (!target || !target->nr_fds || target->based)
		return err_set(e, EOPNOTSUPP, "a device of target %s has its size for ever",
			       target ? target->name : "unknown");
	if (!(rec->kernel_features & UBLK_F_UPDATE_SIZE))
		return err_set(e, EOPNOTSUPP,
			       "this kernel's ublk driver cannot change the size of a device "
			       "(UPDATE_SIZE, Linux 6.16): detach it, and attach it again");
	return 0;
}

/*
 * What is mounted of it, by us, grows with it. No more is read of what others wrote than to mount
 * it did, and no more is trusted. What somebody else mounts is theirs to make larger.
 */
static int resize_filesystem(const struct op *op, const struct record *device, struct err *e)
{
	struct record rec = *device;
	struct filesystem_spec spec;
	int r;

	if (device->flags & WIRE_READ_ONLY)
		return 0;
	if (device->flags & WIRE_AHEAD && op_find_claim(op, device, &rec, NULL) < 0)
		return 0;
	if (!rec.filesystem || rec.state != WIRE_STATE_LIVE)
		return 0;
	spec = undo_filesystem(op, &rec);
	r = filesystem_grow(&spec, op_left_ms(op, RESIZE_GROW_MS), e);
	return r < 0 ? err_prefix(e, r, "the device is as large by now; ask again") : 0;
}

/*
 * An image is larger than what it is made again from says until here, never smaller. The device is
 * held meanwhile: who removes it removes that too, and it must not come back.
 */
static int resize_remake(const struct op *op, const struct record *device, struct err *e)
{
	struct record rec;
	int r;

	if (!device->nbd.format || !(device->flags & WIRE_AHEAD) || !device->asked_bytes)
		return 0;
	r = op_take(op, device->generation, &rec, e);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = remake_save(op->helper->remake_fd, &rec, e);
	return op_update(op, &rec, r < 0 ? NULL : e) < 0 && r == 0 ? -EIO : r;
}

int resize_serve(struct op *op, struct packet *p, struct err *e)
{
	struct recover_upgraded done;
	const struct device *d;
	struct wire_resize ask;
	int r;

	memcpy(&ask, p->bytes, sizeof(ask));
	if (ask.pad || ask.size_bytes > INT64_MAX)
		return err_set(e, EINVAL, "the request has numbers that mean nothing");
	d = registry_find(op->registry, ask.generation);
	if (!d || d->rec.flags & WIRE_CLAIMED || !detach_peer_admit(op, "resize", &d->rec))
		return err_set(e, ENOENT, "there is no such device");
	r = resize_possible(&d->rec, e);
	if (r == 0)
		r = op_shorten(op, ask.timeout_ms, e);
	if (r == 0)
		r = recover_upgrade(op, ask.generation, resize_change, &ask.size_bytes, &done, e);
	if (r == 0)
		r = resize_remake(op, &d->rec, e);
	if (r == 0)
		r = resize_filesystem(op, &d->rec, e);
	if (r < 0)
		return r;
	upgrade_answer(op, &d->rec, &done);
	return 0;
}
