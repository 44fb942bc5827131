/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc/PID/mountinfo, a line at a time. The paths in it were chosen by whoever
 * mounted: they are facts about a namespace, not something to trust or print.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct mountinfo {
	FILE *file;
	char *line;
	size_t line_size;
};

/* Strings are unescaped and valid until the next call. */
struct mountinfo_entry {
	uint32_t major; /* of the superblock: st_dev, for most file systems */
	uint32_t minor;
	const char *point; /* relative to the root of the process that reads its own, or of PID */
	const char *type;
	const char *source;
	uint32_t id;	  /* of the mount: mnt_id in /proc/PID/fdinfo/FD */
	const char *root; /* what of its file system is mounted */
};

#define MOUNTINFO_INIT                                                                             \
	{                                                                                          \
		NULL, NULL, 0                                                                      \
	}

/* path, e.g. "self/mountinfo", below proc_fd (a directory of procfs). 0 or -errno. */
int mountinfo_open(struct mountinfo *m, int proc_fd, const char *path);
void mountinfo_close(struct mountinfo *m);
#define auto_mountinfo __attribute__((cleanup(mountinfo_close)))

/* 1: *ret is the next mount; 0: there is none; -errno. */
int mountinfo_next(struct mountinfo *m, struct mountinfo_entry *ret);

/* Takes one line apart, in place: 0 or -EINVAL. */
int mountinfo_parse(char *line, struct mountinfo_entry *ret);

/*
 * The file system's type of the mount an fd came by, if that is one of this process's mount
 * namespace, in the words of its table: 0, or -errno when this kernel (before 6.8), or whoever
 * filters our system calls, does not say. Asks the kernel, never the file system.
 */
int mountinfo_type(int fd, char *ret, size_t size);
