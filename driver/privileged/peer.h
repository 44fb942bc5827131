/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What belongs to a user who is not root: user namespaces, processes, whole
 * cgroups. It is the kernel's own idea of it: who made a user namespace may do
 * everything to all that is in it, and in those that were made inside it.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "driver/base/err.h"

/* More is refused, so that looking takes a known time. */
#define PEER_PROCESSES_MAX 4096
#define PEER_CGROUPS_MAX 512
#define PEER_CGROUP_DEPTH_MAX 32

/*
 * Who made this user namespace; of nested ones the outermost below the helper's
 * own, because its maker rules the ones inside. 0 for the helper's own.
 */
int peer_of_user_ns(int user_ns_fd, uid_t *ret_uid);

/*
 * 1: all its uids are uid, or it lives in a user namespace of that user. 0: it
 * does not, and *ret_other is a uid it has. -ESRCH: it has ended; other -errno.
 */
int peer_owns_process(int proc_fd, uid_t uid, uid_t *ret_other);

/*
 * Does everything in this cgroup, and in every one below it, belong to uid? path
 * is its name for people. -EPERM: not so.
 *
 * A process may join right after the look. Only who can write the cgroup's
 * cgroup.procs can do that: root, and who it was delegated to, who is free to
 * let others' processes meet a disk of theirs.
 */
int peer_check_cgroup(int cgroup_fd, const char *path, uid_t uid, struct err *e);
