/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/volume-plugin/changes.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/base/num.h"
#include "driver/base/text.h"
#include "oci-hook/client.h"
#include "oci-hook/quote.h"
#include "oci-hook/volume-plugin/kept.h"
#include "oci-hook/volume-plugin/mounts.h"
#include "oci-hook/volume-plugin/uses.h"
#include "oci-hook/volume_device.h"
#include "oci-hook/volumes.h"

#define CHANGES_STORE_MS 60000 /* between two words of the store */
#define CHANGES_LET_GO_MS 30000
#define CHANGES_AGAIN_MS 200

/* --- the store's part --------------------------------------------------------------------- */

static int store_do(const struct ask *ask, enum store_type type, struct err *e)
{
	auto_volumes struct volumes none = { 0 };
	struct volumes_call call = { .type = type, .fd = -1, .timeout_ms = CHANGES_STORE_MS };

	text_copy(call.ask.name, sizeof(call.ask.name), ask->volume);
	return volumes_call(&call, &none, e);
}

static int store_inspect(const char *volume, struct store_volume *ret, struct err *e)
{
	auto_volumes struct volumes v = { 0 };
	struct volumes_call call = { .type = STORE_INSPECT,
				     .fd = -1,
				     .timeout_ms = CHANGES_STORE_MS };
	int r;

	text_copy(call.ask.name, sizeof(call.ask.name), volume);
	r = volumes_call(&call, &v, e);
	if (r < 0)
		return r;
	if (v.nr != 1)
		return err_set(e, EPROTO, "the store says nothing of volume %s", volume);
	*ret = v.rows[0];
	return 0;
}

/* --- create ------------------------------------------------------------------------------- */

/* With the rights of this user, which are few: what an engine's user names may be anything. */
static int image_open(const char *path, int *ret_fd, struct err *e)
{
	char word[QUOTE_SIZE];
	struct stat st;

	quote_text(word, sizeof(word), path);
	/* Looked at before it is opened: opening a FIFO or a device can have effects. */
	if (stat(path, &st) < 0)
		return err_sys(e, errno, "cannot look at the image %s", word);
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "the image %s is no regular file", word);
	*ret_fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (*ret_fd < 0)
		return err_sys(e, errno,
			       "cannot open the image %s, which user ublk-oci-volume has to be "
			       "able to read",
			       word);
	return 0;
}

static int create_ask(const struct ask *ask, int image_fd, struct err *e)
{
	const struct ask_options *o = &ask->options;
	bool empty = !*o->from && image_fd < 0;
	auto_volumes struct volumes made = { 0 };
	struct volumes_call call = {
		.ask = {
			.size_bytes = o->size_bytes,
			.filesystem = empty ? o->filesystem ?: FILESYSTEM_EXT4 : FILESYSTEM_NONE,
		},
		.type = o->snapshot ? STORE_SNAPSHOT : STORE_CREATE,
		.fd = image_fd,
		.timeout_ms = CHANGES_STORE_MS,
	};

	text_copy(call.ask.name, sizeof(call.ask.name), ask->volume);
	text_copy(call.ask.from, sizeof(call.ask.from), o->from);
	text_copy(call.ask.pool, sizeof(call.ask.pool), o->pool);
	return volumes_call(&call, &made, e);
}

/* A copy has the file system of what it is made of. */
static int create_kept(const struct work *w, struct kept *ret, struct err *e)
{
	const struct ask_options *o = &w->ask.options;
	struct kept of = { 0 };
	int r = 0;

	if (*o->from)
		r = kept_read(w->plugin->kept_fd, o->from, &of, e);
	*ret = (struct kept){
		.read_only = o->read_only,
		.filesystem = *o->image ? o->filesystem ?: FILESYSTEM_EXT4 : of.filesystem,
	};
	return r;
}

/* One that is there is what it was asked to be, or nobody's to take for that. */
static int create_check(const struct ask *ask, const struct store_volume *v, const struct kept *has,
			const struct kept *asked, struct err *e)
{
	const struct ask_options *o = &ask->options;
	char size[NUM_SIZE_TEXT];

	if (o->size_bytes > v->size_bytes)
		return err_set(e, EEXIST, "there is a volume %s, of %s only", ask->volume,
			       num_format_size(v->size_bytes, size));
	if (*o->pool && strcmp(o->pool, v->pool) != 0)
		return err_set(e, EEXIST, "there is a volume %s, in pool %s", ask->volume, v->pool);
	if (strcmp(o->from, v->origin) != 0 || o->snapshot != !!(v->flags & STORE_IS_SNAPSHOT))
		return err_set(e, EEXIST, "there is a volume %s, which is no such copy",
			       ask->volume);
	if (has->read_only != asked->read_only ||
	    (*o->image && has->filesystem != asked->filesystem) ||
	    (o->filesystem && v->filesystem && v->filesystem != o->filesystem))
		return err_set(e, EEXIST,
			       "there is a volume %s, with another access or file system",
			       ask->volume);
	return 0;
}

static int create_new(const struct work *w, const struct kept *kept, struct err *e)
{
	auto_close int image_fd = -1;
	int r = 0;

	if (*w->ask.options.image)
		r = image_open(w->ask.options.image, &image_fd, e);
	if (r == 0)
		r = kept_write(w->plugin->kept_fd, w->ask.volume, kept, e);
	if (r < 0)
		return r;
	r = create_ask(&w->ask, image_fd, e);
	if (r == -EEXIST)
		err_set(e, EEXIST,
			"there is a volume %s which the plug-in has not made: choose another name",
			w->ask.volume);
	/* Where the store's answer did not come it may be made, and this is how. */
	if (r < 0 && r != -ECONNRESET && r != -ETIMEDOUT)
		kept_remove(w->plugin->kept_fd, w->ask.volume);
	return r;
}

static int create_run(struct work *w, struct err *e)
{
	struct kept has, asked;
	struct store_volume v;
	int r;

	r = create_kept(w, &asked, e);
	if (r < 0)
		return r;
	r = store_inspect(w->ask.volume, &v, e);
	if (r == -ENOENT)
		return create_new(w, &asked, e);
	if (r == 0)
		r = kept_read(w->plugin->kept_fd, w->ask.volume, &has, e);
	return r < 0 ? r : create_check(&w->ask, &v, &has, &asked, e);
}

/* --- remove ------------------------------------------------------------------------------- */

static int remove_check_unused(const struct work *w, uint64_t generation, struct err *e)
{
	int nr = uses_count(w->plugin->uses_fd, w->ask.volume, generation, e);

	if (nr > 0)
		return err_set(e, EBUSY,
			       "volume %s is in use, %d times: end the containers that have it "
			       "first",
			       w->ask.volume, nr);
	return nr;
}

static int remove_run(struct work *w, struct err *e)
{
	const char *volume = w->ask.volume;
	struct store_volume v;
	struct mounts m;
	int r;

	r = store_inspect(volume, &v, e);
	if (r == -ENOENT) {
		kept_remove(w->plugin->kept_fd, volume);
		return 0;
	}
	if (r == 0)
		r = mounts_find(w->plugin, volume, &m, e);
	if (r == 0 && m.generation)
		r = remove_check_unused(w, m.generation, e);
	if (r == 0)
		r = mounts_end(w->plugin, volume, m.generation, e);
	if (r == 0)
		r = store_do(&w->ask, STORE_DELETE, e);
	if (r < 0)
		return r;
	kept_remove(w->plugin->kept_fd, volume);
	return uses_clear(w->plugin->uses_fd, volume, e);
}

/* --- mount -------------------------------------------------------------------------------- */

static int mount_run(struct work *w, struct err *e)
{
	struct store_volume v;
	struct kept kept;
	int r;

	r = store_inspect(w->ask.volume, &v, e);
	if (r == -ENOENT)
		return err_set(e, ENOENT, "there is no volume %s: create it first", w->ask.volume);
	if (r == 0)
		r = kept_read(w->plugin->kept_fd, w->ask.volume, &kept, e);
	return r < 0 ? r : mounts_make(w->plugin, &v, &kept, &w->generation, e);
}

/* Only who is told so uses it: one that does not hear it would never say that it does no more. */
static int mount_finish(struct work *w, struct err *e)
{
	return uses_add(w->plugin->uses_fd, w->ask.volume, w->generation, w->ask.id, e);
}

/* --- unmount ------------------------------------------------------------------------------ */

/* What nobody uses. -EBUSY: something on the host has it open; -EAGAIN: the helper has no room. */
static int unmount_unused(const struct plugin *p, const char *volume, const struct mounts *m,
			  struct err *e)
{
	int r = uses_count(p->uses_fd, volume, m->generation, e);

	if (r == 0)
		r = mounts_end(p, volume, m->generation, e);
	return r < 0 ? r : 0;
}

/*
 * A use has ended once its engine says so, which it does not say again. A container's last process
 * may be about to go, and an engine that hears of a failure takes the volume for mounted, for ever:
 * so that something still has it open is not its business.
 */
static int unmount_run(struct work *w, struct err *e)
{
	const struct plugin *p = w->plugin;
	const char *volume = w->ask.volume;
	struct mounts m;
	int r;

	r = mounts_find(p, volume, &m, e);
	if (r < 0)
		return r;
	if (!m.generation)
		return uses_clear(p->uses_fd, volume, e);
	r = uses_drop(p->uses_fd, volume, m.generation, w->ask.id, e);
	if (r == 0)
		r = unmount_unused(p, volume, &m, e);
	if (r != -EBUSY && r != -EAGAIN)
		return r;
	log_info("volume %s is used no more, and still mounted: %s", volume, e->text);
	w->then = &changes_let_go;
	return 0;
}

static int let_go_run(struct work *w, struct err *e)
{
	int64_t deadline_ms = clock_deadline_ms(CHANGES_LET_GO_MS);
	struct mounts m;
	int r;

	do {
		clock_sleep_ms(CHANGES_AGAIN_MS);
		r = mounts_find(w->plugin, w->ask.volume, &m, e);
		if (r == 0 && m.generation)
			r = unmount_unused(w->plugin, w->ask.volume, &m, e);
	} while ((r == -EBUSY || r == -EAGAIN) && clock_now_ms() < deadline_ms &&
		 !works_others_wait(w->plugin));
	return r;
}

/*
 * Mounted after its engine was told that it takes longer, and perhaps gave up, which nobody says.
 * Who asks again finds it mounted. Others do not wait that long for it: it goes at once then.
 */
static int unheard_run(struct work *w, struct err *e)
{
	const struct plugin *p = w->plugin;
	const char *volume = w->ask.volume;
	int64_t deadline_ms = clock_deadline_ms(p->unheard_ms);
	struct mounts m;
	int r;

	while (clock_now_ms() < deadline_ms && !works_others_wait(p))
		clock_sleep_ms(CHANGES_AGAIN_MS);
	if (works_wanted(p, volume))
		return 0;
	r = mounts_find(p, volume, &m, e);
	if (r < 0 || m.generation != w->generation)
		return r;
	log_info("volume %s was mounted too late, and nobody has asked for it again", volume);
	return unmount_unused(p, volume, &m, e);
}

static const struct work_kind changes_unheard = { .run = unheard_run };

const struct work_kind changes_create = { .run = create_run };
const struct work_kind changes_remove = { .run = remove_run };
const struct work_kind changes_mount = {
	.run = mount_run,
	.finish = mount_finish,
	.unheard = &changes_unheard,
};
const struct work_kind changes_unmount = { .run = unmount_run };
const struct work_kind changes_let_go = { .run = let_go_run };
