/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/base/text.h"
#include "driver/base/ublk_abi.h"
#include "driver/privileged/backend_device.h"
#include "driver/privileged/birth.h"
#include "driver/privileged/cgroup.h"
#include "driver/privileged/keep.h"
#include "driver/privileged/nbd.h"
#include "driver/privileged/process.h"
#include "driver/privileged/ublk_ctl.h"
#include "driver/privileged/undo.h"
#include "targets/catalog.h"

#define RECOVER_END_MS 2000 /* every tag is fetched by then: nothing is waited for */
#define RECOVER_COMMAND_MS 5000
#define RECOVER_NOTICE_MS 10000 /* until the driver sees that a worker is gone */
#define RECOVER_RETRY_MS 2
#define RECOVER_QUIESCE_MS 2000 /* until a tag of each queue is idle */
#define RECOVER_CONNECT_MS 10000
#define RECOVER_GROW_MS 15000
#define RECOVER_LEAVE_MS 1000 /* until what a worker has begun is finished, and it has ended */

struct recover {
	const struct op *op;
	struct record rec;
	struct ublk_ctl *ctl;
	struct birth birth;
	int files[KEEP_FILES_MAX];
	/* An upgrade's. */
	struct record before; /* with the worker that still serves */
	bool left;	      /* or has been told to leave: there is no way back */
	int64_t left_us;
	int64_t pause_us;
	int size_status;   /* of telling the driver the record's size */
	struct err size_e; /* and why not */
};

typedef int recover_step(struct recover *r, struct err *e);

static void recover_fini(struct recover *r)
{
	birth_fini(&r->birth);
	ublk_ctl_close(r->ctl);
	for (size_t i = 0; i < ARRAY_SIZE(r->files); i++)
		close_fdp(&r->files[i]);
}

#define auto_recover __attribute__((cleanup(recover_fini)))
#define RECOVER_INIT(o, r)                                                                         \
	{                                                                                          \
		.op = (o), .birth = BIRTH_INIT(o, &(r).rec), .files = { -1, -1, -1, -1 }           \
	}

/* Once a worker has the char device, kernels before 6.16 take no other. */
static bool recover_once(const struct record *rec)
{
	return !(rec->kernel_features & UBLK_F_PER_IO_DAEMON);
}

static bool recover_has_server(const struct record *rec)
{
	const struct catalog_target *target = catalog_target(rec->target);

	return target && (target->by_address || target->image);
}

/*
 * Until what is missing is there again (a server, the driver's notice that the worker before is
 * gone, memory), which may take any time, the device waits; no worker is to blame.
 */
static int recover_lost(struct recover *r, const char *why, struct err *e)
{
	struct record *rec = &r->rec;

	rec->state = WIRE_STATE_RECOVERING;
	if (rec->nbd.state == RECORD_NBD_USED)
		rec->nbd.state = RECORD_NBD_LOST;
	memset(rec->failure, 0, sizeof(rec->failure));
	text_copy(rec->failure, sizeof(rec->failure), why);
	return op_update(r->op, rec, e);
}

/* Of a back end of the device's own, the next; a program may be another one by now. */
static int recover_backend(const struct recover *r, struct nbd_server *ret, struct err *e)
{
	int code = backend_device_start(r->op, &r->rec, ret, NULL, e);

	return code < 0 ? code : nbd_check_same(&r->rec, ret, e);
}

/* New connections: what had been said on the old ones only the dead worker knew. */
static int recover_server(struct recover *r, struct err *e)
{
	auto_nbd_server struct nbd_server server = NBD_SERVER_INIT;
	struct record *rec = &r->rec, now;
	struct err why;
	int ret;

	ret = recover_lost(r, "its server is lost", e);
	if (ret < 0)
		return ret;
	if (backend_serves(rec))
		backend_device_last_words(rec);
	ret = backend_serves(rec)
		      ? recover_backend(r, &server, &why)
		      : nbd_reconnect(&server, rec, op_left_ms(r->op, RECOVER_CONNECT_MS), &why);
	if (ret < 0) {
		*e = why;
		return recover_lost(r, why.text, NULL) < 0 ? -EIO : ret;
	}
	/* The device stays what it was made as: its blocks, its size, its largest request. */
	now = *rec;
	ret = nbd_note(&now, &server, e);
	rec->nbd = now.nbd;
	/* Those of a back end end with it: they are not kept. */
	if (ret == 0 && !backend_serves(rec))
		ret = nbd_note_sockets(rec, server.fds, server.nr, e);
	if (ret < 0)
		return ret;
	for (unsigned int i = 0; i < server.nr; i++)
		r->birth.files[i] = r->files[i] = fd_take(&server.fds[i]);
	r->birth.nr_files = server.nr;
	rec->nbd.state = RECORD_NBD_FRESH;
	memset(rec->failure, 0, sizeof(rec->failure));
	return 0;
}

/*
 * New connections go to the keeper when they are on record as nobody's, and nobody writes to them
 * before they are on record as used.
 */
static int recover_keep(struct recover *r, struct err *e)
{
	struct record *rec = &r->rec;
	int ret;

	if (!recover_has_server(rec))
		return 0;
	ret = backend_serves(rec) ? -ENOTCONN
				  : keep_put_files(rec->generation, r->files, r->birth.nr_files, e);
	if (ret == -ENOTCONN)
		rec->kept_dev = 0;
	else if (ret < 0)
		return ret;
	rec->nbd.state = RECORD_NBD_USED;
	return op_update(r->op, rec, e);
}

/* The keeper runs without rights: what it hands out counts only if it is the file on record. */
static int recover_backing(struct recover *r, struct err *e)
{
	const struct record *rec = &r->rec;
	const uint64_t kept[][2] = { { rec->kept_dev, rec->kept_inode },
				     { rec->base_kept_dev, rec->base_kept_inode } };
	unsigned int nr = rec->base_kept_dev ? 2 : 1;
	struct stat st;
	int ret;

	if (recover_has_server(rec))
		return recover_server(r, e);
	static_assert(ARRAY_SIZE(kept) <= KEEP_FILES_MAX, "there is room for each kept file");
	if (!rec->kept_dev)
		return err_set(e, ENOENT, "there was no keeper when it was attached");
	ret = keep_get_files(rec->generation, r->files, nr, e);
	if (ret < 0)
		return ret;
	for (unsigned int i = 0; i < nr; i++) {
		if (fstat(r->files[i], &st) < 0)
			return err_sys(e, errno, "cannot look at the kept descriptor");
		if (st.st_dev != kept[i][0] || st.st_ino != kept[i][1])
			return err_set(e, ENOENT,
				       "the keeper gave another file than the one on record");
		r->birth.files[i] = r->files[i];
	}
	r->birth.nr_files = nr;
	return 0;
}

static int recover_spawn(struct recover *r, struct err *e)
{
	int ret;

	ret = birth_cgroup(&r->birth, e);
	return ret < 0 ? ret : birth_spawn(&r->birth, e);
}

/* From here on the worker on record is the new one. */
static int recover_record(struct recover *r, struct err *e)
{
	r->rec.state = WIRE_STATE_RECOVERING;
	return op_update(r->op, &r->rec, e);
}

static int recover_prepare(struct recover *r, struct err *e)
{
	return birth_prepare(&r->birth, e);
}

/*
 * The worker that serves finishes what it has, where the driver can be told to give it no more.
 * One that was told and does not end in time is killed: what it has is asked of the next one.
 */
static int recover_leave(struct recover *r, struct err *e)
{
	const struct record *before = &r->before;
	auto_close int worker = process_pin(before->worker_pid, before->worker_start);
	struct err why;

	r->left = true;
	r->left_us = clock_now_us();
	if (before->kernel_flags & UBLK_F_QUIESCE) {
		if (ublk_quiesce(r->ctl, before->dev_id, RECOVER_QUIESCE_MS, &why) < 0)
			log_warning("ublkb%u: %s", before->dev_id, why.text);
		else if (worker < 0 || process_wait_end(worker, RECOVER_LEAVE_MS) == 0)
			return 0;
		log_warning("ublkb%u: its worker %d does not leave and is killed", before->dev_id,
			    before->worker_pid);
	}
	return undo_kill_worker(before, e);
}

static int recover_begin(struct recover *r, struct err *e)
{
	int64_t deadline = clock_deadline_ms(op_left_ms(r->op, RECOVER_NOTICE_MS));
	int ret;

	while ((ret = ublk_recover_begin(r->ctl, r->rec.dev_id, RECOVER_COMMAND_MS, e)) == -EBUSY &&
	       clock_left_ms(deadline) > 0)
		clock_sleep_ms(RECOVER_RETRY_MS);
	if (ret == -EBUSY && recover_once(&r->rec))
		return err_set(e, ESTALE, "the driver does not see that its worker is gone");
	/* Said before by a helper that was killed. */
	return ret == -EINVAL && recover_once(&r->rec) ? 0 : ret;
}

/* From here until the end a death costs the device on kernels before 6.16: as short as can be. */
static int recover_hand_over(struct recover *r, struct err *e)
{
	int ret;

	if (recover_once(&r->rec)) {
		r->rec.handed_over = 1;
		ret = op_update(r->op, &r->rec, e);
		if (ret < 0)
			return ret;
	}
	ret = birth_hand_over(&r->birth, e);
	if (ret == 0)
		ret = ublk_recover_end(r->ctl, r->rec.dev_id, getpid(),
				       op_left_ms(r->op, RECOVER_END_MS), e);
	/* Of a worker that is gone by now these kernels have no other notice: it would seem live.
	 */
	if (ret == 0 && recover_once(&r->rec) && process_ended(r->birth.worker.pidfd))
		return err_set(e, ESTALE, "a second worker died while it took over");
	return ret;
}

/*
 * The record's size goes to the driver after the worker that serves so much, also where a helper
 * was killed between the two. The device is as good with the size it had.
 */
static void recover_size(struct recover *r)
{
	const struct record *rec = &r->rec;

	if (!(rec->kernel_features & UBLK_F_UPDATE_SIZE))
		return;
	r->size_status = ublk_resize(r->ctl, rec->dev_id, rec->size_bytes, &r->size_e);
	if (r->size_status < 0)
		log_warning("ublkb%u: %s", rec->dev_id, r->size_e.text);
}

static int recover_live(struct recover *r, struct err *e)
{
	recover_size(r);
	r->rec.state = WIRE_STATE_LIVE;
	r->rec.handed_over = 0;
	memset(r->rec.failure, 0, sizeof(r->rec.failure));
	return op_update(r->op, &r->rec, e);
}

/* Of the one before nothing is left; the device does not wait for this. */
static int recover_clean(struct recover *r, struct err *e)
{
	struct err why;

	r->pause_us = clock_now_us() - r->left_us;
	if (undo_other_worker(&r->rec, &why) < 0)
		log_warning("ublkb%u: %s", r->rec.dev_id, why.text);
	return 0;
}

/* A worker died: who follows goes on record before anything else can fail. */
static recover_step *const recover_steps[] = {
	recover_backing, recover_spawn, recover_record,	   recover_keep,
	recover_prepare, recover_begin, recover_hand_over, recover_live,
};

/* It serves, and goes on doing so until all that can fail is done. */
static recover_step *const upgrade_steps[] = {
	recover_spawn, recover_prepare,	  recover_record, recover_leave,
	recover_begin, recover_hand_over, recover_clean,  recover_live,
};

static int recover_walk(struct recover *r, recover_step *const *steps, size_t nr, struct err *e)
{
	int ret = 0;

	for (size_t i = 0; i < nr && ret == 0; i++)
		ret = steps[i](r, e);
	return ret;
}

static int recover_fail(const struct recover *r, const char *why, struct err *e)
{
	struct record rec = r->rec;
	int ret;

	ret = undo_fail(r->op, &rec, e);
	if (ret < 0)
		return ret;
	rec.state = WIRE_STATE_FAILED;
	/* The way to it is closed, and the number may be another device's by now: not a mount's. */
	if (!rec.filesystem)
		rec.major = rec.minor = 0;
	text_copy(rec.failure, sizeof(rec.failure), why);
	log_error("ublkb%u: %s; its I/O fails from now on", rec.dev_id, why);
	return op_update(r->op, &rec, e);
}

static int recover_undo(const struct recover *r, struct err *e)
{
	struct record rec = r->rec;

	log_warning("ublkb%u is not the driver's any more: it is taken away", rec.dev_id);
	op_begin_undo(r->op, &rec);
	return undo_run(r->op, &rec, false, e);
}

/*
 * An upgrade that came half way: the driver may have been told to give the one that serves no
 * more, and the one on record does not. Handed over means that the first has ended.
 */
static bool recover_cut_off(const struct record *rec)
{
	return rec->state == WIRE_STATE_RECOVERING && !rec->handed_over && undo_other_lives(rec);
}

/* 1: it needs a worker. 0: it has one. -errno: there is nothing to recover. */
static int recover_look(struct recover *r, struct err *e)
{
	const struct record *rec = &r->rec;
	auto_close int worker = process_pin(rec->worker_pid, rec->worker_start);
	struct ublk_info info;
	int ret;

	ret = ublk_info(r->ctl, rec->dev_id, &info, e);
	if (ret == 0 && info.cookie != rec->generation)
		ret = err_set(e, ENODEV, "the driver does not know it any more");
	if (ret < 0)
		return ret;
	if (info.state == UBLK_S_DEV_DEAD)
		return err_set(e, ESTALE, "somebody stopped the device");
	return worker < 0 || info.state != UBLK_S_DEV_LIVE || recover_cut_off(rec);
}

/* A helper was killed after it had handed over: this worker goes on, or none does. */
static int recover_finish(struct recover *r, struct err *e)
{
	auto_close int worker = process_pin(r->rec.worker_pid, r->rec.worker_start);

	if (worker >= 0 &&
	    ublk_recover_end(r->ctl, r->rec.dev_id, getpid(), RECOVER_COMMAND_MS, NULL) == 0)
		return recover_live(r, e);
	return err_set(e, ESTALE,
		       "a second worker died while it took over, which this kernel's driver does "
		       "not survive");
}

static int recover_make(struct recover *r, struct err *e)
{
	int64_t begun_ms = clock_now_ms();
	int ret;

	if (r->rec.handed_over)
		return recover_finish(r, e);
	/* One that came half way, or whom it was to take over from. */
	ret = undo_kill_worker(&r->rec, e);
	if (ret == 0)
		ret = undo_other_worker(&r->rec, e);
	if (ret == 0)
		ret = recover_walk(r, recover_steps, ARRAY_SIZE(recover_steps), e);
	if (ret == 0) {
		log_info("ublkb%u: worker %d serves it after %lld ms", r->rec.dev_id,
			 r->rec.worker_pid, (long long)(clock_now_ms() - begun_ms));
		return 0;
	}
	undo_kill_worker(&r->rec, NULL);
	return r->rec.handed_over ? -ESTALE : ret;
}

/* What cannot become better is not tried again. */
static int recover_settle(const struct recover *r, int ret, struct err *e)
{
	struct err why;

	if (ret != -ESTALE && ret != -ENOENT)
		return ret;
	why = *e;
	return recover_fail(r, why.text, e);
}

int recover_run(const struct op *op, uint64_t generation, struct err *e)
{
	auto_recover struct recover r = RECOVER_INIT(op, r);
	int ret;

	ret = op_take(op, generation, &r.rec, e);
	if (ret < 0)
		return ret == -ENOENT ? 0 : ret;
	if (r.rec.state != WIRE_STATE_LIVE && r.rec.state != WIRE_STATE_RECOVERING)
		return 0;
	ret = ublk_ctl_open(&r.ctl, e);
	if (ret < 0)
		return ret;
	r.birth.ctl = r.ctl;
	ret = recover_look(&r, e);
	if (ret == -ENODEV)
		return recover_undo(&r, e);
	if (ret == 0)
		return recover_live(&r, e);
	if (ret > 0)
		ret = recover_make(&r, e);
	if (ret == -EBUSY || ret == -ENOMEM) {
		struct err why = *e;

		recover_lost(&r, why.text, NULL);
	}
	return recover_settle(&r, ret, e);
}

/* Is there a worker to take over from? */
static int recover_may_upgrade(struct recover *r, struct err *e)
{
	const struct record *rec = &r->rec;
	int ret;

	if (rec->state == WIRE_STATE_FAILED)
		return err_set(e, ENODEV, "it has failed (%s): detach it", rec->failure);
	if (rec->state != WIRE_STATE_LIVE)
		return err_set(e, EBUSY, "somebody is working on it");
	if (!(rec->kernel_flags & UBLK_F_USER_RECOVERY))
		return err_set(e, ENOTSUP, "this kernel's ublk driver cannot change workers");
	ret = ublk_ctl_open(&r->ctl, e);
	if (ret < 0)
		return ret;
	r->birth.ctl = r->ctl;
	ret = recover_look(r, e);
	return ret > 0 ? err_set(e, EBUSY, "its worker has just died, and gets a new one") : ret;
}

static int recover_replace(struct recover *r, struct err *e)
{
	int ret;

	/* What an upgrade that came half way has left. */
	ret = undo_other_worker(&r->before, e);
	if (ret < 0)
		return ret;
	cgroup_other(r->rec.cgroup);
	ret = recover_walk(r, upgrade_steps, ARRAY_SIZE(upgrade_steps), e);
	if (ret == 0)
		return 0;
	if (!r->left) {
		undo_other_worker(&r->before, NULL);
		return err_prefix(e, ret, "there is no new worker, the old one goes on");
	}
	undo_kill_worker(&r->rec, NULL);
	recover_settle(r, r->rec.handed_over ? -ESTALE : ret, e);
	return err_prefix(e, ret, "the new worker could not take over");
}

/*
 * The image becomes as large as wanted says, when nobody serves it. One that is so large already
 * is not made smaller.
 */
static int recover_grow(const struct recover *r, const struct record *wanted, struct err *e)
{
	auto_nbd_server struct nbd_server server = NBD_SERVER_INIT;
	int timeout_ms = op_left_ms(r->op, RECOVER_GROW_MS), ret;

	ret = backend_device_grow(r->op, wanted, timeout_ms, e);
	if (ret == 0 || backend_device_start(r->op, &r->rec, &server, NULL, NULL) < 0)
		return ret;
	return server.bytes >= wanted->size_bytes ? 0 : ret;
}

/*
 * The device is served again with the size it is to have, or with the one it had. On record it is
 * larger when what is behind it is.
 */
static int recover_restart_larger(struct recover *r, const struct record *wanted, struct err *e)
{
	struct err why;
	int ret, made;

	ret = recover_grow(r, wanted, &why);
	if (ret == 0) {
		r->rec.size_bytes = wanted->size_bytes;
		r->rec.asked_bytes = wanted->asked_bytes;
	}
	made = recover_make(r, e);
	if (made < 0 && ret == 0) {
		ret = made;
		why = *e;
		r->rec.size_bytes = r->before.size_bytes;
		r->rec.asked_bytes = r->before.asked_bytes;
		made = recover_make(r, e);
	}
	if (ret < 0 && made == 0)
		return err_set(e, -ret, "the image keeps its size: %s", why.text);
	return made;
}

/*
 * Of a device with a server: its connections end with its worker, and the next has its own. A
 * server may have room for no others before. The device waits meanwhile.
 */
static int recover_restart(struct recover *r, recover_change *change, void *arg, struct err *e)
{
	struct record wanted = r->rec;
	int ret;

	/* The old worker goes on where no other could follow. */
	ret = backend_serves(&r->rec) ? backend_device_may_leave(r->op, &r->rec, e)
				      : nbd_may_leave(&r->rec, e);
	if (ret == 0 && change)
		ret = change(r->op, arg, &wanted, -1, e);
	if (ret == -EALREADY)
		recover_size(r);
	if (ret < 0)
		return ret;
	r->before = r->rec;
	ret = recover_leave(r, e);
	if (ret == 0)
		ret = change ? recover_restart_larger(r, &wanted, e) : recover_make(r, e);
	r->pause_us = clock_now_us() - r->left_us;
	return ret < 0 && r->rec.state != WIRE_STATE_LIVE
		       ? err_prefix(e, ret, "there is no new worker yet")
		       : ret;
}

/* Until another one takes over, the old worker goes on. */
static int recover_change_and_replace(struct recover *r, recover_change *change, void *arg,
				      struct err *e)
{
	int ret;

	r->before = r->rec;
	ret = change ? change(r->op, arg, &r->rec, r->files[0], e) : 0;
	if (ret == -EALREADY)
		recover_size(r);
	return ret < 0 ? ret : recover_replace(r, e);
}

static int recover_upgrade_or_not(struct recover *r, recover_change *change, void *arg,
				  struct err *e)
{
	int ret;

	ret = recover_may_upgrade(r, e);
	if (ret == 0 && recover_has_server(&r->rec)) {
		ret = recover_restart(r, change, arg, e);
	} else if (ret == 0) {
		ret = recover_backing(r, e);
		if (ret == 0)
			ret = recover_change_and_replace(r, change, arg, e);
	}
	if (ret < 0 && ret != -EALREADY)
		return ret;
	return change && r->size_status < 0 ? err_set(e, -r->size_status, "%s", r->size_e.text) : 0;
}

int recover_upgrade(const struct op *op, uint64_t generation, recover_change *change, void *arg,
		    struct recover_upgraded *ret_upgraded, struct err *e)
{
	auto_recover struct recover r = RECOVER_INIT(op, r);
	int ret;

	ret = op_take(op, generation, &r.rec, e);
	if (ret == 0)
		ret = recover_upgrade_or_not(&r, change, arg, e);
	if (ret < 0)
		return ret;
	*ret_upgraded = (struct recover_upgraded){ r.before.worker_pid, r.rec.worker_pid,
						   (uint32_t)r.pause_us, r.rec.size_bytes };
	if (r.left)
		log_info("ublkb%u: worker %d serves it instead of %d, after a pause of %lld ms",
			 r.rec.dev_id, r.rec.worker_pid, r.before.worker_pid,
			 (long long)(r.pause_us / 1000));
	return 0;
}

int recover_give_up(const struct op *op, uint64_t generation, const char *why, struct err *e)
{
	struct recover r = { .op = op };
	int ret;

	ret = op_take(op, generation, &r.rec, e);
	if (ret < 0)
		return ret == -ENOENT ? 0 : ret;
	return recover_fail(&r, why, e);
}
