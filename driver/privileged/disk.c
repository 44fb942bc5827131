/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/log.h"
#include "driver/base/ublk_abi.h"

/*
 * On kernels without per-request daemons the death of a worker that holds every
 * tag is noticed by this timeout only; a worker that is alive just gets more time.
 */
static bool disk_needs_timeout(const struct record *rec)
{
	return !(rec->kernel_features & UBLK_F_PER_IO_DAEMON);
}

/* The block layer gives a scheduler to whoever has one queue; the backing's disk has its own. */
static bool disk_has_scheduler(const struct record *rec)
{
	return rec->nr_queues == 1;
}

static const struct {
	const char *name, *value, *without;
	bool (*applies)(const struct record *rec);
} disk_settings[] = {
	{ "io_timeout", "1000" /* ms */, "a worker that dies is noticed late", disk_needs_timeout },
	{ "scheduler", "none", "its requests are scheduled twice", disk_has_scheduler },
};
static_assert(ARRAY_SIZE(disk_settings) == DISK_SETTINGS, "one descriptor each");

void disk_fini(struct disk *d)
{
	for (size_t i = 0; i < DISK_SETTINGS; i++)
		close_fdp(&d->fds[i]);
}

static void disk_complain(const struct record *rec, size_t i)
{
	log_warning("ublkb%u: cannot set %s to %s: %s: %s", rec->dev_id, disk_settings[i].name,
		    disk_settings[i].value, strerror(errno), disk_settings[i].without);
}

void disk_open(struct disk *d, const struct record *rec)
{
	char path[64];

	for (size_t i = 0; i < DISK_SETTINGS; i++) {
		if (!disk_settings[i].applies(rec))
			continue;
		snprintf(path, sizeof(path), "/sys/block/ublkb%u/queue/%s", rec->dev_id,
			 disk_settings[i].name);
		d->fds[i] = open(path, O_WRONLY | O_CLOEXEC);
		if (d->fds[i] < 0)
			disk_complain(rec, i);
	}
}

void disk_set(const struct disk *d, const struct record *rec)
{
	for (size_t i = 0; i < DISK_SETTINGS; i++) {
		const char *value = disk_settings[i].value;

		/* A device that went meanwhile needs nothing. */
		if (d->fds[i] >= 0 && write(d->fds[i], value, strlen(value)) < 0 && errno != ENODEV)
			disk_complain(rec, i);
	}
}
