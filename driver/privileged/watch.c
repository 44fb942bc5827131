/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/watch.h"

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/base/ublk_abi.h"
#include "driver/privileged/process.h"
#include "driver/privileged/server.h"
#include "driver/privileged/work.h"
#include "driver/wire/start.h"

#define WATCH_RETRY_MAX_MS 60000
#define WATCH_RETRIES_GROW 10 /* after so many the delay grows no more */

/*
 * A worker that served this long was well: what kills it later is not what killed the
 * one before. Of others so many in a row are enough.
 */
#define WATCH_STEADY_MS 1000
#define WATCH_DEATHS_MAX 8
#define WATCH_DEATH_DELAY_MAX_MS 2000

/* A server that is gone may come back at any time. */
#define WATCH_LOSSES_GROW 6
#define WATCH_LOSS_DELAY_MS 50

void watch_retry_later(struct device *d, int64_t now_ms)
{
	int delay_ms = d->nr_tries < WATCH_RETRIES_GROW ? 100 << d->nr_tries : WATCH_RETRY_MAX_MS;

	d->retry_ms = now_ms + (d->nr_tries ? delay_ms : 0);
	d->nr_tries++;
}

/* Is something else missing than a worker that lives, such as its server? See recover_lost(). */
static bool watch_waits(const struct device *d)
{
	const struct record *rec = &d->rec;

	return (d->lost && rec->nbd.state != RECORD_NBD_NONE) ||
	       (rec->state == WIRE_STATE_RECOVERING && *rec->failure);
}

void watch_recover_later(struct device *d, int64_t now_ms)
{
	bool steady = d->served_ms && now_ms - d->served_ms >= WATCH_STEADY_MS;
	int64_t delay_ms;

	if (steady)
		d->nr_deaths = d->nr_losses = 0;
	d->served_ms = 0;
	d->recover = true;
	if (watch_waits(d)) {
		d->lost = false;
		d->retry_ms = now_ms + (d->nr_losses ? WATCH_LOSS_DELAY_MS << d->nr_losses : 0);
		if (d->nr_losses < WATCH_LOSSES_GROW)
			d->nr_losses++;
		return;
	}
	delay_ms = d->nr_deaths ? 50 << d->nr_deaths : 0;
	d->retry_ms = now_ms +
		      (delay_ms < WATCH_DEATH_DELAY_MAX_MS ? delay_ms : WATCH_DEATH_DELAY_MAX_MS);
	d->nr_deaths++;
}

/* Starts the child that does what is next for it: its end, another worker, or none any more. */
static void watch_work(struct server *s, struct device *d)
{
	enum work_kind kind = !d->recover			? WORK_END_DEVICE
			      : d->nr_deaths > WATCH_DEATHS_MAX ? WORK_GIVE_UP
								: WORK_RECOVER;

	d->retry_ms = 0;
	if (d->op_pid || s->ending)
		return; /* looked at again when that one is done, or by the next helper */
	d->op_pid = work_own(s, kind, d->rec.generation);
	if (!d->op_pid)
		watch_retry_later(d, clock_now_ms());
}

void watch_end_device(struct server *s, struct device *d)
{
	d->recover = false;
	watch_work(s, d);
}

/* False: the process has ended, or cannot be watched. */
static bool watch_process(struct server *s, struct device *d, int *pidfd, enum server_event event,
			  pid_t pid, uint64_t start_ticks)
{
	if (*pidfd >= 0 && process_ended(*pidfd))
		close_fdp(pidfd);
	if (*pidfd < 0)
		*pidfd = process_pin(pid, start_ticks);
	return *pidfd >= 0 &&
	       server_watch(s, *pidfd, event, (uint32_t)d->rec.generation, EPOLLONESHOT) == 0;
}

static bool watch_container(struct server *s, struct device *d)
{
	return d->rec.flags & WIRE_NO_CONTAINER ||
	       watch_process(s, d, &d->container_pidfd, SERVER_CONTAINER, d->rec.container_pid,
			     d->rec.container_start);
}

static bool watch_worker(struct server *s, struct device *d)
{
	/* Of a claim it is the device's to watch. */
	return d->rec.flags & WIRE_CLAIMED || watch_process(s, d, &d->worker_pidfd, SERVER_WORKER,
							    d->rec.worker_pid, d->rec.worker_start);
}

/* It is not the driver's choice: who has it open waits until there is another worker, or none. */
static void watch_worker_ended(struct server *s, struct device *d)
{
	int64_t now_ms = clock_now_ms();

	close_fdp(&d->worker_pidfd);
	if (!(d->rec.kernel_flags & UBLK_F_USER_RECOVERY)) {
		watch_end_device(s, d);
		return;
	}
	watch_recover_later(d, now_ms);
	if (d->retry_ms <= now_ms)
		watch_work(s, d);
}

void watch_settle(struct server *s, struct device *d)
{
	bool waits = d->rec.state == WIRE_STATE_LIVE || d->rec.state == WIRE_STATE_RECOVERING ||
		     d->rec.state == WIRE_STATE_FAILED;

	d->op_pid = 0;
	d->grown_bytes = 0;
	if (!waits) {
		d->recover = false;
		watch_retry_later(d, clock_now_ms());
		return;
	}
	d->nr_tries = 0;
	if (!watch_container(s, d)) {
		watch_end_device(s, d);
		return;
	}
	if (d->rec.state == WIRE_STATE_FAILED)
		return;
	if (d->rec.state == WIRE_STATE_LIVE && d->recover) {
		d->recover = false;
		d->served_ms = clock_now_ms();
		*d->last_words = '\0';
	}
	if (d->rec.state == WIRE_STATE_RECOVERING || !watch_worker(s, d))
		watch_worker_ended(s, d);
}

/* How it ended, as waitpid() says. */
static void watch_note_end(struct device *d, int status)
{
	if (WIFSIGNALED(status))
		snprintf(d->last_words, sizeof(d->last_words), "was killed by signal %d",
			 WTERMSIG(status));
	else
		snprintf(d->last_words, sizeof(d->last_words), "ended with status %d",
			 WEXITSTATUS(status));
	d->lost = WIFEXITED(status) && WEXITSTATUS(status) == START_STATUS_LOST;
}

void watch_reaped(struct server *s, pid_t pid, int status)
{
	for (size_t i = 0; i < s->registry->nr_devices; i++) {
		if (s->registry->devices[i]->rec.worker_pid == pid)
			watch_note_end(s->registry->devices[i], status);
	}
}

/* Ours to reap it is only if this helper, or a child of it, started it. */
static void watch_reap(struct device *d)
{
	int status;

	if (waitpid(d->rec.worker_pid, &status, WNOHANG) == d->rec.worker_pid)
		watch_note_end(d, status);
}

void watch_ended(struct server *s, uint32_t which, enum watch_end end)
{
	struct device *d = registry_find(s->registry, RECORD_GENERATION_MARK << 32 | which);

	if (!d || d->op_pid)
		return;
	if (end == WATCH_END_CONTAINER) {
		log_info("ublkb%u: container %s ended", d->rec.dev_id, d->rec.container);
		watch_end_device(s, d);
		return;
	}
	watch_reap(d);
	log_error("ublkb%u: its worker (pid %d) %s", d->rec.dev_id, d->rec.worker_pid,
		  *d->last_words ? d->last_words : "ended");
	watch_worker_ended(s, d);
}

void watch_retry(struct server *s, int64_t now_ms)
{
	for (size_t i = 0; i < s->registry->nr_devices; i++) {
		struct device *d = s->registry->devices[i];

		if (d->retry_ms && d->retry_ms <= now_ms)
			watch_work(s, d);
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
