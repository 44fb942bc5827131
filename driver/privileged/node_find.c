/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/node_find.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/mountinfo.h"

struct node_search {
	dev_t store;
	int (*found)(void *arg, const struct node_found *f);
	void *arg;
	uint64_t *seen; /* mount namespaces */
	size_t nr;
	size_t room;
};

static void node_search_fini(struct node_search *s)
{
	free(s->seen);
}

/* 1: it is the first time. */
static int node_search_new(struct node_search *s, uint64_t inode)
{
	uint64_t *more;

	for (size_t i = 0; i < s->nr; i++) {
		if (s->seen[i] == inode)
			return 0;
	}
	if (s->nr == s->room) {
		more = reallocarray(s->seen, s->room * 2 + 16, sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->seen = more;
		s->room = s->room * 2 + 16;
	}
	s->seen[s->nr++] = inode;
	return 1;
}

/* "/252:0", and behind it "//deleted" once its name in the store is gone. */
static bool node_search_is(const struct node_search *s, const struct mountinfo_entry *entry,
			   struct node_found *f)
{
	return makedev(entry->major, entry->minor) == s->store &&
	       sscanf(entry->root, "/%" SCNu32 ":%" SCNu32, &f->major, &f->minor) == 2;
}

static int node_search_in(const struct node_search *s, int proc_fd, const char *pid, uint64_t inode)
{
	auto_mountinfo struct mountinfo m = MOUNTINFO_INIT;
	struct node_found f = { (pid_t)strtol(pid, NULL, 10), inode, 0, 0, NULL };
	struct mountinfo_entry entry;
	char path[32];
	int r = 0;

	snprintf(path, sizeof(path), "%.16s/mountinfo", pid);
	if (mountinfo_open(&m, proc_fd, path) < 0)
		return 0; /* it has ended */
	while (r == 0 && mountinfo_next(&m, &entry) > 0) {
		if (!node_search_is(s, &entry, &f))
			continue;
		f.point = entry.point;
		r = s->found(s->arg, &f);
	}
	return r;
}

static int node_search_process(struct node_search *s, int proc_fd, const char *pid)
{
	char path[32];
	struct stat st;
	int r;

	snprintf(path, sizeof(path), "%.16s/ns/mnt", pid);
	if (fstatat(proc_fd, path, &st, 0) < 0)
		return 0;
	r = node_search_new(s, st.st_ino);
	return r > 0 ? node_search_in(s, proc_fd, pid, st.st_ino) : r;
}

int node_find(const char *store_dir, int (*found)(void *arg, const struct node_found *f), void *arg,
	      struct err *e)
{
	cleanup_with(node_search_fini) struct node_search s = { .found = found, .arg = arg };
	auto_closedir DIR *proc = opendir("/proc");
	struct dirent *entry;
	struct stat st;
	int r;

	if (!proc)
		return err_sys(e, errno, "cannot read /proc");
	if (stat(store_dir, &st) < 0)
		return err_sys(e, errno, "cannot look at %s", store_dir);
	s.store = st.st_dev;
	while ((entry = readdir(proc))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		r = node_search_process(&s, dirfd(proc), entry->d_name);
		if (r < 0)
			return err_sys(e, -r, "cannot look for nodes in containers");
	}
	return 0;
}
