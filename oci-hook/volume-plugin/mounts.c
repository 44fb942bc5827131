/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/volume-plugin/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "oci-hook/keys.h"
#include "oci-hook/keys_check.h"
#include "oci-hook/keys_files.h"
#include "oci-hook/keys_set.h"
#include "oci-hook/volume_device.h"

#define MOUNTS_BUSY_MS 1000 /* a container that has just ended lets go of it */
#define MOUNTS_AGAIN_MS 50

void mounts_path(const struct plugin *p, const char *volume, char buf[WIRE_PATH_SIZE])
{
	snprintf(buf, WIRE_PATH_SIZE, "%s/%s", p->dir, volume);
}

/* Is there another file system? */
static bool is_mounted(const struct plugin *p, const char *volume)
{
	struct stat here, there;

	return fstat(p->dir_fd, &here) == 0 &&
	       fstatat(p->dir_fd, volume, &there, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0 &&
	       here.st_dev != there.st_dev;
}

struct mounts mounts_among(const struct plugin *p, const struct client_devices *all,
			   const char *volume)
{
	char path[WIRE_PATH_SIZE];

	mounts_path(p, volume, path);
	for (size_t i = 0; i < all->nr; i++) {
		const struct wire_device *row = &all->rows[i];

		if (row->flags & WIRE_HOST && row->filesystem && !strcmp(row->path, path))
			return (struct mounts){ row->generation, is_mounted(p, volume) };
	}
	return (struct mounts){ 0 };
}

int mounts_find(const struct plugin *p, const char *volume, struct mounts *ret, struct err *e)
{
	auto_client_devices struct client_devices all = { 0 };
	int r = client_list(&all, CLIENT_TIMEOUT_MS, e);

	if (r == 0)
		*ret = mounts_among(p, &all, volume);
	return r;
}

static int mount_claim(const struct plugin *p, const struct store_volume *v,
		       const struct kept *kept, uint64_t *ret_generation, struct err *e)
{
	enum catalog_filesystem fs = kept->filesystem ?: v->filesystem ?: FILESYSTEM_EXT4;
	bool read_only = kept->read_only || v->flags & STORE_IS_SNAPSHOT;
	struct wire_reply reply = { 0 };
	struct attach_options keys;
	auto_close int dir_fd = -1;
	char path[WIRE_PATH_SIZE];
	int r;

	if (mkdirat(p->dir_fd, v->name, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "cannot make the directory of volume %s", v->name);
	mounts_path(p, v->name, path);
	keys_init(&keys);
	r = keys_set(&keys, KEY_MOUNT, path, e);
	if (r == 0)
		r = keys_set(&keys, KEY_FS, catalog_filesystem(fs), e);
	if (r == 0)
		r = keys_set(&keys, KEY_VOLUME, v->name, e);
	if (r == 0)
		r = keys_set(&keys, KEY_ACCESS, read_only ? "ro" : "rw", e);
	if (r == 0)
		r = keys_files_open_host(&keys, &dir_fd, e);
	if (r == 0)
		r = keys_check(&keys, true, e);
	if (r == 0)
		r = volume_device_claim(&keys, "", "", dir_fd, CLIENT_TIMEOUT_MS, &reply, e);
	if (r < 0)
		return r;
	if (*reply.reason)
		log_warning("volume %s: %s", v->name, reply.reason);
	*ret_generation = reply.generation;
	return 0;
}

int mounts_make(const struct plugin *p, const struct store_volume *v, const struct kept *kept,
		uint64_t *ret_generation, struct err *e)
{
	struct mounts m;
	int r = mounts_find(p, v->name, &m, e);

	if (r < 0)
		return r;
	*ret_generation = m.generation;
	/* Not claimed again: its root may be another user's by now, and then the helper says no. */
	return m.there ? 0 : mount_claim(p, v, kept, ret_generation, e);
}

/* Until nobody has it in use any more, and the helper has room, for a moment. */
static int mount_detach(uint64_t generation, struct err *e)
{
	int64_t busy_until_ms = clock_deadline_ms(MOUNTS_BUSY_MS);
	int r;

	do {
		r = client_detach(generation, 0, CLIENT_TIMEOUT_MS, NULL, e);
		if (r != -EBUSY && r != -EAGAIN)
			break;
		clock_sleep_ms(MOUNTS_AGAIN_MS);
	} while (clock_now_ms() < busy_until_ms);
	return r;
}

/* Somebody else may be quicker. */
static int mount_is_gone(const struct plugin *p, const char *volume, uint64_t generation,
			 struct err *e)
{
	struct mounts m;
	int r = mounts_find(p, volume, &m, e);

	if (r == 0 && m.generation == generation)
		r = err_set(e, EAGAIN, "volume %s is still being unmounted; ask again", volume);
	return r;
}

int mounts_end(const struct plugin *p, const char *volume, uint64_t generation, struct err *e)
{
	struct err why;
	int r = generation ? mount_detach(generation, e) : 0;

	if (r == -ENOENT)
		r = mount_is_gone(p, volume, generation, e);
	if (r < 0)
		return r;
	unlinkat(p->dir_fd, volume, AT_REMOVEDIR);
	/* Without it the volume is unmounted all the same, and attached until it is asked again. */
	r = volume_device_release(volume, CLIENT_TIMEOUT_MS, &why);
	if (r < 0 && r != -ENODEV && r != -ENOENT)
		log_warning("volume %s is unmounted, and still attached: %s", volume, why.text);
	return 0;
}
