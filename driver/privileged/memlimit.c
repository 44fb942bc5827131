/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/memlimit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "driver/base/ublk_abi.h"
#include "driver/privileged/cgroup.h"
#include "driver/wire/start.h"
#include "targets/catalog.h"

/* What is read and written past the page cache is nowhere in memory; all else may be, whole. */
static uint64_t memlimit_backing_bytes(const struct record *rec)
{
	const struct catalog_target *target = catalog_target(rec->target);

	/* An image is read and written by its back end, whose limit does not go by its size. */
	if (!target || rec->direct_io || target->image ||
	    !(target->nr_fds || target->made_by_helper))
		return 0;
	return rec->size_bytes;
}

/* With zero copy the data is in the kernel's pages. */
static uint64_t memlimit_buffer_bytes(const struct record *rec)
{
	return rec->kernel_flags & UBLK_F_AUTO_BUF_REG
		       ? 0
		       : (uint64_t)rec->nr_queues * rec->depth * rec->max_io_bytes;
}

/* A bit for each cluster, and more. */
static uint64_t memlimit_map_bytes(const struct record *rec)
{
	return catalog_file_bytes(rec->target, rec->size_bytes) - rec->size_bytes;
}

uint64_t memlimit_bytes(const struct record *rec)
{
	uint64_t bytes = memlimit_buffer_bytes(rec) + memlimit_map_bytes(rec);

	/* At most 16 queues of 256, and a size below 2^63: no overflow. */
	static_assert(START_QUEUES_MAX <= 1 << 10 && START_DEPTH_MAX <= 1 << 10, "it may overflow");
	return bytes + memlimit_backing_bytes(rec) + MEMLIMIT_ROOM_BYTES;
}

int memlimit_set(const struct record *rec, struct err *e)
{
	char text[32];
	int r;

	snprintf(text, sizeof(text), "%" PRIu64, memlimit_bytes(rec));
	r = cgroup_limit_memory(rec->cgroup, text);
	return r < 0 ? err_sys(e, -r, "cannot limit the memory of the worker") : 0;
}
