/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/store/change.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/log.h"
#include "oci-hook/run.h"

#define CHANGE_MKFS_MS 120000
#define CHANGE_TEXT_MAX 65536

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
	m->dir_fd = openat(pool_fd, entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (m->dir_fd < 0 || flock(m->dir_fd, LOCK_EX | LOCK_NB) < 0)
		return err_sys(e, errno, "cannot open a directory in pool %s",
			       pools_at(pools, pool)->name);
	r = volume_save(m->dir_fd, v, e);
	if (r < 0)
		return r;
	r = making_open_data(m);
	return r < 0 ? err_sys(e, -r, "cannot make a file of this size in pool %s",
			       pools_at(pools, pool)->name)
		     : 0;
}

int making_fill(struct making *m, int from_fd, uint64_t bytes, const struct copy_watch *watch,
		struct err *e)
{
	return copy_data(from_fd, m->data_fd, bytes, watch, e);
}

int making_format(struct making *m, struct err *e)
{
	static const char *const flags[FILESYSTEM_END][3] = {
		/* -F: also into a regular file. */
		[FILESYSTEM_EXT4] = { "mkfs.ext4", "-q", "-F" },
		[FILESYSTEM_XFS] = { "mkfs.xfs", "-q" },
		[FILESYSTEM_BTRFS] = { "mkfs.btrfs", "-q" },
	};
	const char *const *words = flags[m->volume.filesystem];
	char program[PATH_MAX], path[PATH_MAX];
	const char *argv[5] = { run_find(words[0], program, sizeof(program)), words[1] };
	auto_free char *text = NULL;
	struct stat st;

	if (!argv[0])
		return err_set(e, ENOENT, "%s is not installed", words[0]);
	if (fstat(m->data_fd, &st) < 0 || st.st_blocks)
		return err_set(e, EINVAL, "the volume is not empty: nothing is formatted");
	snprintf(path, sizeof(path), "%s/" POOLS_NEW "%s/" VOLUME_DATA,
		 pools_at(m->pools, m->pool)->path, m->volume.name);
	argv[2] = words[2] ? words[2] : path;
	argv[3] = words[2] ? path : NULL;
	return err_prefix(e, run_capture(argv, CHANGE_TEXT_MAX, CHANGE_MKFS_MS, &text, e), "%s",
			  words[0]);
}

int making_finish(struct making *m, struct err *e)
{
	int pool_fd = m->pools->fds[m->pool];
	char entry[POOLS_ENTRY_SIZE];

	making_entry(m, entry);
	if (fsync(m->data_fd) < 0 || fsync(m->dir_fd) < 0)
		return err_sys(e, errno, "cannot write the volume");
	if (renameat2(pool_fd, entry, pool_fd, m->volume.name, RENAME_NOREPLACE) < 0)
		return err_sys(e, errno, "cannot give the volume its name");
	close_fdp(&m->dir_fd);
	if (fsync(pool_fd) < 0)
		return err_sys(e, errno, "volume %s is made, but may be gone after a loss of power",
			       m->volume.name);
	return 0;
}

int change_grow(struct place *place, uint64_t size_bytes, struct err *e)
{
	auto_close int fd =
		openat(place->dir_fd, VOLUME_DATA, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct volume v = place->volume;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "cannot open the data");
	/* A larger one is of a growth that was killed; what is behind the size is zeroes. */
	if ((uint64_t)st.st_size < size_bytes && ftruncate(fd, (off_t)size_bytes) < 0)
		return err_sys(e, errno, "cannot make the data larger");
	if (fsync(fd) < 0)
		return err_sys(e, errno, "cannot make the data larger");
	v.size_bytes = size_bytes;
	r = volume_save(place->dir_fd, &v, e);
	if (r == 0)
		place->volume = v;
	return r;
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
	return r < 0 ? r : pools_remove_entry(pool_fd, entry, place->dir_fd, e);
}
