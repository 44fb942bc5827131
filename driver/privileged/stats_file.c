/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/stats_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/privileged/journal.h"
#include "driver/wire/stats.h"

#define STATS_FILE_NAME_SIZE 32

static void stats_file_name(uint64_t generation, char name[STATS_FILE_NAME_SIZE])
{
	snprintf(name, STATS_FILE_NAME_SIZE, "%016" PRIx64, generation);
}

int stats_file_dir(const char *dir, int *ret_fd, struct err *e)
{
	auto_close int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd;

	if (dir_fd < 0)
		return err_sys(e, errno, "cannot open %s", dir);
	if (mkdirat(dir_fd, "stats", 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "cannot make %s/stats", dir);
	fd = openat(dir_fd, "stats", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "cannot open %s/stats", dir);
	*ret_fd = fd;
	return 0;
}

int stats_file_make(int dir_fd, uint64_t generation, unsigned int nr_queues, int *ret_fd,
		    struct err *e)
{
	const struct stats_page head = {
		.magic = STATS_MAGIC,
		.version = STATS_VERSION,
		.begun_ns = (uint64_t)clock_now_ns(),
	};
	char name[STATS_FILE_NAME_SIZE];
	auto_close int fd = -1;

	stats_file_name(generation, name);
	*ret_fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (*ret_fd >= 0)
		return 0;
	fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fallocate(fd, 0, 0, (off_t)stats_size(nr_queues)) < 0 ||
	    pwrite(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head))
		return err_sys(e, errno, "cannot make the device's counters");
	*ret_fd = fd_take(&fd);
	return 0;
}

int stats_file_open(int dir_fd, uint64_t generation, int *ret_fd, struct err *e)
{
	char name[STATS_FILE_NAME_SIZE];
	int fd;

	stats_file_name(generation, name);
	fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(e, errno, "cannot open the device's counters");
	*ret_fd = fd;
	return 0;
}

int stats_file_remove(int dir_fd, uint64_t generation, struct err *e)
{
	char name[STATS_FILE_NAME_SIZE];
	auto_close int fd = -1;

	stats_file_name(generation, name);
	fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || ftruncate(fd, 0) < 0 || unlinkat(dir_fd, name, 0) < 0)
		return err_sys(e, errno, "cannot remove the device's counters");
	return 0;
}

int stats_file_each(int dir_fd, int (*found)(void *arg, uint64_t generation), void *arg,
		    struct err *e)
{
	auto_close int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_closedir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	uint64_t generation;
	int r;

	if (!d)
		return err_sys(e, errno, "cannot read the counters' directory");
	fd = -1; /* the directory stream's now */
	while ((entry = readdir(d))) {
		generation = journal_generation(entry->d_name);
		r = generation ? found(arg, generation) : 0;
		if (r < 0)
			return err_sys(e, -r, "cannot look at the counters");
	}
	return 0;
}
