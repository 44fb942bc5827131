/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a new disk gets set in /sys/block/ublkbN/queue that the driver has no parameter for.
 * The kernel stops the disk for each and waits for all processors, tens of milliseconds:
 * they are opened while the number is surely ours, and written after the answer.
 */
#pragma once

#include "driver/privileged/registry.h"

#define DISK_SETTINGS 2

struct disk {
	int fds[DISK_SETTINGS]; /* -1: not for this one */
};

#define DISK_INIT                                                                                  \
	{                                                                                          \
		.fds = { -1, -1 }                                                                  \
	}

void disk_fini(struct disk *d);

/* A setting that cannot be made is a warning in the log: the device works without. */
void disk_open(struct disk *d, const struct record *rec);
void disk_set(const struct disk *d, const struct record *rec);
