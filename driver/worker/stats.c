/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/worker/stats.h"

#include <errno.h>
#include <sys/mman.h>

#include "driver/base/clock.h"

static_assert(STATS_QUEUES_MAX == START_QUEUES_MAX, "counters for every queue");

/* What a worker before this one had begun is asked again, or was ended by the driver. */
static void stats_take_over(struct stats_queue *q)
{
	uint64_t finished = q->lost;

	for (size_t i = 0; i < STATS_OP_END; i++)
		finished += q->ops[i].ios;
	q->lost += q->taken - finished;
}

int stats_map(struct queue *queues, uint16_t nr_queues, int fd, struct err *e)
{
	struct stats_page *page = mmap(NULL, stats_size(nr_queues), PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_POPULATE, fd, 0);

	if (page == MAP_FAILED)
		return err_sys(e, errno, "cannot map the counters");
	for (uint16_t i = 0; i < nr_queues; i++) {
		queues[i].counts = &page->queues[i];
		stats_take_over(&page->queues[i]);
	}
	return 0;
}

uint64_t stats_look(const struct queue *q)
{
	*q->wake_ns = (uint64_t)clock_now_ns();
	return *q->wake_ns;
}

void stats_odd(const struct queue *q, const struct io *io, int error)
{
	struct stats_ops *row = stats_row(q, io);

	row->ios += !io->counted;
	row->errors += error != 0;
	if (!io->counted && !error)
		row->bytes += io->len;
	else if (io->counted && error)
		row->bytes -= io->len;
	if (io->begun_ns)
		stats_time(q, io, row);
}
