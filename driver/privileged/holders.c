/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/holders.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/mountinfo.h"

#define HOLDERS_NAMED 3
#define HOLDERS_PATH_SHOWN 64

struct holders {
	uint32_t major;
	uint32_t minor;
	char *text;
	size_t size;
	size_t used;
	int nr;
	bool inside;	      /* files of a file system; else the block device */
	bool fds_counted;     /* by the kernel, as the size of /proc/PID/fd: 6.2 */
	uint64_t but_ns;      /* inode of a mount namespace not to look into, or 0 */
	uint64_t *namespaces; /* mount namespaces that were looked at */
	size_t nr_namespaces;
	size_t room;
};

static void holders_fini(struct holders *h)
{
	free(h->namespaces);
}

__attribute__((format(printf, 2, 3))) static void holders_write(struct holders *h, const char *fmt,
								...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(h->text + h->used, h->size - h->used, fmt, ap);
	va_end(ap);
	if (n > 0)
		h->used += (size_t)n < h->size - h->used ? (size_t)n : h->size - h->used - 1;
}

#define holders_add(h, ...)                                                                        \
	do {                                                                                       \
		if ((h)->nr++ < HOLDERS_NAMED) {                                                   \
			holders_write(h, "%s", (h)->used ? ", " : "");                             \
			holders_write(h, __VA_ARGS__);                                             \
		}                                                                                  \
	} while (0)

/* These words come from whoever runs or mounts: nothing of them reaches a terminal as it is. */
static void holders_tidy(char *out, size_t size, const char *in)
{
	size_t n;

	for (n = 0; in[n] && in[n] != '\n' && n + 1 < size; n++)
		out[n] = isascii(in[n]) && isgraph((unsigned char)in[n]) ? in[n] : '?';
	out[n] = '\0';
}

static void holders_name(int pid_fd, char name[32])
{
	auto_close int fd = openat(pid_fd, "comm", O_RDONLY | O_CLOEXEC);
	char raw[32] = "";

	if (fd < 0 || read(fd, raw, sizeof(raw) - 1) < 0)
		raw[0] = '\0';
	holders_tidy(name, 32, raw);
}

static bool holders_is(const struct holders *h, const struct statx *stx)
{
	if (h->inside)
		return stx->stx_dev_major == h->major && stx->stx_dev_minor == h->minor;
	return S_ISBLK(stx->stx_mode) && stx->stx_rdev_major == h->major &&
	       stx->stx_rdev_minor == h->minor;
}

/*
 * File systems of several devices (btrfs) show a number of their own, but name
 * one. Whoever mounts chooses the words: only names that udev makes are looked up.
 */
static bool holders_mounted(const struct holders *h, const struct mountinfo_entry *entry)
{
	struct statx stx;

	if (entry->major == h->major && entry->minor == h->minor)
		return true;
	return !entry->major && !strncmp(entry->source, "/dev/", 5) &&
	       !strchr(entry->source + 5, '/') &&
	       !statx(AT_FDCWD, entry->source, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE,
		      &stx) &&
	       holders_is(h, &stx);
}

static int holders_stat(int proc_fd, const char *pid, const char *name, struct stat *ret)
{
	char path[32];

	snprintf(path, sizeof(path), "%.16s/%s", pid, name);
	return fstatat(proc_fd, path, ret, 0);
}

/* Of a process's mount namespace; 0: it is gone, or does not show it. */
static uint64_t holders_namespace(int proc_fd, const char *pid)
{
	struct stat st;

	return holders_stat(proc_fd, pid, "ns/mnt", &st) < 0 ? 0 : st.st_ino;
}

/* Most processes are the kernel's own, and have none. */
static bool holders_has_fds(const struct holders *h, int proc_fd, const char *pid)
{
	struct stat st;

	return !h->fds_counted || holders_stat(proc_fd, pid, "fd", &st) < 0 || st.st_size;
}

static bool holders_fds_counted(void)
{
	struct stat st;

	return !stat("/proc/self/fd", &st) && st.st_size;
}

/* Is it the first time? */
static bool holders_new_namespace(struct holders *h, uint64_t inode)
{
	uint64_t *more;

	if (!inode)
		return false;
	for (size_t i = 0; i < h->nr_namespaces; i++) {
		if (h->namespaces[i] == inode)
			return false;
	}
	if (h->nr_namespaces == h->room) {
		more = reallocarray(h->namespaces, h->room * 2 + 16, sizeof(*more));
		if (!more)
			return true;
		h->namespaces = more;
		h->room = h->room * 2 + 16;
	}
	h->namespaces[h->nr_namespaces++] = inode;
	return true;
}

static void holders_find_mounts(struct holders *h, int pid_fd, const char *pid)
{
	auto_mountinfo struct mountinfo m = MOUNTINFO_INIT;
	struct mountinfo_entry entry;
	char point[HOLDERS_PATH_SHOWN], name[32];

	if (mountinfo_open(&m, pid_fd, "mountinfo") < 0)
		return;
	while (mountinfo_next(&m, &entry) > 0) {
		if (!holders_mounted(h, &entry))
			continue;
		holders_tidy(point, sizeof(point), entry.point);
		holders_name(pid_fd, name);
		holders_add(h, "mounted at %s by pid %s (%s)", point, pid, name);
	}
}

static void holders_find_fds(struct holders *h, int pid_fd, const char *pid)
{
	auto_closedir DIR *dir = NULL;
	auto_close int fd = openat(pid_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	struct statx stx;
	char name[32];

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return;
	fd_take(&fd);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' ||
		    statx(dirfd(dir), entry->d_name, AT_STATX_DONT_SYNC, STATX_TYPE, &stx) < 0)
			continue;
		if (holders_is(h, &stx)) {
			holders_name(pid_fd, name);
			holders_add(h, "open in pid %s (%s)", pid, name);
			return;
		}
	}
}

/* Device mapper, md and the like: no process has it open for them. */
static void holders_find_kernel(struct holders *h)
{
	auto_closedir DIR *dir = NULL;
	struct dirent *entry;
	char path[64];

	snprintf(path, sizeof(path), "/sys/dev/block/%" PRIu32 ":%" PRIu32 "/holders", h->major,
		 h->minor);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			holders_add(h, "part of %.32s", entry->d_name);
	}
}

static void holders_find_swap(struct holders *h)
{
	auto_fclose FILE *f = fopen("/proc/swaps", "re");
	char path[256];
	struct statx stx;

	while (f && fscanf(f, "%255s%*[^\n]", path) == 1) {
		if (path[0] == '/' &&
		    !statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_TYPE, &stx) &&
		    holders_is(h, &stx))
			holders_add(h, "used as swap");
	}
}

/* but_ns: a mount namespace whose processes are left out. */
static void holders_find_process(struct holders *h, int proc_fd, const char *pid)
{
	uint64_t inode = holders_namespace(proc_fd, pid);
	auto_close int pid_fd = -1;
	bool mounts, fds;

	if (inode && inode == h->but_ns)
		return;
	mounts = holders_new_namespace(h, inode);
	fds = strtol(pid, NULL, 10) != getpid() && holders_has_fds(h, proc_fd, pid);
	if (!mounts && !fds)
		return;
	pid_fd = openat(proc_fd, pid, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (pid_fd < 0)
		return;
	if (mounts)
		holders_find_mounts(h, pid_fd, pid);
	if (fds)
		holders_find_fds(h, pid_fd, pid);
}

static bool holders_is_at(const struct holders *h, int pid_fd, const char *name)
{
	struct statx stx;

	return !statx(pid_fd, name, AT_STATX_DONT_SYNC, STATX_TYPE, &stx) && holders_is(h, &stx);
}

static void holders_find_inside_process(struct holders *h, int proc_fd, const char *pid)
{
	static const char *const links[] = { "cwd", "root", "exe" };
	auto_close int pid_fd = -1;
	char name[32];

	if (strtol(pid, NULL, 10) == getpid())
		return;
	pid_fd = openat(proc_fd, pid, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; pid_fd >= 0 && i < ARRAY_SIZE(links); i++) {
		if (!holders_is_at(h, pid_fd, links[i]))
			continue;
		holders_name(pid_fd, name);
		holders_add(h, "%s of pid %s (%s)", links[i], pid, name);
		return;
	}
	if (pid_fd >= 0 && holders_has_fds(h, proc_fd, pid))
		holders_find_fds(h, pid_fd, pid);
}

/* Looks at every process; how many were found, or -errno. */
static int holders_walk(struct holders *h,
			void (*look)(struct holders *h, int proc_fd, const char *pid),
			struct err *e)
{
	auto_closedir DIR *proc = opendir("/proc");
	struct dirent *entry;

	if (!proc)
		return err_sys(e, errno, "cannot read /proc");
	h->fds_counted = holders_fds_counted();
	while ((entry = readdir(proc))) {
		if (isdigit((unsigned char)entry->d_name[0]))
			look(h, dirfd(proc), entry->d_name);
	}
	if (h->nr > HOLDERS_NAMED)
		holders_write(h, ", and %d more", h->nr - HOLDERS_NAMED);
	return h->nr;
}

int holders_find_inside(uint64_t dev, char *text, size_t size, struct err *e)
{
	struct holders h = {
		.major = major(dev),
		.minor = minor(dev),
		.inside = true,
		.text = text,
		.size = size,
	};

	text[0] = '\0';
	return holders_walk(&h, holders_find_inside_process, e);
}

int holders_find(uint32_t major, uint32_t minor, int but_ns_fd, char *text, size_t size,
		 struct err *e)
{
	cleanup_with(holders_fini) struct holders h = {
		.major = major,
		.minor = minor,
		.text = text,
		.size = size,
	};
	struct stat st;

	if (but_ns_fd >= 0 && fstat(but_ns_fd, &st) == 0)
		h.but_ns = st.st_ino;
	text[0] = '\0';
	holders_find_kernel(&h);
	holders_find_swap(&h);
	return holders_walk(&h, holders_find_process, e);
}

int holders_probe_busy(const char *node_path, struct err *e)
{
	auto_close int fd = open(node_path, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		return 0;
	if (errno == EBUSY)
		return err_set(e, EBUSY, "%s is in use", node_path);
	return err_sys(e, errno, "cannot open %s", node_path);
}
