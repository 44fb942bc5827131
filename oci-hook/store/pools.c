/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/store/pools.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/base/num.h"
#include "oci-hook/store/copy.h"
#include "oci-hook/store/remote.h"

#define POOLS_RETRY_MS 20

int pools_open(struct pools *ret, const struct policy *policy, struct err *e)
{
	struct pools p = { .policy = policy };
	int fd;

	for (size_t i = 0; i < policy_nr_pools(policy) && i < POOLS_MAX; i++) {
		const char *path = policy_pool(policy, i)->path;

		fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0) {
			int r = err_sys(e, errno, "pool %s: cannot open %s",
					policy_pool(policy, i)->name, path);

			pools_close(&p);
			return r;
		}
		p.fds[p.nr++] = fd;
	}
	*ret = p;
	return 0;
}

void pools_close(struct pools *p)
{
	while (p->nr)
		close_fdp(&p->fds[--p->nr]);
}

const struct policy_pool *pools_at(const struct pools *p, size_t pool)
{
	return policy_pool(p->policy, pool);
}

int pools_find_pool(const struct pools *p, const char *name, size_t *ret, struct err *e)
{
	for (size_t i = 0; i < p->nr; i++) {
		if (*name && strcmp(pools_at(p, i)->name, name))
			continue;
		*ret = i;
		return 0;
	}
	return err_set(e, ENOENT, "the policy names no pool %s", name);
}

int pools_lock(const struct pools *p, struct err *e)
{
	int64_t deadline_ms = clock_deadline_ms(POOLS_LOCK_MS);

	for (size_t i = 0; i < p->nr; i++) {
		while (flock(p->fds[i], LOCK_EX | LOCK_NB) < 0) {
			if ((errno == EWOULDBLOCK || errno == EINTR) &&
			    clock_left_ms(deadline_ms)) {
				clock_sleep_ms(POOLS_RETRY_MS);
				continue;
			}
			pools_unlock(p);
			return err_set(e, ETIMEDOUT, "the pools stayed locked for %d s",
				       POOLS_LOCK_MS / 1000);
		}
	}
	return 0;
}

void pools_unlock(const struct pools *p)
{
	for (size_t i = 0; i < p->nr; i++)
		flock(p->fds[i], LOCK_UN);
}

void place_close(struct place *p)
{
	close_fdp(&p->dir_fd);
}

static int entry_open(int pool_fd, const char *entry)
{
	int fd = openat(pool_fd, entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/*
 * Is what was opened still what is there under its name? It is asked with the lock held: who had it
 * before may have given the directory another name, or removed it, and ended.
 */
static bool entry_stays(int pool_fd, const char *entry, int dir_fd)
{
	struct stat opened, there;

	return fstat(dir_fd, &opened) == 0 &&
	       fstatat(pool_fd, entry, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       opened.st_dev == there.st_dev && opened.st_ino == there.st_ino;
}

/* What is named so in the pool, and says so itself. */
static int place_load(const struct pools *p, size_t pool, const char *entry, const char *name,
		      struct place *ret, struct err *e)
{
	int r;

	ret->pool = pool;
	ret->dir_fd = entry_open(p->fds[pool], entry);
	if (ret->dir_fd < 0)
		return ret->dir_fd == -ENOENT
			       ? -ENOENT
			       : err_sys(e, -ret->dir_fd, "volume %s: cannot open it", name);
	r = volume_load(&ret->volume, ret->dir_fd, e);
	if (r == 0 && strcmp(ret->volume.name, name))
		r = err_set(e, EINVAL, "it is of a volume %s", ret->volume.name);
	if (r < 0) {
		err_prefix(e, r, "volume %s", name);
		place_close(ret);
	}
	return r;
}

int pools_find(const struct pools *p, const char *name, int lock, struct place *ret, struct err *e)
{
	auto_place struct place place = PLACE_INIT;
	int r = -ENOENT;

	for (size_t i = 0; i < p->nr && r == -ENOENT; i++)
		r = text_device_name_ok(name) ? place_load(p, i, name, name, &place, e) : -ENOENT;
	if (r == -ENOENT)
		return err_set(e, ENOENT, "there is no volume %s", name);
	if (r < 0)
		return r;
	if (lock && flock(place.dir_fd, lock | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
			       ? err_set(e, EBUSY, "somebody is working on volume %s", name)
			       : err_sys(e, errno, "cannot lock volume %s", name);
	if (lock && !entry_stays(p->fds[place.pool], name, place.dir_fd))
		return err_set(e, ENOENT, "there is no volume %s", name);
	r = lock ? volume_load(&place.volume, place.dir_fd, e) : 0;
	if (r < 0)
		return err_prefix(e, r, "volume %s", name);
	*ret = place;
	place.dir_fd = -1;
	return 0;
}

/* Each entry of a pool; "." and ".." are none. */
static int pool_entries(const struct pools *p, size_t pool,
			int (*each)(void *arg, size_t pool, const char *entry), void *arg,
			struct err *e)
{
	auto_close int fd = openat(p->fds[pool], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;
	int r = 0;

	if (!dir)
		return err_sys(e, errno, "cannot list pool %s", pools_at(p, pool)->name);
	fd_take(&fd);
	while (r == 0 && (errno = 0, d = readdir(dir))) {
		if (strcmp(d->d_name, ".") && strcmp(d->d_name, ".."))
			r = each(arg, pool, d->d_name);
	}
	return r == 0 && errno ? err_sys(e, errno, "cannot list pool %s", pools_at(p, pool)->name)
			       : r;
}

struct each {
	const struct pools *pools;
	bool with_new;
	int (*each)(void *arg, const struct place *place);
	void *arg;
};

static int each_entry(void *arg, size_t pool, const char *entry)
{
	const struct each *x = arg;
	auto_place struct place place = PLACE_INIT;
	const char *name = entry;
	struct err e;
	int r;

	if (x->with_new && !strncmp(entry, POOLS_NEW, strlen(POOLS_NEW)))
		name += strlen(POOLS_NEW);
	if (!text_device_name_ok(name))
		return 0;
	r = place_load(x->pools, pool, entry, name, &place, &e);
	if (r == 0)
		return x->each(x->arg, &place);
	/* One that is being made or removed has no record for a moment. */
	if (r != -ENOENT && name == entry)
		log_warning("%s", e.text);
	return 0;
}

static int pools_visit(const struct each *x, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < x->pools->nr && r == 0; i++)
		r = pool_entries(x->pools, i, each_entry, (void *)x, e);
	return r;
}

int pools_each(const struct pools *p, int (*each)(void *arg, const struct place *place), void *arg,
	       struct err *e)
{
	const struct each x = { .pools = p, .each = each, .arg = arg };

	return pools_visit(&x, e);
}

struct count {
	size_t pool;
	const char *except;
	struct pools_sum *sum;
};

static int count_one(void *arg, const struct place *place)
{
	const struct count *c = arg;
	const struct volume *v = &place->volume;
	uint64_t bytes = v->growing_bytes > v->size_bytes ? v->growing_bytes : v->size_bytes;

	if (c->except && !strcmp(place->volume.name, c->except))
		return 0;
	c->sum->all_volumes++;
	/* A sum that does not fit is as full as can be. */
	if (__builtin_add_overflow(c->sum->all_bytes, bytes, &c->sum->all_bytes))
		c->sum->all_bytes = UINT64_MAX;
	if (place->pool == c->pool &&
	    __builtin_add_overflow(c->sum->pool_bytes, bytes, &c->sum->pool_bytes))
		c->sum->pool_bytes = UINT64_MAX;
	return 0;
}

int pools_count(const struct pools *p, size_t pool, const char *except, struct pools_sum *ret,
		struct err *e)
{
	struct count c = { .pool = pool, .except = except, .sum = ret };
	const struct each x = { .pools = p, .with_new = true, .each = count_one, .arg = &c };

	*ret = (struct pools_sum){ 0 };
	return pools_visit(&x, e);
}

/* What its volumes may have together; UINT64_MAX: no limit. */
static uint64_t pool_most(const struct policy_pool *spec)
{
	uint64_t most;

	if (!spec->capacity_bytes)
		return UINT64_MAX;
	/* In this order no product is cut off; what is below one percent does not count. */
	if (__builtin_mul_overflow(spec->capacity_bytes / 100, spec->overcommit_percent, &most))
		most = UINT64_MAX;
	return most < spec->capacity_bytes ? spec->capacity_bytes : most;
}

int pools_check_room(const struct pools *p, size_t pool, const struct pools_sum *sum,
		     uint64_t more_bytes, struct err *e)
{
	const struct policy_pool *spec = pools_at(p, pool);
	char most[NUM_SIZE_TEXT], used[NUM_SIZE_TEXT], more[NUM_SIZE_TEXT];
	uint64_t most_bytes = pool_most(spec);

	if (!spec->capacity_bytes)
		return 0;
	if (sum->pool_bytes <= most_bytes && more_bytes <= most_bytes - sum->pool_bytes)
		return 0;
	return err_set(e, ENOSPC,
		       "the volumes of pool %s have %s already, and %s more are over its %s",
		       spec->name, num_format_size(sum->pool_bytes, used),
		       num_format_size(more_bytes, more), num_format_size(most_bytes, most));
}

int pools_room(const struct pools *p, size_t pool, const struct pools_sum *sum, uint64_t *ret,
	       struct err *e)
{
	const struct policy_pool *spec = pools_at(p, pool);
	uint64_t most = pool_most(spec), left;
	struct statvfs fs;

	if (spec->backend)
		fs = (struct statvfs){ .f_bavail = UINT64_MAX, .f_frsize = 1 }; /* it knows */
	else if (fstatvfs(p->fds[pool], &fs) < 0)
		return err_sys(e, errno, "cannot learn what room pool %s has", spec->name);
	/* What is promised over what there is counts on the disk as well. */
	if (__builtin_mul_overflow((uint64_t)fs.f_bavail * fs.f_frsize / 100,
				   spec->overcommit_percent, ret))
		*ret = UINT64_MAX;
	left = most > sum->pool_bytes ? most - sum->pool_bytes : 0;
	if (left < *ret)
		*ret = left;
	if (*ret > VOLUME_BYTES_MAX)
		*ret = VOLUME_BYTES_MAX;
	*ret &= ~(uint64_t)(VOLUME_BLOCK_BYTES - 1);
	return 0;
}

/*
 * 1: a back end has its data. Of one without a record there is no image: it is on record first, and
 * the record goes last. One that cannot be read may be all that names an image.
 */
static int entry_remote(const char *entry, int dir_fd, struct volume *ret, struct err *e)
{
	int r = volume_load(ret, dir_fd, e);

	if (r < 0)
		return r == -ENOENT ? 0 : err_prefix(e, r, "%s", entry);
	return remote_is(ret);
}

int pools_remove_entry(int pool_fd, const char *entry, int dir_fd, struct err *e)
{
	static const char *const files[] = { VOLUME_DATA, VOLUME_RECORD, VOLUME_RECORD ".tmp" };
	struct volume v;
	int r = entry_remote(entry, dir_fd, &v, e);

	if (r > 0)
		r = remote_ask(&v, POOL_REMOVE, 0, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		if (unlinkat(dir_fd, files[i], 0) < 0 && errno != ENOENT)
			return err_sys(e, errno, "cannot remove %s/%s", entry, files[i]);
	}
	if (unlinkat(pool_fd, entry, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_sys(e, errno, "cannot remove %s", entry);
	return fsync(pool_fd) < 0 ? err_sys(e, errno, "cannot remove %s", entry) : 0;
}

/* 1: it is being made; 0: it is not, any more; it may have got its name meanwhile. */
static int check_making(int pool_fd, const char *name, struct err *e)
{
	auto_close int dir_fd = -1;
	char entry[POOLS_ENTRY_SIZE];
	struct volume v;
	int r;

	snprintf(entry, sizeof(entry), POOLS_NEW "%s", name);
	dir_fd = entry_open(pool_fd, entry);
	if (dir_fd == -ENOENT)
		return 0;
	if (dir_fd < 0)
		return err_sys(e, -dir_fd, "cannot open %s", entry);
	if (flock(dir_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? 1 : err_sys(e, errno, "cannot lock %s", entry);
	if (!entry_stays(pool_fd, entry, dir_fd))
		return 0;
	/* With the pools locked no back end is waited for. */
	r = entry_remote(entry, dir_fd, &v, e);
	if (r > 0)
		return err_set(e, EAGAIN,
			       "a volume %s was half made, and back end %s did not remove its "
			       "image yet: try again",
			       name, v.backend);
	return r < 0 ? r : pools_remove_entry(pool_fd, entry, dir_fd, e);
}

int pools_check_free(const struct pools *p, const char *name, struct err *e)
{
	int r;

	for (size_t i = 0; i < p->nr; i++) {
		r = check_making(p->fds[i], name, e);
		if (r > 0)
			return err_set(e, EBUSY, "a volume %s is being made", name);
		if (r < 0)
			return r;
		/* Behind it: with the pools locked none is begun, but one may be finished. */
		if (faccessat(p->fds[i], name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return err_set(e, EEXIST, "there is a volume %s already, in pool %s", name,
				       pools_at(p, i)->name);
	}
	return 0;
}

/* Data that is not there was wiped, and removed, already. */
static int sweep_wipe(const char *entry, int dir_fd, struct err *e)
{
	auto_close int fd = openat(dir_fd, VOLUME_DATA, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "%s: cannot open the data", entry);
	return copy_zeroes(fd, NULL, e);
}

static int sweep_entry(void *arg, size_t pool, const char *entry)
{
	static const char *const prefixes[] = { POOLS_NEW, POOLS_GONE, POOLS_WIPE };
	const struct pools *p = arg;
	auto_close int dir_fd = -1;
	struct err e;
	bool ours = false;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		ours |= !strncmp(entry, prefixes[i], strlen(prefixes[i]));
	if (!ours)
		return 0;
	dir_fd = entry_open(p->fds[pool], entry);
	if (dir_fd < 0 || flock(dir_fd, LOCK_EX | LOCK_NB) < 0 ||
	    !entry_stays(p->fds[pool], entry, dir_fd))
		return 0;
	if (!strncmp(entry, POOLS_WIPE, strlen(POOLS_WIPE)))
		r = sweep_wipe(entry, dir_fd, &e);
	if (r == 0)
		r = pools_remove_entry(p->fds[pool], entry, dir_fd, &e);
	if (r < 0)
		log_warning("pool %s: %s", pools_at(p, pool)->name, e.text);
	else
		log_info("pool %s: %s, left of a process that was killed, is removed",
			 pools_at(p, pool)->name, entry);
	return 0;
}

void pools_sweep_one(const struct pools *p, size_t pool)
{
	struct err e;

	if (pool_entries(p, pool, sweep_entry, (void *)p, &e) < 0)
		log_warning("%s", e.text);
}

void pools_sweep(const struct pools *p)
{
	for (size_t i = 0; i < p->nr; i++)
		pools_sweep_one(p, i);
}
