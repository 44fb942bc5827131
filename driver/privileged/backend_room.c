/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdbool.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/backend.h"

#define ROOM_DIR_MODE 0755

/*
 * What is mounted into the root, besides the image. Links of a root without them are made new: a
 * program's loader is named /lib64/... on every distribution there is.
 */
static const struct {
	const char *source;
	const char *place;
	bool optional;
	uint64_t attributes;
} room_trees[] = {
	{ "/usr", "usr", false, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV },
	{ "/etc/ld.so.cache", "etc/ld.so.cache", true,
	  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC },
	{ "/dev/null", "dev/null", false, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC },
};

static const struct {
	const char *target;
	const char *place;
} room_links[] = {
	{ "usr/bin", "bin" },
	{ "usr/sbin", "sbin" },
	{ "usr/lib", "lib" },
	{ "usr/lib64", "lib64" },
};

static const char *const room_dirs[] = { "usr", "etc", "dev", "tmp", "image" };

struct room_contents {
	int trees[ARRAY_SIZE(room_trees)]; /* -1: it is not there */
	int files[BACKEND_FILES_MAX];
	unsigned int nr_files;
};

#define ROOM_CONTENTS_INIT                                                                         \
	{                                                                                          \
		.trees = { -1, -1, -1 }, .files = { -1, -1, -1, -1 }                               \
	}

static void room_contents_fini(struct room_contents *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(c->trees); i++)
		close_fdp(&c->trees[i]);
	for (size_t i = 0; i < ARRAY_SIZE(c->files); i++)
		close_fdp(&c->files[i]);
}

/* --- in the child that becomes the room: system calls only --------------------------------- */

static const char *room_attach(int tree_fd, const char *place, bool directory)
{
	int fd;

	if (!directory) {
		fd = open(place, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
		if (fd < 0)
			return "make a file in the root";
		close(fd);
	}
	return move_mount(tree_fd, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH) < 0
		       ? "mount into the root"
		       : NULL;
}

/* The skeleton: as small as a program's loader allows. /tmp is its only place to write. */
static const char *room_skeleton(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(room_dirs); i++) {
		if (mkdir(room_dirs[i], ROOM_DIR_MODE) < 0)
			return "make a directory in the root";
	}
	for (size_t i = 0; i < ARRAY_SIZE(room_links); i++) {
		if (symlink(room_links[i].target, room_links[i].place) < 0)
			return "make a link in the root";
	}
	return mount("ublk-oci", "tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		     "size=1M,nr_inodes=128,mode=1777") < 0
		       ? "mount a tmpfs for temporary files"
		       : NULL;
}

static const char *room_fill(void *arg)
{
	const struct room_contents *c = arg;
	const char *step;
	char place[32];

	umask(0);
	step = room_skeleton();
	for (size_t i = 0; !step && i < ARRAY_SIZE(room_trees); i++) {
		if (c->trees[i] >= 0)
			step = room_attach(c->trees[i], room_trees[i].place, !i);
	}
	for (unsigned int i = 0; !step && i < c->nr_files; i++) {
		snprintf(place, sizeof(place), "%s/%u", &BACKEND_IMAGE_DIR[1], i);
		step = room_attach(c->files[i], place, false);
	}
	return step;
}

/* --- in the parent: what is mounted there, taken from its own namespace ---------------- */

static int room_open_trees(struct room_contents *c, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(room_trees); i++) {
		/* What is mounted below is not wanted: neither what is (no AT_RECURSIVE), nor what
		 * will be, which the host's mount would pass on to a copy that is its peer. */
		struct mount_attr attr = { .attr_set = room_trees[i].attributes,
					   .propagation = MS_PRIVATE };

		c->trees[i] = open_tree(AT_FDCWD, room_trees[i].source,
					OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
		if (c->trees[i] < 0 && errno == ENOENT && room_trees[i].optional)
			continue;
		if (c->trees[i] < 0 ||
		    mount_setattr(c->trees[i], "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
			return err_sys(e, errno, "cannot take a copy of %s", room_trees[i].source);
	}
	return 0;
}

static int room_write_map(pid_t pid, const char *file, unsigned int from, unsigned int to,
			  struct err *e)
{
	char path[64], text[64];
	auto_close int fd = -1;
	int n = snprintf(text, sizeof(text), "%u %u 1", from, to);

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, (size_t)n) != n)
		return err_sys(e, errno, "cannot write %s", path);
	return 0;
}

static int room_map_ids(pid_t pid, const struct stat *st, const struct backend_spec *spec,
			int *ret_fd, struct err *e)
{
	char path[64];
	int r;

	r = room_write_map(pid, "uid_map", st->st_uid, spec->uid, e);
	if (r == 0)
		r = room_write_map(pid, "gid_map", st->st_gid, spec->gid, e);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	*ret_fd = open(path, O_RDONLY | O_CLOEXEC);
	return *ret_fd < 0 ? err_sys(e, errno, "cannot open %s", path) : 0;
}

/*
 * A user namespace is how a mount is told whose files are to look like whose: its owner's like
 * those of the back end. The child that makes it waits for the pipe's end.
 */
static int room_idmap(const struct stat *st, const struct backend_spec *spec, int *ret_fd,
		      struct err *e)
{
	struct clone_args args = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
	auto_close int read_fd = -1, write_fd = -1;
	int pipe_fds[2], r;
	pid_t pid;
	char end;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_sys(e, errno, "cannot make a pipe");
	read_fd = pipe_fds[0];
	write_fd = pipe_fds[1];
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		return err_sys(e, errno, "cannot make a user namespace");
	if (!pid) {
		close(write_fd);
		_exit(read(read_fd, &end, 1) != 0);
	}
	r = room_map_ids(pid, st, spec, ret_fd, e);
	close_fdp(&write_fd);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return r;
}

/* The file alone, as the back end's own. */
static int room_open_file(struct room_contents *c, unsigned int i, const struct backend_spec *spec,
			  struct err *e)
{
	bool read_only = i || spec->what.flags & BACKEND_READ_ONLY;
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			    MOUNT_ATTR_NOEXEC | (read_only ? MOUNT_ATTR_RDONLY : 0u),
		/* What is mounted so for the helper alone; who asked could open it for writing. */
		.attr_clr = read_only ? 0 : MOUNT_ATTR_RDONLY,
		.propagation = MS_PRIVATE,
	};
	auto_close int user_fd = -1;
	struct stat st;
	int r;

	if (fstat(spec->files[i], &st) < 0)
		return err_sys(e, errno, "cannot look at the image");
	if (!S_ISREG(st.st_mode))
		return err_set(e, ENOTSUP, "an image is a regular file");
	r = room_idmap(&st, spec, &user_fd, e);
	if (r < 0)
		return r;
	c->files[i] =
		open_tree(spec->files[i], "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (c->files[i] < 0)
		return err_sys(e, errno, "cannot mount the image for its back end");
	attr.userns_fd = (uint64_t)user_fd;
	if (mount_setattr(c->files[i], "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return errno == EINVAL
			       ? err_set(e, ENOTSUP,
					 "the image's file system cannot be mounted with "
					 "other ids (ext4, xfs, btrfs and tmpfs can)")
			       : err_sys(e, errno, "cannot mount the image for its back end");
	c->nr_files = i + 1;
	return 0;
}

int backend_room_make(struct spawn_room *room, const struct backend_spec *spec, struct err *e)
{
	cleanup_with(room_contents_fini) struct room_contents c = ROOM_CONTENTS_INIT;
	int r;

	r = room_open_trees(&c, e);
	for (unsigned int i = 0; r == 0 && i < spec->nr_files; i++)
		r = room_open_file(&c, i, spec, e);
	return r < 0 ? r : spawn_room_make_filled(room, room_fill, &c, e);
}
