/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/keep_watch.h"

#include <sys/epoll.h>

#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/privileged/server.h"
#include "driver/privileged/work.h"

#define KEEP_RETRY_MIN_MS 1000
#define KEEP_RETRIES_GROW 6 /* after so many the delay grows no more: a minute */

/* One that ends at once, again and again, is started ever more seldom. */
static void keep_watch_later(struct keep_watch *w)
{
	int64_t now = clock_now_ms(), delay = (int64_t)KEEP_RETRY_MIN_MS << w->nr_tries;

	if (now - w->begun_ms > delay) {
		w->nr_tries = 0;
		delay = 0;
	} else if (w->nr_tries < KEEP_RETRIES_GROW) {
		w->nr_tries++;
	}
	w->retry_ms = now + delay;
}

void keep_watch_begin(struct server *s)
{
	struct keep_watch *w = &s->keeper;

	if (w->keep.fd >= 0 && server_watch(s, w->keep.fd, SERVER_KEEPER, 0, 0) == 0)
		return;
	keep_fini(&w->keep);
	/* Of a user that is not there the log has a line already. */
	if (s->helper->keeper_uid != (uid_t)-1 && s->helper->keeper_fd >= 0)
		keep_watch_later(w);
}

void keep_watch_hear(struct server *s)
{
	struct keep_watch *w = &s->keeper;
	struct err e;

	if (keep_hear(&w->keep, &e) == 0)
		return;
	log_error("%s: devices attached until now will be lost when their workers die", e.text);
	/* A child may still have a copy, by which it would be heard of again. */
	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, w->keep.fd, NULL);
	keep_fini(&w->keep);
	keep_watch_begin(s);
}

int keep_watch_start(const struct helper *h, struct err *e)
{
	struct keep keep = KEEP_INIT;
	int r;

	r = keep_begin(&keep, &h->room, h->keeper_fd, h->cgroup_base, h->keeper_uid, h->keeper_gid,
		       e);
	keep_fini(&keep);
	if (r == 0 && h->notices_fd >= 0)
		r = keep_put_notices(h->notices_fd, e);
	return r;
}

void keep_watch_done(struct server *s)
{
	struct err e;

	s->keeper.pid = 0;
	if (keep_join(&s->keeper.keep, &e) < 0)
		log_warning("%s: a device whose worker dies will be lost", e.text);
	keep_watch_begin(s);
}

void keep_watch_end(struct server *s)
{
	struct err e;

	if (!s->registry->nr_devices && keep_end(s->helper->cgroup_base, &e) < 0)
		log_warning("%s", e.text);
}

void keep_watch_retry(struct server *s, int64_t now_ms)
{
	struct keep_watch *w = &s->keeper;

	if (!w->retry_ms || w->retry_ms > now_ms)
		return;
	w->retry_ms = 0;
	if (s->ending)
		return;
	w->begun_ms = now_ms;
	w->pid = work_own(s, WORK_KEEPER, 0);
	if (!w->pid)
		keep_watch_later(w);
}
