/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths that others chose, followed one component after the other: what is a
 * link is refused, wherever it is, and nothing leads upwards. openat2() could
 * do it in one call, but a filter cannot look at its arguments, so a service
 * manager that forbids set-user-ID files has to forbid the call.
 */
#pragma once

enum walk_rules {
	WALK_DIRECTORY = 1 << 0, /* else -ENOTDIR */
	WALK_ONE_MOUNT = 1 << 1, /* else -EXDEV, also for a mount of the same file system */
};

/*
 * From dir_fd down path, "a/b/c": an O_PATH descriptor or -errno. -ELOOP: a
 * link. -EINVAL: it is absolute or empty, or has an empty component, "." or "..".
 */
int walk_down(int dir_fd, const char *path, unsigned int rules);

/* To the directory above, likewise; -EXDEV: on another mount. */
int walk_up(int dir_fd);
