/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/store/serve_verbs.h"

#include <errno.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "oci-hook/store/change.h"
#include "oci-hook/store/device.h"
#include "oci-hook/store/examine.h"
#include "oci-hook/store/remote.h"

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

int serve_resize(struct serve *s, struct err *e)
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
	if (r == 0)
		r = remote_is(&place.volume) ? change_reserve(&place, s->ask.size_bytes, e)
					     : change_grow(&place, s->ask.size_bytes, e);
	pools_unlock(&s->pools);
	/* Others do not wait for a back end. */
	if (r == 0 && remote_is(&place.volume))
		r = change_grow(&place, s->ask.size_bytes, e);
	if (r < 0)
		return r;
	resize_rest(s, &place);
	return serve_rows(s, &place, e);
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

int serve_delete(struct serve *s, struct err *e)
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

int serve_format(struct serve *s, struct err *e)
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
int serve_check(struct serve *s, struct err *e)
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
