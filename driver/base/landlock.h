/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No file by its path any more, or only some: what is open stays open, and nothing else can be
 * opened, made, changed or executed, by this process and those it starts, for good. In a header,
 * since it is for programs that link as little as they can. A directory can still be named
 * (O_PATH).
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/err.h"

/* struct landlock_ruleset_attr of the newest version known here. */
struct landlock_rules {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

/* A rule: these rights on what path_fd is, and below it. */
struct landlock_row {
	uint64_t fs;
	int path_fd;
};

/*
 * What is denied from now on, but for the rows. O_PATH, and a socket's path, are not Landlock's to
 * forbid. Where there is no Landlock it does nothing. Needs no_new_privs.
 */
static inline int landlock_enter_but(const struct landlock_row *rows, size_t nr, struct err *e)
{
	/* Everything each version of Landlock can deny; row 0 is version 1. */
	static const struct {
		struct landlock_rules rules;
		size_t size;
	} versions[] = {
		{ { 0x1fff, 0, 0 }, 8 },  { { 0x3fff, 0, 0 }, 8 }, /* REFER */
		{ { 0x7fff, 0, 0 }, 8 },			   /* TRUNCATE */
		{ { 0x7fff, 3, 0 }, 16 },			   /* BIND_TCP, CONNECT_TCP */
		{ { 0xffff, 3, 0 }, 16 },			   /* IOCTL_DEV */
		{ { 0xffff, 3, 3 }, 24 }, /* ABSTRACT_UNIX_SOCKET, SIGNAL */
	};
	auto_close int fd = -1;
	long version;

	version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (version < 1)
		return 0; /* not built in, or not enabled */
	if (version > (long)ARRAY_SIZE(versions))
		version = ARRAY_SIZE(versions);
	fd = (int)syscall(SYS_landlock_create_ruleset, &versions[version - 1].rules,
			  versions[version - 1].size, 0);
	if (fd < 0)
		return err_sys(e, errno, "cannot make Landlock rules of version %ld", version);
	for (size_t i = 0; i < nr; i++) {
		const struct landlock_path_beneath_attr row = {
			.allowed_access = rows[i].fs & versions[version - 1].rules.fs,
			.parent_fd = rows[i].path_fd,
		};

		if (syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &row, 0) < 0)
			return err_sys(e, errno, "cannot add a Landlock rule");
	}
	if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return err_sys(e, errno, "cannot enter Landlock");
	return 0;
}

/* No row, so nothing is allowed. */
static inline int landlock_enter(struct err *e)
{
	return landlock_enter_but(NULL, 0, e);
}
