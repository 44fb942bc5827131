/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/store/serve_verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "driver/base/num.h"
#include "oci-hook/store/change.h"
#include "oci-hook/store/device.h"
#include "oci-hook/store/examine.h"
#include "oci-hook/store/remote.h"
#include "oci-hook/store/request.h"

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

int serve_create(struct serve *s, struct err *e)
{
	cleanup_with(source_fini) struct source src = { .place = PLACE_INIT, .fd = -1 };
	int r;

	r = source_open(s, &src, e);
	if (r == 0)
		r = create_run(s, &src, e);
	return r < 0 ? r : serve_inspect(s, e);
}
