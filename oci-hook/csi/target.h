/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places that volumes are published at: a directory, or for a device an empty file, made by this
 * process as its own, so that the helper lets it have them. They are below directories of
 * kubelet's, which are root's: CAP_DAC_OVERRIDE is for that, and target_confine() for there only.
 */
#pragma once

#include <stdbool.h>

#include "driver/base/err.h"

#define TARGET_ROOT "/var/lib/kubelet"

/*
 * From now on no file is read or written, and only below root one is made or removed; where socket
 * is, too, that is removed.
 */
int target_confine(const char *root, const char *socket, struct err *e);

/* Is it an absolute path without "." and ".." that the helper would take? */
int target_check(const char *path, struct err *e);

/*
 * What is there, or is made: an O_PATH descriptor. *ret_made: it was. -EEXIST: something else is
 * there.
 */
int target_open(const char *path, bool file, bool *ret_made, struct err *e);

/* Not there is fine, and so is what is neither empty directory nor empty file, which stays. */
int target_remove(const char *path, struct err *e);
