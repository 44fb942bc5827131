/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No file by its path any more: what is open stays open, and nothing else can be opened, made,
 * changed or executed, by this process and those it starts, for good. In a header, since it is
 * for programs that link as little as they can. A directory can still be named (O_PATH).
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

/* What may be done below a directory, LANDLOCK_ACCESS_FS_*; of the first version's. */
struct landlock_place {
	const char *path;
	uint64_t allowed;
};

static inline int landlock_allow(int rules_fd, const struct landlock_place *place, struct err *e)
{
	auto_close int fd = (int)syscall(SYS_openat, AT_FDCWD, place->path,
					 O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	struct landlock_path_beneath_attr attr = {
		.allowed_access = place->allowed,
		.parent_fd = fd,
	};

	if (fd < 0)
		return err_sys(e, errno, "cannot open %s", place->path);
	if (syscall(SYS_landlock_add_rule, rules_fd, LANDLOCK_RULE_PATH_BENEATH, &attr, 0) < 0)
		return err_sys(e, errno, "cannot make a Landlock rule for %s", place->path);
	return 0;
}

/*
 * Nothing but what these places allow. O_PATH, and a socket's path, are not Landlock's to
 * forbid. Where there is no Landlock it does nothing. Needs no_new_privs.
 */
static inline int landlock_enter_but(const struct landlock_place *places, size_t nr, struct err *e)
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
	int r;

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
		r = landlock_allow(fd, &places[i], e);
		if (r < 0)
			return r;
	}
	if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return err_sys(e, errno, "cannot enter Landlock");
	return 0;
}

/* Nothing at all. */
static inline int landlock_enter(struct err *e)
{
	return landlock_enter_but(NULL, 0, e);
}
