/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was said of a volume when it was made and the store does not know: a symbolic link of the
 * volume's name, which leads nowhere and says "ro,xfs". It is there or it is not, never half. It
 * is on the disk before the volume is made; only a volume the store knows has one that counts.
 */
#pragma once

#include <stdbool.h>

#include "driver/base/err.h"
#include "targets/catalog.h"

struct kept {
	bool read_only;
	enum catalog_filesystem filesystem; /* of an image; FILESYSTEM_NONE: the store knows */
};

/* Nothing is kept of a volume of which nothing was said. */
int kept_read(int dir_fd, const char *volume, struct kept *ret, struct err *e);

/* In the place of what there was, for a volume that is to be made. */
int kept_write(int dir_fd, const char *volume, const struct kept *kept, struct err *e);

void kept_remove(int dir_fd, const char *volume);
