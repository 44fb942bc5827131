/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/watch.h"

#include <sys/epoll.h>

#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/privileged/process.h"
#include "driver/privileged/server.h"
#include "driver/privileged/work.h"

#define WATCH_RETRY_MAX_MS 60000
#define WATCH_RETRIES_GROW 10 /* after so many the delay grows no more */

void watch_retry_later(struct device *d, int64_t now_ms)
{
	int delay_ms = d->nr_tries < WATCH_RETRIES_GROW ? 100 << d->nr_tries : WATCH_RETRY_MAX_MS;

	d->retry_ms = now_ms + (d->nr_tries ? delay_ms : 0);
	d->nr_tries++;
}

void watch_end_device(struct server *s, struct device *d)
{
	d->retry_ms = 0;
	if (d->op_pid || s->ending)
		return; /* looked at again when that one is done, or by the next helper */
	d->op_pid = work_own(s, WORK_END_DEVICE, d->rec.generation);
	if (!d->op_pid)
		watch_retry_later(d, clock_now_ms());
}

void watch_device(struct server *s, struct device *d)
{
	struct record *rec = &d->rec;
	const uint32_t which = (uint32_t)rec->generation;
	bool lost = false;

	if (d->worker_pidfd < 0)
		d->worker_pidfd = process_pin(rec->worker_pid, rec->worker_start);
	if (d->container_pidfd < 0 && !(rec->flags & WIRE_HOST))
		d->container_pidfd = process_pin(rec->container_pid, rec->container_start);
	lost |= d->worker_pidfd < 0 ||
		server_watch(s, d->worker_pidfd, SERVER_WORKER, which, EPOLLONESHOT) < 0;
	if (!(rec->flags & WIRE_HOST))
		lost |= d->container_pidfd < 0 ||
			server_watch(s, d->container_pidfd, SERVER_CONTAINER, which, EPOLLONESHOT) <
				0;
	if (lost)
		watch_end_device(s, d);
}

void watch_settle(struct server *s, struct device *d)
{
	d->op_pid = 0;
	if (d->rec.state == WIRE_STATE_LIVE)
		watch_device(s, d);
	else
		watch_retry_later(d, clock_now_ms());
}

void watch_ended(struct server *s, uint32_t which, enum watch_end end)
{
	struct device *d = registry_find(s->registry, RECORD_GENERATION_MARK << 32 | which);

	if (!d || d->op_pid)
		return;
	if (end == WATCH_END_WORKER)
		log_error("ublkb%u: its worker (pid %d) ended; the device is taken away",
			  d->rec.dev_id, d->rec.worker_pid);
	else
		log_info("ublkb%u: container %s ended", d->rec.dev_id, d->rec.container);
	watch_end_device(s, d);
}

void watch_retry(struct server *s, int64_t now_ms)
{
	for (size_t i = 0; i < s->registry->nr_devices; i++) {
		struct device *d = s->registry->devices[i];

		if (d->retry_ms && d->retry_ms <= now_ms)
			watch_end_device(s, d);
	}
}

int64_t watch_next_ms(const struct registry *registry)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < registry->nr_devices; i++) {
		const struct device *d = registry->devices[i];

		if (d->retry_ms && d->retry_ms < next)
			next = d->retry_ms;
	}
	return next;
}
