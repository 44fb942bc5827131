/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/base/num.h"
#include "driver/base/text.h"
#include "driver/base/ublk_abi.h"
#include "driver/privileged/attach_check.h"
#include "driver/privileged/backend_device.h"
#include "driver/privileged/backing.h"
#include "driver/privileged/birth.h"
#include "driver/privileged/container.h"
#include "driver/privileged/datapath.h"
#include "driver/privileged/disk.h"
#include "driver/privileged/iolimit.h"
#include "driver/privileged/keep.h"
#include "driver/privileged/nbd.h"
#include "driver/privileged/place.h"
#include "driver/privileged/remake.h"
#include "driver/privileged/request.h"
#include "driver/privileged/ublk_ctl.h"
#include "driver/privileged/undo.h"
#include "targets/catalog.h"

#define ATTACH_START_MS 5000
#define ATTACH_CONNECT_MS 10000
#define ATTACH_MEET_MS 2000
#define ATTACH_MEET_STEP_MS 100
#define ATTACH_NUMBERS_MAX 4096 /* of devices of other ublk servers that are stepped over */

struct attach {
	const struct op *op;
	struct record rec;
	struct container container; /* or the host, to mount on */
	int dir_fd;
	struct host_dir dir; /* what the caller handed in to mount on */
	struct backing backing;
	struct backing base;
	struct nbd_server server;
	struct ublk_ctl *ctl;
	struct birth birth;
	struct disk disk;
};

static void attach_fini(struct attach *a)
{
	container_fini(&a->container);
	close_fdp(&a->dir_fd);
	backing_fini(&a->backing);
	backing_fini(&a->base);
	nbd_server_fini(&a->server);
	ublk_ctl_close(a->ctl);
	birth_fini(&a->birth);
	disk_fini(&a->disk);
}

static void attach_note_claim(struct attach *a, const struct wire_attach *ask)
{
	struct record *rec = &a->rec;

	rec->flags = ask->flags & WIRE_FLAGS_DEVICE;
	rec->target = ask->target;
	rec->size_bytes = rec->asked_bytes = ask->size_bytes;
	rec->asked_queues = ask->nr_queues;
	rec->asked_depth = ask->depth;
	rec->nr_queues = ask->nr_queues ? ask->nr_queues : HELPER_QUEUES;
	rec->depth = ask->depth ? ask->depth : HELPER_DEPTH;
	rec->logical_block_bytes = 512;
	rec->physical_block_bytes = 4096;
	rec->peer_uid = a->op->uid;
	rec->peer_gid = a->op->gid;
	rec->node_uid = ask->uid;
	rec->node_gid = ask->gid;
	rec->node_mode = ask->mode;
	rec->filesystem = ask->filesystem;
	rec->fault = ask->fault;
	if (*ask->address) {
		static_assert(sizeof(rec->backing) == sizeof(ask->address), "an address fits");
		memcpy(rec->backing, ask->address, sizeof(rec->backing));
		memcpy(rec->nbd.export_name, ask->export_name, sizeof(rec->nbd.export_name));
		rec->nbd.asked_connections =
			ask->nr_connections ? ask->nr_connections : HELPER_CONNECTIONS;
		rec->raw_writers = 1;
	}
	rec->nbd.format = ask->format;
	rec->nbd.base_format = ask->base_format;
	if (ask->format)
		rec->nbd.asked_connections = 1;
	memcpy(rec->container, ask->container, sizeof(rec->container));
	memcpy(rec->engine, ask->engine, sizeof(rec->engine));
	memcpy(rec->path, ask->path, sizeof(rec->path));
}

/* b: of the device's files the one that says how large it is. */
static int attach_note_size(struct record *rec, const struct backing *b, struct err *e)
{
	if (!rec->size_bytes)
		rec->size_bytes = b->bytes;
	if (!b->bytes)
		return err_set(e, EINVAL,
			       "the backing file is empty: give it a size with truncate(1)");
	if (rec->size_bytes > b->bytes)
		return err_set(e, EFBIG,
			       "the size asked for (%llu bytes) is larger than the backing "
			       "file (%llu)",
			       (unsigned long long)rec->size_bytes, (unsigned long long)b->bytes);
	if (rec->size_bytes % rec->logical_block_bytes)
		return err_set(e, EINVAL,
			       "the size (%llu bytes) is not a multiple of the backing "
			       "file's block, %u bytes",
			       (unsigned long long)rec->size_bytes, rec->logical_block_bytes);
	return 0;
}

static int attach_look_backing(struct attach *a, int fd, struct err *e)
{
	struct record *rec = &a->rec;
	struct backing *b = &a->backing;
	int r;

	r = backing_examine(b, fd, rec->flags & WIRE_READ_ONLY, a->op->registry->policy, e);
	if (r < 0)
		return r;
	if (text_copy(rec->backing, sizeof(rec->backing), b->path) < 0)
		return err_set(e, ENAMETOOLONG, "the backing file's path is longer than %d bytes",
			       WIRE_BACKING_SIZE - 1);
	rec->backing_dev = b->dev;
	rec->backing_inode = b->inode;
	rec->backing_uid = b->owner_uid;
	rec->raw_writers = b->raw_writers;
	rec->logical_block_bytes = b->logical_block_bytes;
	rec->physical_block_bytes = b->physical_block_bytes;
	rec->direct_io = b->direct;
	return 0;
}

static uint32_t attach_larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* The device does what both its files can. */
static int attach_look_base(struct attach *a, int fd, struct err *e)
{
	struct record *rec = &a->rec;
	struct backing *b = &a->base;
	int r;

	r = backing_examine(b, fd, true, a->op->registry->policy, e);
	if (r < 0)
		return err_prefix(e, r, "the base");
	if (text_copy(rec->base, sizeof(rec->base), b->path) < 0)
		return err_set(e, ENAMETOOLONG, "the base's path is longer than %d bytes",
			       WIRE_BACKING_SIZE - 1);
	if (b->dev == rec->backing_dev && b->inode == rec->backing_inode)
		return err_set(e, EINVAL, "the base is its own delta");
	rec->base_dev = b->dev;
	rec->base_inode = b->inode;
	rec->raw_writers |= b->raw_writers;
	rec->logical_block_bytes = attach_larger(rec->logical_block_bytes, b->logical_block_bytes);
	rec->physical_block_bytes =
		attach_larger(rec->physical_block_bytes, b->physical_block_bytes);
	rec->direct_io &= b->direct;
	a->backing.memory_align_bytes =
		attach_larger(a->backing.memory_align_bytes, b->memory_align_bytes);
	if (b->piece_bytes && (!a->backing.piece_bytes || b->piece_bytes < a->backing.piece_bytes))
		a->backing.piece_bytes = b->piece_bytes;
	return 0;
}

/* fds: of the target's files, as many as it has. */
static int attach_look_files(struct attach *a, const struct catalog_target *target, const int *fds,
			     struct err *e)
{
	int r = 0;

	if (target->nr_fds)
		r = attach_look_backing(a, fds[0], e);
	if (r == 0 && (target->based || a->rec.nbd.base_format))
		r = attach_look_base(a, fds[1], e);
	if (r == 0 && target->image && a->backing.block_device)
		return err_set(e, EINVAL, "an image is a regular file");
	/* How large an image is, only its back end knows, which is started when the rest is
	 * decided. */
	a->rec.direct_io &= !target->image;
	if (r < 0 || !target->nr_fds || target->image)
		return r;
	return attach_note_size(&a->rec, target->based ? &a->base : &a->backing, e);
}

/*
 * Nobody is connected to for who would not get it, whatever the size, which only the server knows.
 * What there is then is decided on once more, with that.
 */
static int attach_look_server(struct attach *a, struct err *e)
{
	struct record *rec = &a->rec;
	const struct nbd_place place = {
		.address = rec->backing,
		.export_name = rec->nbd.export_name,
		.nr_connections = rec->nbd.asked_connections,
	};
	struct policy_claim claim = registry_claim(a->op->registry, &a->op->peer, rec);
	struct policy_verdict verdict;
	int r;

	/* It is started when the rest is decided. */
	if (backend_serves(rec))
		return 0;
	if (!claim.size_bytes)
		claim.size_bytes = rec->logical_block_bytes;
	policy_decide(a->op->registry->policy, &claim, &verdict);
	if (!verdict.allowed)
		return err_set(e, EPERM, "the policy refuses it: %s", verdict.reason);
	r = registry_check_backing(a->op->registry, rec, e);
	if (r < 0)
		return r;
	r = nbd_connect(&a->server, &place, op_left_ms(a->op, ATTACH_CONNECT_MS), e);
	return r < 0 ? r : nbd_note(rec, &a->server, e);
}

/* Held for as long as this takes, so that its mount's number stays its own. */
static int attach_look_dir(struct attach *a, int dir_fd, struct err *e)
{
	int r;

	a->dir_fd = dir_fd;
	r = place_look_host(a->op, &a->container, &a->rec, dir_fd, e);
	a->dir = a->rec.dir;
	return r;
}

/* Facts about what came with the request; the fds are the packet's until taken. */
static int attach_look(struct attach *a, struct packet *p, struct err *e)
{
	const struct catalog_target *target = catalog_target(a->rec.target);
	unsigned int next = 0;
	int r = 0;

	if (record_on_host(&a->rec))
		r = attach_look_dir(a, fd_take(&p->fds[next++]), e);
	else if (record_is_placed(&a->rec))
		r = place_look(a->op, &a->container, &a->rec, fd_take(&p->fds[next++]), e);
	if (r < 0)
		return r;
	return target->by_address ? 0 : attach_look_files(a, target, p->fds + next, e);
}

/* Who asks at the same time may have the server's only room, and nothing on record yet. */
static int attach_meet_late(struct attach *a, struct err *e)
{
	int64_t deadline_ms = clock_deadline_ms(ATTACH_MEET_MS);
	int r;

	while ((r = op_meet(a->op, &a->rec, e)) == 0 && clock_left_ms(deadline_ms) > 0)
		clock_sleep_ms(ATTACH_MEET_STEP_MS);
	return r;
}

/*
 * A device that is there is known without its server: that may have room for one client, which is
 * the device's worker. Else -EALREADY, as of op_reserve().
 */
static int attach_find_server(struct attach *a, struct err *e)
{
	struct err why;
	int r;

	if (!catalog_target(a->rec.target)->by_address)
		return 0;
	r = op_meet(a->op, &a->rec, e);
	if (r < 0)
		return r;
	r = attach_look_server(a, e);
	if (r == -EREMOTEIO && attach_meet_late(a, &why) == -EALREADY)
		return -EALREADY;
	if (r < 0)
		request_refused(a->op, "attach", &a->rec, e->text);
	return r;
}

static int attach_control(struct attach *a, struct err *e)
{
	int r;

	r = ublk_ctl_open(&a->ctl, e);
	if (r < 0)
		return r;
	a->birth.ctl = a->ctl;
	a->rec.kernel_features = ublk_features(a->ctl);
	return 0;
}

static uint32_t attach_piece_bytes(const struct attach *a)
{
	uint32_t piece = a->backing.piece_bytes;

	/* What a server takes at once is what its device is asked. */
	if (a->server.nr)
		return a->rec.max_io_bytes;
	return piece && piece < a->rec.max_io_bytes ? piece : a->rec.max_io_bytes;
}

/*
 * When its worker dies the device is held for another one, which is asked again what the dead one
 * was asked: to read and write the same blocks twice does no harm. One that leaves is given no
 * more before; but the driver (7.3) ends with EIO what comes for a quiesced device with batches.
 */
static uint64_t attach_recovery(uint64_t features, uint64_t flags)
{
	return features & (UBLK_F_USER_RECOVERY | UBLK_F_USER_RECOVERY_REISSUE |
			   (flags & UBLK_F_BATCH_IO ? 0 : UBLK_F_QUIESCE));
}

/* Of what the target could do, what there is. */
static void attach_features(const struct attach *a, struct ublk_spec *spec)
{
	const struct catalog_target *target = catalog_target(a->rec.target);
	uint32_t has = a->server.flags;

	spec->volatile_cache = target->volatile_cache && (!a->server.nr || has & START_NBD_FLUSH);
	spec->discards = target->discards && a->rec.grants & RECORD_DISCARD &&
			 (!a->server.nr || has & (START_NBD_TRIM | START_NBD_ZERO));
	spec->rotational = a->backing.rotational || has & START_NBD_ROTATIONAL;
}

/* ADD_DEV with the lowest number nobody has; journalled before it is made. */
static int attach_add(struct attach *a, struct err *e)
{
	struct record *rec = &a->rec;
	struct ublk_spec spec = {
		.cookie = rec->generation,
		.nr_queues = rec->nr_queues,
		.depth = rec->depth,
		.dev_bytes = rec->size_bytes,
		.logical_block_bytes = rec->logical_block_bytes,
		.physical_block_bytes = rec->physical_block_bytes,
		.io_min_bytes = a->backing.io_min_bytes,
		.io_opt_bytes = a->backing.io_opt_bytes,
		.memory_align_bytes = a->backing.memory_align_bytes,
		.read_only = rec->flags & WIRE_READ_ONLY,
	};
	uint64_t wanted;
	int r;

	r = datapath_choose(rec, &spec.flags, &spec.max_io_bytes, e);
	if (r < 0)
		return r;
	attach_features(a, &spec);
	if (a->server.nr && rec->piece_bytes < spec.max_io_bytes)
		spec.max_io_bytes = rec->piece_bytes;
	spec.flags |= attach_recovery(rec->kernel_features, spec.flags);
	wanted = spec.flags;
	for (unsigned int i = 0; i < ATTACH_NUMBERS_MAX; i++) {
		spec.dev_id = rec->dev_id;
		r = ublk_add(a->ctl, &spec, e);
		if (r != -EEXIST)
			break;
		rec->dev_id++;
		r = registry_name_cgroup(rec, a->op->helper->cgroup_base, e);
		if (r == 0)
			r = op_update(a->op, rec, e);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if ((spec.flags & wanted) != wanted)
		return err_set(e, ENOTSUP, "the driver did not grant what it said it knows");
	rec->nr_queues = spec.nr_queues;
	rec->depth = spec.depth;
	rec->max_io_bytes = spec.max_io_bytes;
	rec->piece_bytes = attach_piece_bytes(a);
	rec->kernel_flags = spec.flags;
	return 0;
}

/*
 * Only the back end knew how large it is: that is decided on, with its place in all sums, before
 * there is a device, and before its back end may write so much.
 */
static int attach_size_known(struct attach *a, pid_t backend_pid, struct err *e)
{
	int r;

	r = op_grow(a->op, &a->rec, e);
	if (r == 0)
		r = op_update(a->op, &a->rec, e);
	return r < 0 ? r : backend_device_limit(&a->rec, backend_pid, e);
}

static int attach_backing(struct attach *a, struct err *e)
{
	bool unknown = !a->rec.size_bytes;
	pid_t pid;
	int r;

	if (backend_serves(&a->rec)) {
		r = backend_device_start(a->op, &a->rec, &a->server, &pid, e);
		if (r == 0)
			r = nbd_note(&a->rec, &a->server, e);
		if (r == 0 && unknown)
			r = attach_size_known(a, pid, e);
		for (unsigned int i = 0; r == 0 && i < a->server.nr; i++)
			a->birth.files[a->birth.nr_files++] = a->server.fds[i];
		return r;
	}
	r = backing_make(&a->backing, a->rec.target, a->rec.size_bytes, e);
	if (a->backing.fd >= 0)
		a->birth.files[a->birth.nr_files++] = a->backing.fd;
	if (a->base.fd >= 0)
		a->birth.files[a->birth.nr_files++] = a->base.fd;
	for (unsigned int i = 0; i < a->server.nr; i++)
		a->birth.files[a->birth.nr_files++] = a->server.fds[i];
	return r;
}

/* What is kept goes on record, to be known again. */
static int attach_note_kept(struct attach *a, struct err *e)
{
	struct record *rec = &a->rec;
	struct stat st;

	rec->nbd.state = a->server.nr ? RECORD_NBD_USED : RECORD_NBD_NONE;
	if (a->server.nr)
		return nbd_note_sockets(rec, a->server.fds, a->server.nr, e);
	if (fstat(a->backing.fd, &st) < 0)
		return err_sys(e, errno, "cannot look at what the worker serves from");
	rec->kept_dev = st.st_dev;
	rec->kept_inode = st.st_ino;
	if (a->base.fd < 0)
		return 0;
	if (fstat(a->base.fd, &st) < 0)
		return err_sys(e, errno, "cannot look at the base");
	rec->base_kept_dev = st.st_dev;
	rec->base_kept_inode = st.st_ino;
	return 0;
}

/*
 * For the worker that comes when this one dies, before anybody can write. Without a keeper,
 * which the log has told of, the device is as good as it was, and ends with its worker.
 */
static int attach_keep(struct attach *a, struct err *e)
{
	struct record *rec = &a->rec;
	int r;

	if (backend_serves(rec)) {
		rec->nbd.state = RECORD_NBD_USED;
		return 0;
	}
	r = attach_note_kept(a, e);
	if (r < 0)
		return r;
	r = keep_put_files(rec->generation, a->birth.files, a->birth.nr_files, e);
	if (r != -ENOTCONN)
		return r;
	rec->kept_dev = rec->base_kept_dev = 0;
	return 0;
}

/* Where the container's owner could lift a limit, the disk behind the device has it too. */
static int attach_cgroup(struct attach *a, struct err *e)
{
	struct record *rec = &a->rec;

	if (rec->grants & RECORD_IO_LIMITS && rec->backing_dev && a->container.cgroup_fd >= 0 &&
	    iolimit_delegated(a->container.cgroup_fd) && iolimit_disk((dev_t)rec->backing_dev))
		rec->grants |= RECORD_IO_BEHIND;
	return birth_cgroup(&a->birth, e);
}

static int attach_spawn(struct attach *a, struct err *e)
{
	return birth_spawn(&a->birth, e);
}

static int attach_prepare(struct attach *a, struct err *e)
{
	return birth_prepare(&a->birth, e);
}

static int attach_hand_over(struct attach *a, struct err *e)
{
	return birth_hand_over(&a->birth, e);
}

static int attach_start(struct attach *a, struct err *e)
{
	struct record *rec = &a->rec;
	int r;

	r = ublk_start(a->ctl, rec->dev_id, getpid(), op_left_ms(a->op, ATTACH_START_MS), e);
	if (r < 0)
		return r;
	return ublk_block_number(a->ctl, rec->dev_id, &rec->major, &rec->minor, e);
}

/* On record with its number before it is anywhere, so that undoing finds it there. */
static int attach_settle(struct attach *a, struct err *e)
{
	disk_open(&a->disk, &a->rec);
	return record_is_placed(&a->rec) ? op_update(a->op, &a->rec, e) : 0;
}

static int attach_place(struct attach *a, struct err *e)
{
	return record_is_placed(&a->rec) ? place_run(a->op, &a->container, &a->rec, e) : 0;
}

static int attach_live(struct attach *a, struct err *e)
{
	int r;

	int dir_fd = a->op->helper->remake_fd;
	bool written = false;

	if (a->rec.flags & WIRE_AHEAD) {
		written = !remake_is_there(dir_fd, &a->rec);
		r = remake_save(dir_fd, &a->rec, e);
		if (r < 0)
			return r;
	}
	a->rec.state = WIRE_STATE_LIVE;
	r = op_update(a->op, &a->rec, e);
	/* What was there before is for the next time, also when this time failed. */
	if (r < 0 && written)
		remake_remove(dir_fd, &a->rec, NULL);
	return r;
}

static const struct {
	enum wire_step step;
	int (*run)(struct attach *a, struct err *e);
} attach_steps[] = {
	{ WIRE_STEP_MEMORY, attach_backing },  { WIRE_STEP_CONTROL, attach_control },
	{ WIRE_STEP_ADD, attach_add },	       { WIRE_STEP_KEEP, attach_keep },
	{ WIRE_STEP_CGROUP, attach_cgroup },   { WIRE_STEP_SPAWN, attach_spawn },
	{ WIRE_STEP_PREPARE, attach_prepare }, { WIRE_STEP_SEAL, attach_hand_over },
	{ WIRE_STEP_START, attach_start },     { WIRE_STEP_SETTLE, attach_settle },
	{ WIRE_STEP_NODE, attach_place },      { WIRE_STEP_LIVE, attach_live },
};

static int attach_make(struct attach *a, struct err *e)
{
	struct err why;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(attach_steps) && r == 0; i++) {
		r = attach_steps[i].run(a, e);
		timing_mark(a->op->timing, attach_steps[i].step);
	}
	if (r == 0)
		return 0;
	op_begin_undo(a->op, &a->rec);
	if (undo_run(a->op, &a->rec, false, &why) < 0)
		log_error("ublkb%u: %s; trying again", a->rec.dev_id, why.text);
	return r;
}

/*
 * Asked twice is one attach. What was taken from the container's filter since then
 * (systemd adds a program of its own at every daemon-reload) is given again, and
 * its limits are set again, which a runtime's update may have lifted. What somebody has
 * unmounted is mounted again, on the directory that is there by now. The
 * device is taken for that, so that nobody ends it in the middle.
 */
static int attach_again(struct attach *a, struct err *e)
{
	int r;

	if (!record_is_placed(&a->rec))
		return 0;
	r = op_take(a->op, a->rec.generation, &a->rec, e);
	/* What was given to another cgroup than the record's would never be taken back. */
	if (r < 0 || a->container.cgroup_inode != a->rec.cgroup_inode)
		return r;
	a->rec.dir = a->dir;
	r = place_again(a->op, &a->container, &a->rec, e);
	/* What is open of a file system that is mounted is a use of it. */
	close_fdp(&a->dir_fd);
	return r;
}

int attach_serve(struct op *op, struct packet *p, struct err *e)
{
	__attribute__((cleanup(attach_fini))) struct attach a = {
		.op = op,
		.container = CONTAINER_INIT,
		.dir_fd = -1,
		.backing = BACKING_INIT,
		.base = BACKING_INIT,
		.server = NBD_SERVER_INIT,
		.birth = BIRTH_INIT(op, &a.rec),
		.disk = DISK_INIT,
	};
	struct wire_attach ask;
	int r;

	memcpy(&ask, p->bytes, sizeof(ask));
	r = attach_check(&ask, p->nr_fds, e);
	if (r < 0) {
		request_refused(op, "attach", NULL, e->text);
		return r;
	}
	r = op_shorten(op, ask.timeout_ms, e);
	if (r < 0)
		return r;
	op->timed = ask.flags & WIRE_TIMED;
	attach_note_claim(&a, &ask);
	r = attach_look(&a, p, e);
	timing_mark(op->timing, WIRE_STEP_LOOK);
	if (r < 0) {
		request_refused(op, "attach", &a.rec, e->text);
		return r;
	}
	r = attach_find_server(&a, e);
	if (r == 0)
		r = op_reserve(op, &a.rec, e);
	timing_mark(op->timing, WIRE_STEP_DECIDE);
	if (r == 0)
		r = attach_make(&a, e);
	else if (r == -EALREADY)
		r = attach_again(&a, e);
	if (r < 0)
		return r;
	request_done(op, &a.rec);
	disk_set(&a.disk, &a.rec);
	return 0;
}
