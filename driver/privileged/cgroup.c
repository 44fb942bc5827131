/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/base/text.h"
#include "driver/privileged/hierarchy.h"
#include "driver/privileged/journal.h"
#include "driver/privileged/process.h"

#define CGROUP_RETRY_MS 5
#define CGROUP_TEXT_SIZE 4096 /* of /proc/PID/cgroup, with a line for each of version 1 */
#define CGROUP_DEPTH_MAX 32   /* more the search does not follow */
#define CGROUP_OTHER "-b"
#define CGROUP_BACKEND_NAME "backend-"
#define CGROUP_BACKEND "/" CGROUP_BACKEND_NAME

/* systemd marks a cgroup it has handed over (Delegate=yes). */
static bool cgroup_delegated(const char *path)
{
	char value[2];

	return getxattr(path, "trusted.delegate", value, sizeof(value)) == 1 && value[0] == '1';
}

static int cgroup_mkdir(const char *path, struct err *e)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return err_sys(e, errno, "cannot make the cgroup %s", path);
	return 0;
}

static int cgroup_write(const char *cgroup, const char *file, const char *text)
{
	char path[CGROUP_PATH_SIZE + 64];
	auto_close int fd = -1;

	snprintf(path, sizeof(path), "%s/%s", cgroup, file);
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return -errno;
	return 0;
}

/*
 * The kernel keeps account of who waits in each cgroup up to the root, at every switch
 * between processes: 2,000 instructions of a small I/O. Kernels without have no such file.
 */
static void cgroup_count_no_pressure(const char *path)
{
	cgroup_write(path, "cgroup.pressure", "0");
}

/* The cgroups below this one can have that limited: "+memory". */
static int cgroup_share(const char *cgroup, const char *controller)
{
	return cgroup_write(cgroup, "cgroup.subtree_control", controller);
}

static int cgroup_share_memory(const char *cgroup)
{
	return cgroup_share(cgroup, "+memory");
}

/*
 * A cgroup that has processes of its own cannot limit those below it, so the
 * helper leaves the one it was given for a leaf.
 */
static int cgroup_step_down(const char *base)
{
	char own[CGROUP_PATH_SIZE + sizeof("/helper")];

	snprintf(own, sizeof(own), "%s/helper", base);
	if (mkdir(own, 0755) < 0 && errno != EEXIST)
		return -errno;
	return cgroup_write(own, "cgroup.procs", "0");
}

/* What does without a limit is reported, not refused: `inspect --sandbox` says so too. */
static void cgroup_prepare_limits(const char *base, const char *workers, bool delegated)
{
	int r;

	r = delegated ? cgroup_step_down(base) : cgroup_share_memory(hierarchy_root());
	if (r == 0)
		r = cgroup_share_memory(base);
	if (r == 0)
		r = cgroup_share_memory(workers);
	if (r < 0)
		log_warning("the memory of workers cannot be limited: no memory controller below "
			    "%s: %s",
			    base, strerror(-r));
}

int cgroup_base(char base[CGROUP_PATH_SIZE], struct err *e)
{
	char text[CGROUP_TEXT_SIZE], own[sizeof(text) + 32];
	char workers[CGROUP_PATH_SIZE + sizeof("/workers")];
	ssize_t n = process_read(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text));
	const char *root, *path = n > 0 ? process_parse_cgroup(text) : NULL;
	bool delegated = false;
	int r;

	r = hierarchy_mount(e);
	if (r < 0)
		return r;
	root = hierarchy_root();
	snprintf(base, CGROUP_PATH_SIZE, "%s/ublk-oci", root);
	if (path) {
		snprintf(own, sizeof(own), "%s%s", root, path);
		delegated = cgroup_delegated(own);
		if (delegated && text_copy(base, CGROUP_PATH_SIZE, own) < 0)
			return err_set(e, ENAMETOOLONG,
				       "the path of the helper's cgroup is too long");
	}
	r = cgroup_mkdir(base, e);
	if (r < 0)
		return r;
	snprintf(workers, sizeof(workers), "%s/workers", base);
	r = cgroup_mkdir(workers, e);
	if (r < 0)
		return r;
	/* Of a unit's own cgroup systemd may watch it. */
	if (!delegated)
		cgroup_count_no_pressure(base);
	cgroup_count_no_pressure(workers);
	cgroup_prepare_limits(base, workers, delegated);
	return 0;
}

int cgroup_worker_path(char path[CGROUP_PATH_SIZE], const char *base, uint64_t place,
		       uint32_t dev_id, uint64_t generation, struct err *e)
{
	int n = snprintf(path, CGROUP_PATH_SIZE, "%s/workers/%016" PRIx64 "-ublk%u-%08x", base,
			 place, dev_id, (uint32_t)generation);

	if (n + sizeof(CGROUP_OTHER) > CGROUP_PATH_SIZE)
		return err_set(e, ENAMETOOLONG, "the path of the worker's cgroup is too long");
	return 0;
}

int cgroup_backend_path(char path[CGROUP_PATH_SIZE], const char *worker, uint64_t generation,
			struct err *e)
{
	const char *name = strrchr(worker, '/');
	int above = name ? (int)(name - worker) : 0;

	if (snprintf(path, CGROUP_PATH_SIZE, "%.*s" CGROUP_BACKEND "%016" PRIx64, above, worker,
		     generation) +
		    sizeof(CGROUP_OTHER) >
	    CGROUP_PATH_SIZE)
		return err_set(e, ENAMETOOLONG, "the path of the back end's cgroup is too long");
	return 0;
}

bool cgroup_is_backend(const char *path)
{
	const char *name = strrchr(path, '/');

	return name && !strncmp(name, CGROUP_BACKEND, strlen(CGROUP_BACKEND));
}

void cgroup_other(char path[CGROUP_PATH_SIZE])
{
	size_t n = strlen(path), end = sizeof(CGROUP_OTHER) - 1;

	if (n > end && !strcmp(path + n - end, CGROUP_OTHER))
		memset(path + n - end, 0, end); /* all zero behind its end: it goes on record */
	else if (n + end < CGROUP_PATH_SIZE)
		strcpy(path + n, CGROUP_OTHER);
}

int cgroup_event(const char *path, const char *word)
{
	char file[CGROUP_PATH_SIZE + 64], text[256], wanted[32];
	const char *found;
	ssize_t n;

	snprintf(file, sizeof(file), "%s/cgroup.events", path);
	snprintf(wanted, sizeof(wanted), "%s ", word);
	n = process_read(AT_FDCWD, file, text, sizeof(text));
	found = n > 0 ? strstr(text, wanted) : NULL;
	return found ? atoi(found + strlen(wanted)) : 0;
}

int cgroup_make(const char *path, int *ret_fd, struct err *e)
{
	bool there = access(path, F_OK) == 0;
	int fd, r;

	r = cgroup_mkdir(path, e);
	if (r < 0)
		return r;
	/* Who is born in a frozen one never says a word. */
	if (there)
		cgroup_write(path, "cgroup.freeze", "0");
	cgroup_count_no_pressure(path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "cannot open the cgroup %s", path);
	*ret_fd = fd;
	return 0;
}

int cgroup_limit_memory(const char *path, const char *bytes)
{
	char parent[CGROUP_PATH_SIZE];
	int r;

	if (text_copy(parent, sizeof(parent), path) < 0)
		return -ENAMETOOLONG;
	r = cgroup_write(path, "memory.max", bytes);
	/* Not shared with the cgroups in there yet, or no more. */
	if (r == -ENOENT) {
		r = cgroup_share_memory(dirname(parent));
		if (r == 0)
			r = cgroup_write(path, "memory.max", bytes);
	}
	/* The first says that there is no controller, the others that its file is not there. */
	return r == -EINVAL || r == -ENOENT ? 0 : r;
}

int cgroup_forbid_swap(const char *path)
{
	int r = cgroup_write(path, "memory.swap.max", "0");

	/* Without the controller, or a kernel's swap, there is no such file. */
	return r == -ENOENT ? 0 : r;
}

int cgroup_share_io(const char *path)
{
	char workers[CGROUP_PATH_SIZE], base[CGROUP_PATH_SIZE], above[CGROUP_PATH_SIZE];
	const char *root = hierarchy_root();
	int r = 0;

	if (!root || text_copy(workers, sizeof(workers), path) < 0)
		return -ENOENT;
	dirname(workers);
	memcpy(base, workers, sizeof(base));
	dirname(base);
	memcpy(above, base, sizeof(above));
	/* What is deeper systemd handed over, with its controllers. */
	if (!strcmp(dirname(above), root))
		r = cgroup_share(root, "+io");
	if (r == 0)
		r = cgroup_share(base, "+io");
	return r < 0 ? r : cgroup_share(workers, "+io");
}

int cgroup_kill(const char *path)
{
	return cgroup_write(path, "cgroup.kill", "1");
}

bool cgroup_frozen(const char *path)
{
	char file[CGROUP_PATH_SIZE + 64], text[8];

	snprintf(file, sizeof(file), "%s/cgroup.freeze", path);
	return (process_read(AT_FDCWD, file, text, sizeof(text)) > 0 && *text == '1') ||
	       cgroup_event(path, "frozen");
}

int cgroup_remove(const char *path, int timeout_ms, struct err *e)
{
	int64_t deadline = clock_deadline_ms(timeout_ms);

	while (rmdir(path) < 0) {
		if (errno == ENOENT)
			break;
		if (errno != EBUSY)
			return err_sys(e, errno, "cannot remove the cgroup %s", path);
		cgroup_kill(path); /* a failure shows as one that stays busy */
		if (!clock_left_ms(deadline))
			return err_set(e, ETIMEDOUT, "a process in %s does not end", path);
		clock_sleep_ms(CGROUP_RETRY_MS);
	}
	return 0;
}

/* --- looking for them ------------------------------------------------------------------- */

struct cgroup_name {
	char path[CGROUP_PATH_SIZE];
	uint32_t dev_id;
	uint32_t number;
};

static bool cgroup_parse_backend(struct cgroup_name *ret, const char *whole, const char *name)
{
	uint64_t generation;

	if (sscanf(name, CGROUP_BACKEND_NAME "%16" SCNx64, &generation) != 1 ||
	    generation >> 32 != RECORD_GENERATION_MARK ||
	    cgroup_backend_path(ret->path, whole, generation, NULL) < 0)
		return false;
	ret->dev_id = 0;
	ret->number = (uint32_t)generation;
	return true;
}

/* Is it written as we would? */
static bool cgroup_parse(struct cgroup_name *ret, const char *base, const char *name)
{
	char whole[CGROUP_PATH_SIZE];
	uint64_t place;

	if (snprintf(whole, sizeof(whole), "%s/workers/%s", base, name) >= (int)sizeof(whole))
		return false;
	if (!cgroup_parse_backend(ret, whole, name) &&
	    (sscanf(name, "%16" SCNx64 "-ublk%" SCNu32 "-%8" SCNx32, &place, &ret->dev_id,
		    &ret->number) != 3 ||
	     cgroup_worker_path(ret->path, base, place, ret->dev_id, ret->number, NULL) < 0))
		return false;
	if (strcmp(ret->path, whole))
		cgroup_other(ret->path);
	return !strcmp(ret->path, whole);
}

int cgroup_each_worker(const char *base,
		       int (*found)(void *arg, const char *path, uint32_t dev_id, uint32_t number),
		       void *arg, struct err *e)
{
	char workers[CGROUP_PATH_SIZE + sizeof("/workers")];
	auto_closedir DIR *d = NULL;
	struct cgroup_name name;
	struct dirent *entry;
	int r;

	snprintf(workers, sizeof(workers), "%s/workers", base);
	d = opendir(workers);
	if (!d)
		return err_sys(e, errno, "cannot read %s", workers);
	while ((entry = readdir(d))) {
		if (!cgroup_parse(&name, base, entry->d_name))
			continue;
		r = found(arg, name.path, name.dev_id, name.number);
		if (r < 0)
			return err_sys(e, -r, "cannot look at %s", name.path);
	}
	return 0;
}

int cgroup_each_process(const char *path, int (*found)(void *arg, pid_t pid), void *arg,
			struct err *e)
{
	char procs[CGROUP_PATH_SIZE + sizeof("/cgroup.procs")];
	auto_fclose FILE *f = NULL;
	int pid, r = 0;

	snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
	f = fopen(procs, "re");
	if (!f)
		return errno == ENOENT ? 0 : err_sys(e, errno, "cannot open %s", procs);
	while (r == 0 && fscanf(f, "%d", &pid) == 1)
		r = found(arg, pid);
	return r < 0 ? err_sys(e, -r, "cannot look at %s", procs) : 0;
}

/* The cgroup below this one, or this one: a descriptor, or -ENOENT. Takes fd. */
static int cgroup_search(int fd, const struct stat *wanted, unsigned int depth)
{
	auto_close int own_fd = fd;
	auto_closedir DIR *d = NULL;
	struct dirent *entry;
	struct stat st;
	int r = -ENOENT, below;

	if (fstat(own_fd, &st) < 0)
		return -errno;
	if (st.st_dev != wanted->st_dev)
		return -ENOENT; /* something else is mounted here */
	if (st.st_ino == wanted->st_ino)
		return fd_take(&own_fd);
	d = fdopendir(own_fd);
	if (!d)
		return -errno;
	fd_take(&own_fd);
	while (r == -ENOENT && (entry = readdir(d))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		below = openat(dirfd(d), entry->d_name,
			       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below >= 0)
			r = depth ? cgroup_search(below, wanted, depth - 1) : -ELOOP;
		else if (errno != ENOENT)
			r = -errno; /* what cannot be looked at may be the one */
	}
	return r;
}

int cgroup_open_inode(uint64_t inode)
{
	const char *root = hierarchy_root();
	auto_close int fd = root ? open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	struct stat wanted;

	if (!root)
		return -ENOENT;

	if (fd < 0 || fstat(fd, &wanted) < 0)
		return -errno;
	wanted.st_ino = inode;
	return cgroup_search(fd_take(&fd), &wanted, CGROUP_DEPTH_MAX);
}
