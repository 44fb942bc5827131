/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/store/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/base/num.h"
#include "driver/wire/packet.h"
#include "driver/wire/store.h"
#include "oci-hook/store/caller.h"
#include "oci-hook/store/change.h"
#include "oci-hook/store/device.h"
#include "oci-hook/store/examine.h"
#include "oci-hook/store/remote.h"
#include "oci-hook/store/request.h"

#define SERVE_REQUEST_MS 5000
#define SERVE_ANSWER_MS 5000
#define SERVE_PROGRESS_MS 200

struct serve {
	int fd;
	struct store_ask ask;
	int data_fd; /* that came with it; the packet's, or -1 */
	struct caller caller;
	const struct policy *policy;
	struct pools pools;
	int64_t told_ms;
	struct err warning; /* goes with success */
	bool new_device;    /* made by this request */
	bool to_the_end;    /* also when nobody waits for it any more */
};

static struct wire_head serve_head(enum store_type type, size_t size)
{
	return (struct wire_head){
		.magic = STORE_MAGIC,
		.version = STORE_VERSION,
		.type = (uint16_t)type,
		.size = (uint32_t)size,
	};
}

static void serve_reply(int fd, int status, const char *reason)
{
	struct store_reply reply = {
		.head = serve_head(STORE_REPLY, sizeof(reply)),
		.status = status,
	};

	if (reason)
		strncpy(reply.reason, reason, sizeof(reply.reason) - 1);
	packet_send(fd, &reply, sizeof(reply), NULL, 0, SERVE_ANSWER_MS);
}

/* copy_watch: says how far it is, and ends what nobody waits for. */
static int serve_step(void *arg, uint64_t done_bytes, uint64_t all_bytes)
{
	struct serve *s = arg;
	struct pollfd gone = { .fd = s->fd, .events = POLLRDHUP };
	int64_t now_ms = clock_now_ms();
	struct store_progress progress = {
		.head = serve_head(STORE_PROGRESS, sizeof(progress)),
		.done_bytes = done_bytes,
		.all_bytes = all_bytes,
	};

	if (!s->to_the_end && poll(&gone, 1, 0) > 0)
		return -ECANCELED;
	if (now_ms - s->told_ms < SERVE_PROGRESS_MS)
		return 0;
	s->told_ms = now_ms;
	packet_send(s->fd, &progress, sizeof(progress), NULL, 0, 0);
	return 0;
}

/* copy_watch: the same of work that cannot say how far it is. */
static int serve_wait(void *arg, uint64_t done_bytes, uint64_t all_bytes)
{
	const struct serve *s = arg;
	struct pollfd gone = { .fd = s->fd, .events = POLLRDHUP };

	return !s->to_the_end && poll(&gone, 1, 0) > 0 ? -ECANCELED : 0;
}

static int serve_found(const struct serve *s, struct store_found *found)
{
	found->head = serve_head(STORE_FOUND, sizeof(*found));
	return packet_send(s->fd, found, sizeof(*found), NULL, 0, SERVE_ANSWER_MS);
}

/* --- what there is ------------------------------------------------------------------------ */

struct rows {
	const struct serve *s;
	const struct client_devices *devices;
	bool unknown; /* the helper did not say */
};

static int rows_send(const struct rows *rows, const struct place *place)
{
	const struct volume *v = &place->volume;
	const struct wire_device *d = device_find(rows->devices, v->name);
	struct store_volume row = {
		.head = serve_head(STORE_VOLUME, sizeof(row)),
		.size_bytes = v->size_bytes,
		.created = v->created,
		.owner_uid = v->owner_uid,
		.filesystem = v->filesystem,
		.flags = (v->snapshot ? STORE_IS_SNAPSHOT : 0u) |
			 (rows->s->new_device ? STORE_IS_NEW : 0u) |
			 (rows->unknown ? STORE_IS_UNKNOWN : 0u),
	};
	struct stat st;

	if (fstatat(place->dir_fd, VOLUME_DATA, &st, AT_SYMLINK_NOFOLLOW) == 0)
		row.used_bytes = (uint64_t)st.st_blocks * 512;
	if (d) {
		row.flags |= STORE_IS_ATTACHED;
		row.flags |= d->flags & WIRE_READ_ONLY ? STORE_IS_READ_ONLY : 0u;
		row.dev_id = d->dev_id;
		row.generation = d->generation;
	}
	text_copy(row.name, sizeof(row.name), v->name);
	text_copy(row.origin, sizeof(row.origin), v->origin);
	text_copy(row.pool, sizeof(row.pool), pools_at(&rows->s->pools, place->pool)->name);
	return packet_send(rows->s->fd, &row, sizeof(row), NULL, 0, SERVE_ANSWER_MS);
}

static int rows_send_seen(void *arg, const struct place *place)
{
	const struct rows *rows = arg;

	return caller_owns(&rows->s->caller, &place->volume) ? rows_send(rows, place) : 0;
}

/* One volume, or all that the caller may see. */
static int serve_rows(struct serve *s, const struct place *one, struct err *e)
{
	auto_client_devices struct client_devices devices = { 0 };
	struct rows rows = { .s = s, .devices = &devices };
	int r;

	rows.unknown = device_list(&devices, NULL) < 0;
	if (one)
		r = rows_send(&rows, one);
	else
		r = pools_each(&s->pools, rows_send_seen, &rows, e);
	return r;
}

static int serve_list(struct serve *s, struct err *e)
{
	return serve_rows(s, NULL, e);
}

/* What was half made is neither data nor blank: it can be begun anew, or removed. */
static int serve_check_whole(const struct serve *s, const struct volume *v, struct err *e)
{
	static const bool may[STORE_END] = {
		[STORE_INSPECT] = true,
		[STORE_DELETE] = true,
		[STORE_DETACH] = true,
		[STORE_FORMAT] = true,
	};

	if (!v->formatting || may[s->ask.head.type])
		return 0;
	return err_set(e, EUCLEAN,
		       "volume %s was not formatted to the end: do that again (ublk-oci volume "
		       "format %s --fs %s), or delete it",
		       v->name, v->name, catalog_filesystem(v->formatting));
}

/* The volume a request is about. Somebody else's is not there, to who is not root. */
static int serve_find(struct serve *s, const char *name, int lock, struct place *ret, struct err *e)
{
	bool hook = s->caller.hook &&
		    (s->ask.head.type == STORE_ATTACH || s->ask.head.type == STORE_DETACH);
	int r = pools_find(&s->pools, name, 0, ret, e);

	if (r < 0)
		return r;
	if (!hook && !caller_owns(&s->caller, &ret->volume))
		return err_set(e, ENOENT, "there is no volume %s", name);
	r = remote_check(&ret->volume, pools_at(&s->pools, ret->pool), s->ask.head.type, e);
	if (r < 0 || !lock)
		return r;
	place_close(ret);
	r = pools_find(&s->pools, name, lock, ret, e);
	/* It may be gone by now, and somebody else's have its name. */
	if (r == 0 && !hook && !caller_owns(&s->caller, &ret->volume))
		r = err_set(e, ENOENT, "there is no volume %s", name);
	return r < 0 ? r : serve_check_whole(s, &ret->volume, e);
}

/* What others write meanwhile is not looked at: it could be anything. */
static int inspect_look(struct serve *s, const struct place *place, struct err *e)
{
	const struct copy_watch watch = { serve_wait, s };
	const struct probing probing = { .watch = &watch, .lock_fd = -1 };
	struct store_found found;
	int r;

	if (remote_is(&place->volume) || device_check_free(s->ask.name, true, e) < 0)
		return 0;
	r = examine_look(place, &probing, &found, e);
	return r < 0 ? r : serve_found(s, &found);
}

static int serve_inspect(struct serve *s, struct err *e)
{
	auto_place struct place place = PLACE_INIT;
	int r = serve_find(s, s->ask.name, 0, &place, e);

	if (r == 0)
		r = serve_rows(s, &place, e);
	if (r == 0 && s->ask.flags & STORE_LOOK)
		r = inspect_look(s, &place, e);
	return r;
}

static int serve_decide(const struct serve *s, enum policy_act act, const struct place *place,
			bool read_only, struct err *e)
{
	const struct caller_act what = {
		.request = request_name(s->ask.head.type),
		.act = act,
		.volume = place->volume.name,
		.pool = pools_at(&s->pools, place->pool)->name,
		.size_bytes = place->volume.size_bytes,
		.read_only = read_only,
		.nr_queues = s->ask.nr_queues,
		.depth = s->ask.depth,
	};

	return caller_decide(&s->caller, s->policy, &what, e);
}

/* --- new ones ----------------------------------------------------------------------------- */

/* What a volume is made of. */
struct source {
	struct place place; /* a volume, locked; or none */
	int fd;		    /* -1: of nothing */
	uint64_t bytes;
	bool written; /* by the device it is, meanwhile */
};

static void source_fini(struct source *src)
{
	if (src->place.dir_fd >= 0)
		close_fdp(&src->fd);
	place_close(&src->place);
}

static int source_open_volume(struct serve *s, struct source *src, struct err *e)
{
	int r = serve_find(s, s->ask.from, LOCK_SH, &src->place, e);

	/* It is read as for an export. */
	if (r == 0)
		r = remote_check(&src->place.volume, pools_at(&s->pools, src->place.pool),
				 STORE_EXPORT, e);
	if (r == 0)
		r = device_check_written(s->ask.from, &src->written, e);
	if (r < 0)
		return r;
	src->fd = openat(src->place.dir_fd, VOLUME_DATA, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (src->fd < 0)
		return err_sys(e, errno, "cannot open the data of volume %s", s->ask.from);
	src->bytes = src->place.volume.size_bytes;
	return 0;
}

static int source_open_file(struct serve *s, struct source *src, struct err *e)
{
	int flags = fcntl(s->data_fd, F_GETFL);
	struct stat st;
	char magic[4];

	if (flags < 0 || flags & O_PATH || (flags & O_ACCMODE) == O_WRONLY ||
	    fstat(s->data_fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)))
		return err_set(e, EINVAL,
			       "a volume is made of a regular file or a block device that can be "
			       "read");
	src->bytes = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(s->data_fd, BLKGETSIZE64, &src->bytes) < 0)
		return err_sys(e, errno, "cannot learn the size of the image");
	if (!src->bytes)
		return err_set(e, EINVAL, "the image is empty");
	if (pread(s->data_fd, magic, sizeof(magic), 0) == sizeof(magic) &&
	    !memcmp(magic, "QFI\xfb", sizeof(magic)))
		return err_set(e, EINVAL,
			       "the image is in the format qcow2; make it a raw one first "
			       "(qemu-img convert -O raw)");
	src->fd = s->data_fd;
	return 0;
}

static int source_open(struct serve *s, struct source *src, struct err *e)
{
	if (*s->ask.from)
		return source_open_volume(s, src, e);
	return s->data_fd >= 0 ? source_open_file(s, src, e) : 0;
}

static int create_describe(const struct serve *s, const struct source *src, struct volume *v,
			   struct err *e)
{
	*v = (struct volume){
		.size_bytes = s->ask.size_bytes,
		.owner_uid = s->caller.uid,
		.created = (uint64_t)time(NULL),
		.snapshot = s->ask.head.type == STORE_SNAPSHOT,
		.filesystem = src->place.dir_fd >= 0 ? src->place.volume.filesystem
						     : (enum catalog_filesystem)s->ask.filesystem,
	};
	memcpy(v->name, s->ask.name, sizeof(v->name));
	memcpy(v->origin, s->ask.from, sizeof(v->origin));
	if (src->place.dir_fd >= 0)
		memcpy(v->found, src->place.volume.found, sizeof(v->found));
	if (!v->size_bytes)
		v->size_bytes = num_round_up(src->bytes, VOLUME_BLOCK_BYTES);
	if (!volume_size_ok(v->size_bytes))
		return err_set(e, EINVAL, "the volume needs a size");
	if (v->size_bytes < src->bytes)
		return err_set(e, EINVAL,
			       "the size is less than the %llu bytes it is made of: nothing is cut "
			       "off",
			       (unsigned long long)src->bytes);
	return 0;
}

/* With the pools locked: is there room, and may it be? Then its name is taken. */
static int create_reserve(struct serve *s, size_t pool, const struct volume *v, struct making *m,
			  struct err *e)
{
	struct caller_act act = {
		.request = request_name(s->ask.head.type),
		.act = v->snapshot ? POLICY_SNAPSHOT : POLICY_CREATE,
		.volume = v->name,
		.pool = pools_at(&s->pools, pool)->name,
		.size_bytes = v->size_bytes,
		.read_only = v->snapshot,
	};
	struct pools_sum sum;
	int r;

	/* One of this name, there or being made, is refused for that: it is not counted as another.
	 */
	r = pools_count(&s->pools, pool, v->name, &sum, e);
	if (r < 0)
		return r;
	act.volumes = sum.all_volumes;
	act.bytes = sum.all_bytes;
	r = caller_decide(&s->caller, s->policy, &act, e);
	if (r == 0)
		r = pools_check_room(&s->pools, pool, &sum, v->size_bytes, e);
	return r < 0 ? r : making_begin(m, &s->pools, pool, v, e);
}

/*
 * What is written meanwhile is shared as it is at one moment, or not copied. A volume that became
 * free since stays free: it is locked.
 */
static int create_fill(struct serve *s, const struct source *src, struct making *m, struct err *e)
{
	const struct copy_watch watch = { serve_step, s };
	struct err why = { "" };
	int r;

	if (src->written && making_share(m, src->fd, src->bytes, NULL) == 0)
		return 0;
	r = src->written ? device_check_free(s->ask.from, true, &why) : 0;
	if (r < 0)
		return err_set(e, -r,
			       "%s; or keep it and its copy in one pool on btrfs, or on XFS with "
			       "reflink",
			       why.text);
	return making_fill(m, src->fd, src->bytes, &watch, e);
}

/* A copy that is larger than what it is of: what hinders its file system is worth a warning. */
static int create_grow(struct serve *s, struct making *m, const struct probing *probing,
		       struct err *e)
{
	struct err why = { "" };
	int r = examine_grow_data(m->data_fd, &m->volume, probing, &why);

	if (r == -ECANCELED)
		return err_set(e, ECANCELED, "%s", why.text);
	if (r < 0)
		err_set(&s->warning, EIO,
			"the volume is larger than what it was made of, and its file system is "
			"not: %s",
			why.text);
	return 0;
}

/* What was there, or is to be there. */
static int create_content(struct serve *s, const struct source *src, struct making *m,
			  struct err *e)
{
	const struct copy_watch watch = { serve_wait, s };
	const struct probing probing = { .watch = &watch, .lock_fd = m->dir_fd };
	int r = 0;

	if (src->fd >= 0)
		r = create_fill(s, src, m, e);
	if (r == 0 && src->fd >= 0 && src->place.dir_fd < 0)
		r = making_look(m, &probing, e);
	if (r == 0 && src->place.dir_fd >= 0 && m->volume.size_bytes > src->bytes)
		r = create_grow(s, m, &probing, e);
	if (r == 0 && s->ask.filesystem)
		r = making_format(m, &probing, e);
	return r;
}

/* Where a back end has the data there is only an empty image. What was left is removed first. */
static int create_remote(struct serve *s, const struct source *src, size_t pool, struct volume *v,
			 struct err *e)
{
	int r = remote_begin(v, pools_at(&s->pools, pool), e);

	if (r < 0 || !remote_is(v))
		return r;
	if (src->fd >= 0 || s->ask.filesystem || v->snapshot)
		return err_set(e, EOPNOTSUPP,
			       "volumes of pool %s are made empty, as back end %s has their data",
			       pools_at(&s->pools, pool)->name, v->backend);
	pools_sweep_one(&s->pools, pool);
	return 0;
}

static int create_run(struct serve *s, const struct source *src, struct err *e)
{
	auto_making struct making m = MAKING_INIT;
	struct volume v;
	size_t pool = src->place.dir_fd >= 0 ? src->place.pool : 0;
	int r = 0;

	if (*s->ask.pool || src->place.dir_fd < 0)
		r = pools_find_pool(&s->pools, s->ask.pool, &pool, e);
	if (r == 0)
		r = create_describe(s, src, &v, e);
	if (r == 0)
		r = create_remote(s, src, pool, &v, e);
	if (r == 0)
		r = pools_lock(&s->pools, e);
	if (r < 0)
		return r;
	r = create_reserve(s, pool, &v, &m, e);
	pools_unlock(&s->pools);
	if (r == 0)
		r = remote_is(&v) ? making_create(&m, e) : create_content(s, src, &m, e);
	return r < 0 ? r : making_finish(&m, e);
}

static int serve_create(struct serve *s, struct err *e)
{
	cleanup_with(source_fini) struct source src = { .place = PLACE_INIT, .fd = -1 };
	int r;

	r = source_open(s, &src, e);
	if (r == 0)
		r = create_run(s, &src, e);
	return r < 0 ? r : serve_inspect(s, e);
}

/* --- those there are ---------------------------------------------------------------------- */

static int resize_decide(struct serve *s, const struct place *place, struct err *e)
{
	struct caller_act act = {
		.request = "resize",
		.act = POLICY_RESIZE,
		.volume = place->volume.name,
		.pool = pools_at(&s->pools, place->pool)->name,
		.size_bytes = s->ask.size_bytes,
	};
	struct pools_sum sum;
	int r;

	r = pools_count(&s->pools, place->pool, place->volume.name, &sum, e);
	if (r < 0)
		return r;
	act.bytes = sum.all_bytes;
	r = caller_decide(&s->caller, s->policy, &act, e);
	return r < 0 ? r : pools_check_room(&s->pools, place->pool, &sum, s->ask.size_bytes, e);
}

/*
 * The data is larger already, and on record so; the device follows where kernel and policy let it,
 * else at the next attach. Where it is no device now the file system follows; what hinders that is
 * worth a warning.
 */
static void resize_rest(struct serve *s, const struct place *place)
{
	const struct copy_watch watch = { serve_wait, s };
	const struct probing probing = { .watch = &watch, .lock_fd = place->dir_fd };
	struct err e = { "" };

	device_grow(s->ask.name, place->volume.size_bytes, &s->warning);
	if (device_check_free(s->ask.name, false, &e) < 0)
		return;
	if (remote_is(&place->volume)) {
		remote_ask(&place->volume, POOL_STOP, 0, &s->warning);
		return;
	}
	s->to_the_end = true;
	if (examine_grow(place, &probing, &e) < 0)
		err_set(&s->warning, EIO,
			"the volume is larger, and its file system has the size it had: %s",
			e.text);
}

static int serve_resize(struct serve *s, struct err *e)
{
	auto_place struct place place = PLACE_INIT;
	int r;

	r = serve_find(s, s->ask.name, LOCK_EX, &place, e);
	if (r < 0)
		return r;
	if (place.volume.snapshot)
		return err_set(e, EPERM, "%s is a snapshot: it stays what it is", s->ask.name);
	if (s->ask.size_bytes < place.volume.size_bytes)
		return err_set(e, EINVAL,
			       "volume %s has %llu bytes: it does not become smaller, as what is "
			       "there would be cut off",
			       s->ask.name, (unsigned long long)place.volume.size_bytes);
	r = pools_lock(&s->pools, e);
	if (r < 0)
		return r;
	r = resize_decide(s, &place, e);
	if (r == 0 && !remote_is(&place.volume))
		r = change_grow(&place, s->ask.size_bytes, e);
	pools_unlock(&s->pools);
	/* Others do not wait for a back end; what they are given meanwhile is not counted here. */
	if (r == 0 && remote_is(&place.volume))
		r = change_grow(&place, s->ask.size_bytes, e);
	if (r < 0)
		return r;
	resize_rest(s, &place);
	return serve_rows(s, &place, e);
}

static int export_check(int fd, struct err *e)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	/* Empty, so that what is a hole there reads as zeroes. */
	if (flags < 0 || flags & (O_PATH | O_APPEND) || (flags & O_ACCMODE) == O_RDONLY ||
	    fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size)
		return err_set(e, EINVAL, "a volume is exported to a new, empty file");
	return 0;
}

static int serve_export(struct serve *s, struct err *e)
{
	const struct copy_watch watch = { serve_step, s };
	auto_place struct place place = PLACE_INIT;
	auto_close int fd = -1;
	int r;

	r = export_check(s->data_fd, e);
	if (r == 0)
		r = serve_find(s, s->ask.name, LOCK_SH, &place, e);
	if (r == 0)
		r = serve_decide(s, POLICY_SNAPSHOT, &place, true, e);
	if (r == 0)
		r = device_check_free(s->ask.name, true, e);
	if (r < 0)
		return r;
	fd = openat(place.dir_fd, VOLUME_DATA, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || ftruncate(s->data_fd, (off_t)place.volume.size_bytes) < 0)
		return err_sys(e, errno, "cannot export volume %s", s->ask.name);
	r = copy_data(fd, s->data_fd, place.volume.size_bytes, &watch, e);
	if (r == 0 && fsync(s->data_fd) < 0)
		r = err_sys(e, errno, "cannot write the file");
	return r;
}

/* The volume is gone by its name; its image as soon as the back end can be asked. */
static int delete_remote(struct serve *s, const struct place *place, struct err *e)
{
	int r = change_remove(&s->pools, place, false, NULL, e);
	struct stat st;

	if (r < 0 &&
	    fstatat(s->pools.fds[place->pool], place->volume.name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		err_set(&s->warning, EIO,
			"the volume is removed, and its image %s.%s is not yet: %s",
			place->volume.name, place->volume.image, e->text);
		return 0;
	}
	pools_sweep_one(&s->pools, place->pool);
	return r;
}

static int serve_delete(struct serve *s, struct err *e)
{
	const struct copy_watch watch = { serve_step, s };
	auto_place struct place place = PLACE_INIT;
	int r;

	r = serve_find(s, s->ask.name, LOCK_EX, &place, e);
	if (r == 0)
		r = serve_decide(s, POLICY_DELETE, &place, false, e);
	if (r == 0)
		r = device_check_free(s->ask.name, false, e);
	if (r < 0)
		return r;
	s->to_the_end = true;
	if (!remote_is(&place.volume))
		return change_remove(&s->pools, &place, s->ask.flags & STORE_WIPE, &watch, e);
	if (s->ask.flags & STORE_WIPE)
		return err_set(e, EOPNOTSUPP,
			       "back end %s has the data of volume %s: it is not wiped",
			       place.volume.backend, s->ask.name);
	return delete_remote(s, &place, e);
}

static int serve_format(struct serve *s, struct err *e)
{
	const struct copy_watch watch = { serve_wait, s };
	auto_place struct place place = PLACE_INIT;
	struct probing probing = { .watch = &watch };
	const struct volume *v = &place.volume;
	int r;

	r = serve_find(s, s->ask.name, LOCK_EX, &place, e);
	if (r == 0)
		r = serve_decide(s, POLICY_CREATE, &place, false, e);
	if (r == 0)
		r = device_check_free(s->ask.name, false, e);
	if (r < 0)
		return r;
	if (v->snapshot)
		return err_set(e, EPERM, "%s is a snapshot: it stays what it is", v->name);
	if (v->filesystem || *v->found)
		return err_set(e, EEXIST, "volume %s has held %s: nothing is formatted", v->name,
			       v->filesystem ? catalog_filesystem(v->filesystem) : v->found);
	probing.lock_fd = place.dir_fd;
	r = change_format(&place, (enum catalog_filesystem)s->ask.filesystem, &probing, e);
	return r < 0 ? err_prefix(e, r, "volume %s", v->name) : serve_rows(s, &place, e);
}

/* What is read, or is never written, is not mended. */
static int serve_check(struct serve *s, struct err *e)
{
	const struct copy_watch watch = { serve_wait, s };
	auto_place struct place place = PLACE_INIT;
	struct probing probing = { .watch = &watch };
	struct store_found found;
	bool read_only;
	int r;

	r = serve_find(s, s->ask.name, LOCK_EX, &place, e);
	if (r == 0)
		r = device_check_free(s->ask.name, true, e);
	if (r < 0)
		return r;
	read_only = place.volume.snapshot || device_check_free(s->ask.name, false, NULL) < 0;
	r = serve_decide(s, POLICY_ATTACH, &place, read_only, e);
	if (r < 0)
		return r;
	s->to_the_end = !read_only;
	probing.lock_fd = place.dir_fd;
	r = examine_check(&place, read_only, &probing, &found, e);
	if (r < 0)
		return err_prefix(e, r, "volume %s", place.volume.name);
	r = serve_rows(s, &place, e);
	return r < 0 ? r : serve_found(s, &found);
}

/*
 * One that is there, made otherwise, and that nobody has: it is left of a container that ended, and
 * made anew. The helper refuses to remove what somebody has.
 */
static int attach_device(struct serve *s, const struct place *place, struct err *e)
{
	auto_client_devices struct client_devices d = { 0 };
	struct wire_reply reply = { 0 };
	int r;

	r = device_list(&d, e);
	if (r < 0)
		return r;
	s->new_device = !device_find(&d, s->ask.name);
	r = device_attach(place, &s->ask, &reply, e);
	if (r != -EEXIST || s->new_device)
		return r;
	r = device_detach(s->ask.name, e);
	s->new_device = true;
	return r < 0 ? r : device_attach(place, &s->ask, &reply, e);
}

static int serve_attach(struct serve *s, struct err *e)
{
	auto_place struct place place = PLACE_INIT;
	int r;

	r = serve_find(s, s->ask.name, LOCK_EX, &place, e);
	if (r < 0)
		return r;
	if (place.volume.snapshot && !(s->ask.device_flags & WIRE_READ_ONLY))
		return err_set(e, EROFS, "%s is a snapshot: attach it read-only, or a clone of it",
			       s->ask.name);
	r = serve_decide(s, POLICY_ATTACH, &place, s->ask.device_flags & WIRE_READ_ONLY, e);
	if (r == 0)
		r = attach_device(s, &place, e);
	return r < 0 ? r : serve_rows(s, &place, e);
}

static int serve_detach(struct serve *s, struct err *e)
{
	auto_place struct place place = PLACE_INIT;
	int r;

	r = serve_find(s, s->ask.name, LOCK_EX, &place, e);
	if (r < 0)
		return r;
	r = device_detach(s->ask.name, e);
	/* Nobody needs its server; one that goes on does no harm. */
	if (remote_is(&place.volume) && (r == 0 || r == -ENODEV))
		remote_ask(&place.volume, POOL_STOP, 0, &s->warning);
	return r;
}

static int serve_capacity(struct serve *s, struct err *e)
{
	struct store_room room = { .head = serve_head(STORE_ROOM, sizeof(room)) };
	struct caller_act act = { .act = POLICY_CREATE };
	struct pools_sum sum;
	size_t pool = 0;
	int r;

	r = pools_find_pool(&s->pools, s->ask.pool, &pool, e);
	if (r == 0)
		r = pools_count(&s->pools, pool, NULL, &sum, e);
	if (r == 0)
		r = pools_room(&s->pools, pool, &sum, &room.room_bytes, e);
	if (r < 0)
		return r;
	act.pool = pools_at(&s->pools, pool)->name;
	act.volumes = sum.all_volumes;
	act.bytes = sum.all_bytes;
	room.largest_bytes = caller_largest(&s->caller, s->policy, &act);
	if (room.largest_bytes > room.room_bytes)
		room.largest_bytes = room.room_bytes;
	text_copy(room.pool, sizeof(room.pool), act.pool);
	return packet_send(s->fd, &room, sizeof(room), NULL, 0, SERVE_ANSWER_MS);
}

/* --- all of them -------------------------------------------------------------------------- */

static int (*const served[STORE_END])(struct serve *s, struct err *e) = {
	[STORE_LIST] = serve_list,     [STORE_INSPECT] = serve_inspect,
	[STORE_CREATE] = serve_create, [STORE_SNAPSHOT] = serve_create,
	[STORE_RESIZE] = serve_resize, [STORE_EXPORT] = serve_export,
	[STORE_DELETE] = serve_delete, [STORE_ATTACH] = serve_attach,
	[STORE_DETACH] = serve_detach, [STORE_FORMAT] = serve_format,
	[STORE_CHECK] = serve_check,   [STORE_CAPACITY] = serve_capacity,
};

static int serve_request(struct serve *s, const char *policy_file, struct err *e)
{
	auto_policy struct policy *policy = NULL;
	int r;

	r = caller_of_socket(&s->caller, s->fd, e);
	if (r == 0)
		r = policy_load(&policy, policy_file, 0, &policy_names_system, e);
	if (r == 0)
		r = pools_open(&s->pools, policy, e);
	if (r < 0)
		return r;
	s->policy = policy;
	r = served[s->ask.head.type](s, e);
	pools_close(&s->pools);
	return r;
}

void serve_run(int fd, const char *policy_file)
{
	auto_packet struct packet p = PACKET_INIT;
	struct serve s = { .fd = fd, .data_fd = -1 };
	struct err e = { "" };
	int r;

	if (packet_receive(fd, &p, SERVE_REQUEST_MS) < 0)
		return;
	r = request_admit(&p, &s.ask, &e);
	if (r == -EBADMSG)
		return;
	s.data_fd = p.fds[0];
	s.told_ms = clock_now_ms();
	if (r == 0)
		r = serve_request(&s, policy_file, &e);
	if (r < 0)
		log_info("%s: %s",
			 request_name(s.ask.head.type) ? request_name(s.ask.head.type) : "request",
			 *e.text ? e.text : strerror(-r));
	serve_reply(fd, r, r < 0 ? e.text : s.warning.text);
}

void serve_refuse_busy(int fd)
{
	serve_reply(fd, -EAGAIN, "too many requests are under way; try again");
}
