/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/datapath.h"

#include <errno.h>
#include <stdbool.h>

#include "driver/base/ublk_abi.h"
#include "driver/privileged/helper.h"
#include "driver/wire/start.h"
#include "driver/wire/wire.h"
#include "targets/catalog.h"

/* The second is the way out when the first fails for a request. */
#define DATAPATH_ZERO_COPY (UBLK_F_AUTO_BUF_REG | UBLK_F_SUPPORT_ZERO_COPY)

static int datapath_zero_copy(const struct record *rec, bool *ret, struct err *e)
{
	const struct catalog_target *target = catalog_target(rec->target);
	bool known = (rec->kernel_features & DATAPATH_ZERO_COPY) == DATAPATH_ZERO_COPY;

	*ret = known && target->zero_copy && rec->grants & RECORD_ZERO_COPY &&
	       !(rec->flags & WIRE_COPY);
	if (!(rec->flags & WIRE_ZERO_COPY) || *ret)
		return 0;
	if (!target->zero_copy)
		return err_set(e, ENOTSUP, "target %s looks at the data, which zero copy forbids",
			       target->name);
	return err_set(e, ENOTSUP,
		       "zero copy needs a kernel whose ublk driver has AUTO_BUF_REG (6.16); this "
		       "one has not");
}

/*
 * A command that waits behind an operation is read when its turn comes. Linux 6.12
 * reads it then where the worker wrote it, in the ring, which may have gone round
 * meanwhile: it is another tag's command by then, or none. There is no bit for
 * what it lacks; kernels with this one (6.16) keep a copy.
 */
static bool datapath_links(const struct record *rec)
{
	return !(rec->flags & WIRE_THROUGHPUT) && rec->kernel_features & UBLK_F_PER_IO_DAEMON;
}

int datapath_choose(const struct record *rec, uint64_t *ret_flags, uint32_t *ret_max_io_bytes,
		    struct err *e)
{
	bool zero_copy;
	int r;

	r = datapath_zero_copy(rec, &zero_copy, e);
	if (r < 0)
		return r;
	*ret_flags = zero_copy ? DATAPATH_ZERO_COPY : 0;
	if (rec->flags & WIRE_THROUGHPUT)
		*ret_flags |= rec->kernel_features & UBLK_F_BATCH_IO;
	*ret_max_io_bytes = zero_copy ? HELPER_IO_BYTES_ZERO_COPY : HELPER_IO_BYTES;
	return 0;
}

bool datapath_threads(const struct record *rec)
{
	const struct catalog_target *target = catalog_target(rec->target);

	return target && target->threads && rec->asked_queues > HELPER_QUEUES && rec->nr_queues > 1;
}

uint32_t datapath_start_flags(const struct record *rec)
{
	return (rec->kernel_flags & UBLK_F_AUTO_BUF_REG ? START_ZERO_COPY : 0u) |
	       (rec->kernel_flags & UBLK_F_BATCH_IO ? START_BATCH : 0u) |
	       (datapath_links(rec) ? START_LINK : 0u) |
	       (rec->flags & WIRE_BY_HAND ? START_BY_HAND : 0u) |
	       (rec->kernel_flags & UBLK_F_QUIESCE ? START_QUIESCE : 0u) |
	       (datapath_threads(rec) ? START_THREADS : 0u);
}
