/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/store/change.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/log.h"
#include "oci-hook/store/remote.h"

static void making_entry(const struct making *m, char entry[POOLS_ENTRY_SIZE])
{
	snprintf(entry, POOLS_ENTRY_SIZE, POOLS_NEW "%s", m->volume.name);
}

void making_fini(struct making *m)
{
	char entry[POOLS_ENTRY_SIZE];
	struct err e;

	close_fdp(&m->data_fd);
	if (m->dir_fd < 0)
		return;
	making_entry(m, entry);
	if (pools_remove_entry(m->pools->fds[m->pool], entry, m->dir_fd, &e) < 0)
		log_warning("pool %s: %s", pools_at(m->pools, m->pool)->name, e.text);
	close_fdp(&m->dir_fd);
}

static int making_open_data(struct making *m)
{
	m->data_fd = openat(m->dir_fd, VOLUME_DATA,
			    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (m->data_fd < 0 || ftruncate(m->data_fd, (off_t)m->volume.size_bytes) < 0)
		return -errno;
	return 0;
}

/* One that cannot be opened is not making_fini()'s to remove. */
static int making_open_dir(struct making *m, int pool_fd, const char *entry)
{
	int r;

	m->dir_fd = openat(pool_fd, entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (m->dir_fd < 0) {
		r = -errno;
		unlinkat(pool_fd, entry, AT_REMOVEDIR);
		return r;
	}
	return flock(m->dir_fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

int making_begin(struct making *m, const struct pools *pools, size_t pool, const struct volume *v,
		 struct err *e)
{
	int pool_fd = pools->fds[pool], r;
	char entry[POOLS_ENTRY_SIZE];

	r = pools_check_free(pools, v->name, e);
	if (r < 0)
		return r;
	m->pools = pools;
	m->pool = pool;
	m->volume = *v;
	making_entry(m, entry);
	if (mkdirat(pool_fd, entry, 0700) < 0)
		return err_sys(e, errno, "cannot make a directory in pool %s",
			       pools_at(pools, pool)->name);
	r = making_open_dir(m, pool_fd, entry);
	if (r < 0)
		return err_sys(e, -r, "cannot open a directory in pool %s",
			       pools_at(pools, pool)->name);
	r = volume_save(m->dir_fd, v, e);
	if (r < 0)
		return r;
	r = remote_is(v) ? 0 : making_open_data(m);
	return r < 0 ? err_sys(e, -r, "cannot make a file of this size in pool %s",
			       pools_at(pools, pool)->name)
		     : 0;
}

int making_create(struct making *m, struct err *e)
{
	return remote_ask(&m->volume, POOL_CREATE, m->volume.size_bytes, e);
}

int making_fill(struct making *m, int from_fd, uint64_t bytes, const struct copy_watch *watch,
		struct err *e)
{
	return copy_data(from_fd, m->data_fd, bytes, watch, e);
}

int making_share(struct making *m, int from_fd, uint64_t bytes, struct err *e)
{
	return copy_share(from_fd, m->data_fd, bytes)
		       ? 0
		       : err_set(e, EOPNOTSUPP, "the filesystem of pool %s cannot share data",
				 pools_at(m->pools, m->pool)->name);
}

int making_format(struct making *m, const struct probing *p, struct err *e)
{
	struct stat st;

	if (fstat(m->data_fd, &st) < 0 || st.st_blocks)
		return err_set(e, EINVAL, "the volume is not empty: nothing is formatted");
	return probing_mkfs(p, m->data_fd, m->volume.filesystem, e);
}

int making_look(struct making *m, const struct probing *p, struct err *e)
{
	struct probe_answer answer;
	int r;

	r = probing_look(p, m->data_fd, &answer, e);
	if (r < 0 || answer.content != PROBE_USED)
		return r;
	memcpy(m->volume.found, answer.type, sizeof(m->volume.found));
	return volume_save(m->dir_fd, &m->volume, e);
}

int making_finish(struct making *m, struct err *e)
{
	int pool_fd = m->pools->fds[m->pool];
	char entry[POOLS_ENTRY_SIZE];

	making_entry(m, entry);
	if ((m->data_fd >= 0 && fsync(m->data_fd) < 0) || fsync(m->dir_fd) < 0)
		return err_sys(e, errno, "cannot write the volume");
	if (renameat2(pool_fd, entry, pool_fd, m->volume.name, RENAME_NOREPLACE) < 0)
		return err_sys(e, errno, "cannot give the volume its name");
	close_fdp(&m->dir_fd);
	if (fsync(pool_fd) < 0)
		return err_sys(e, errno, "volume %s is made, but may be gone after a loss of power",
			       m->volume.name);
	return 0;
}

/*
 * A growth that was killed leaves the data larger than its record says, and a file system is made,
 * and grown, as large as the data is. No volume has what is behind its size, and it is a hole then.
 * Something else there is of a tool, or of a device that was made larger by hand: it stays.
 */
static int data_fit(int fd, uint64_t size_bytes, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "cannot learn how large the data is");
	if ((uint64_t)st.st_size > size_bytes &&
	    (lseek(fd, (off_t)size_bytes, SEEK_DATA) >= 0 || errno != ENXIO))
		return err_set(e, EINVAL,
			       "the data has %llu bytes, and something is behind the first %llu: "
			       "nothing is cut off",
			       (unsigned long long)st.st_size, (unsigned long long)size_bytes);
	if ((uint64_t)st.st_size != size_bytes && ftruncate(fd, (off_t)size_bytes) < 0)
		return err_sys(e, errno, "cannot give the data its size");
	return 0;
}

static int grow_data(const struct place *place, uint64_t size_bytes, struct err *e)
{
	auto_close int fd =
		openat(place->dir_fd, VOLUME_DATA, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int r;

	if (fd < 0)
		return err_sys(e, errno, "cannot open the data");
	r = data_fit(fd, size_bytes, e);
	if (r == 0 && fsync(fd) < 0)
		r = err_sys(e, errno, "cannot make the data larger");
	return r;
}

static int grow_record(struct place *place, uint64_t size_bytes, uint64_t growing_bytes,
		       struct err *e)
{
	struct volume v = place->volume;
	int r;

	v.size_bytes = size_bytes;
	v.growing_bytes = growing_bytes;
	r = volume_save(place->dir_fd, &v, e);
	if (r == 0)
		place->volume = v;
	return r;
}

int change_reserve(struct place *place, uint64_t size_bytes, struct err *e)
{
	return grow_record(place, place->volume.size_bytes, size_bytes, e);
}

int change_grow(struct place *place, uint64_t size_bytes, struct err *e)
{
	const struct volume *v = &place->volume;
	int r;

	r = remote_is(v) ? remote_ask(v, POOL_RESIZE, size_bytes, e)
			 : grow_data(place, size_bytes, e);
	if (r == 0)
		return grow_record(place, size_bytes, 0, e);
	if (v->growing_bytes && grow_record(place, v->size_bytes, 0, NULL) < 0)
		log_warning("volume %s: its growth is still on record as begun", v->name);
	return r;
}

/* Nothing is in it any more. Whatever a tool made of its size, it is the volume's again. */
static int format_clear(int fd, uint64_t size_bytes)
{
	if (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)size_bytes) < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

static int format_check_blank(const struct probing *p, int fd, struct err *e)
{
	struct probe_answer answer;
	int r;

	r = probing_look(p, fd, &answer, e);
	if (r < 0 || answer.content == PROBE_BLANK)
		return r;
	if (answer.content == PROBE_USED)
		return err_set(e, EEXIST, "there is %s in it: nothing is formatted", answer.type);
	return err_set(e, EEXIST, "whether it is blank is not known (%s): nothing is formatted",
		       answer.reason);
}

static int format_record(struct place *place, enum catalog_filesystem formatting,
			 enum catalog_filesystem filesystem, struct err *e)
{
	struct volume v = place->volume;
	int r;

	v.formatting = formatting;
	v.filesystem = filesystem;
	r = volume_save(place->dir_fd, &v, e);
	if (r == 0)
		place->volume = v;
	return r;
}

/* Where even that fails the record still says that it was begun. */
static void format_undo(struct place *place, int fd)
{
	struct err e = { "" };

	if (format_clear(fd, place->volume.size_bytes) < 0 ||
	    format_record(place, FILESYSTEM_NONE, FILESYSTEM_NONE, &e) < 0)
		log_warning("volume %s: its formatting is still on record as begun",
			    place->volume.name);
}

int change_format(struct place *place, enum catalog_filesystem filesystem, const struct probing *p,
		  struct err *e)
{
	auto_close int fd =
		openat(place->dir_fd, VOLUME_DATA, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int r;

	if (fd < 0)
		return err_sys(e, errno, "cannot open the data");
	r = place->volume.formatting ? format_clear(fd, place->volume.size_bytes) : 0;
	if (r < 0)
		return err_sys(e, -r, "cannot take away what was half made");
	r = data_fit(fd, place->volume.size_bytes, e);
	if (r == 0)
		r = format_check_blank(p, fd, e);
	if (r == 0)
		r = format_record(place, filesystem, FILESYSTEM_NONE, e);
	if (r < 0)
		return r;
	r = probing_mkfs(p, fd, filesystem, e);
	if (r == 0 && fsync(fd) < 0)
		r = err_sys(e, errno, "cannot write the file system");
	if (r < 0)
		format_undo(place, fd);
	return r < 0 ? r : format_record(place, FILESYSTEM_NONE, filesystem, e);
}

int change_remove(const struct pools *pools, const struct place *place, bool wipe,
		  const struct copy_watch *watch, struct err *e)
{
	int pool_fd = pools->fds[place->pool], r = 0;
	auto_close int fd = -1;
	char entry[POOLS_ENTRY_SIZE];
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return err_sys(e, errno, "cannot make a name");
	snprintf(entry, sizeof(entry), "%s%016" PRIx64, wipe ? POOLS_WIPE : POOLS_GONE, number);
	if (renameat2(pool_fd, place->volume.name, pool_fd, entry, RENAME_NOREPLACE) < 0 ||
	    fsync(pool_fd) < 0)
		return err_sys(e, errno, "cannot remove volume %s", place->volume.name);
	if (wipe)
		fd = openat(place->dir_fd, VOLUME_DATA, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		r = copy_zeroes(fd, watch, e);
	else if (wipe && errno != ENOENT)
		r = err_sys(e, errno,
			    "the volume is removed, and is not wiped yet: cannot open its data");
	return r < 0 ? r : pools_remove_entry(pool_fd, entry, place->dir_fd, e);
}
