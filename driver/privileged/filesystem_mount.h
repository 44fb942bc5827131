/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mount of a device's file system, with options of the helper's own choice, before it is
 * anywhere. It waits for the device's worker: to be made in a child only (child.h), where /dev
 * is the host's.
 */
#pragma once

#include "driver/base/err.h"
#include "driver/privileged/filesystem.h"

#define FILESYSTEM_MOUNT_SOURCE_SIZE 32

/* The device's node, which is what the mount says it is of. */
void filesystem_mount_source(const struct filesystem_spec *spec,
			     char source[FILESYSTEM_MOUNT_SOURCE_SIZE]);

/*
 * Detached, so that no mount namespace has it: an fd or -errno. user_ns_fd: whose ids it has, or
 * -1 for the host's.
 */
int filesystem_mount_new(const struct filesystem_spec *spec, int user_ns_fd, struct err *e);
