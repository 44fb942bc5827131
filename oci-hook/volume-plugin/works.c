/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/volume-plugin/works.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/log.h"

enum slot_state {
	SLOT_FREE,
	SLOT_RUNS,
	SLOT_ENDED, /* with somebody who waits for it, or badly: to be told to who asks again */
};

struct slot {
	enum slot_state state;
	bool awaited;
	const struct work_kind *kind;
	struct works *all;
	struct work work;
	int result;
	struct err why;
};

struct waiter {
	const char *volume;
	struct waiter *next;
};

struct works {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct slot slots[WORKS_LONG_MAX];
	unsigned int nr_questions;
	struct waiter *waiters; /* for works that cannot begin yet */
};

struct works *works_new(void)
{
	struct works *all = calloc(1, sizeof(*all));
	pthread_condattr_t attr;

	if (!all)
		return NULL;
	pthread_mutex_init(&all->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&all->changed, &attr);
	pthread_condattr_destroy(&attr);
	return all;
}

void works_free(struct works *all)
{
	if (!all)
		return;
	pthread_cond_destroy(&all->changed);
	pthread_mutex_destroy(&all->lock);
	free(all);
}

/* false: the time is up. */
static bool wait_until(struct works *all, int64_t deadline_ms)
{
	const struct timespec t = {
		.tv_sec = deadline_ms / 1000,
		.tv_nsec = (long)(deadline_ms % 1000) * 1000000,
	};

	return pthread_cond_timedwait(&all->changed, &all->lock, &t) == 0 ||
	       clock_now_ms() < deadline_ms;
}

/* --- questions ---------------------------------------------------------------------------- */

static unsigned int nr_running(const struct works *all)
{
	unsigned int nr = all->nr_questions;

	for (size_t i = 0; i < ARRAY_SIZE(all->slots); i++)
		nr += all->slots[i].state == SLOT_RUNS;
	return nr;
}

int works_enter(struct works *all, int timeout_ms, struct err *e)
{
	int64_t deadline_ms = clock_deadline_ms(timeout_ms);
	int r = 0;

	pthread_mutex_lock(&all->lock);
	while (nr_running(all) >= WORKS_MAX && r == 0) {
		if (!wait_until(all, deadline_ms))
			r = err_set(e, EAGAIN, "too much is under way; ask again");
	}
	if (r == 0)
		all->nr_questions++;
	pthread_mutex_unlock(&all->lock);
	return r;
}

void works_leave(struct works *all)
{
	pthread_mutex_lock(&all->lock);
	all->nr_questions--;
	pthread_cond_broadcast(&all->changed);
	pthread_mutex_unlock(&all->lock);
}

/* --- works -------------------------------------------------------------------------------- */

static void *slot_thread(void *arg);

/* By a thread that no signal goes to, and nobody waits for. */
static int slot_start(struct slot *s, struct err *e)
{
	sigset_t every, before;
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	sigfillset(&every);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &every, &before);
	r = pthread_create(&thread, &attr, slot_thread, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (r == 0)
		return 0;
	s->state = SLOT_FREE;
	return err_sys(e, r, "cannot begin the work");
}

/* It is the next one's, or goes on with what is behind it. */
static void slot_leave(struct slot *s, bool done)
{
	struct err e;

	s->state = SLOT_FREE;
	if (done && s->work.then) {
		s->state = SLOT_RUNS;
		s->awaited = false;
		s->kind = s->work.then;
		s->work.then = NULL;
		if (slot_start(s, &e) < 0)
			log_warning("volume %s: %s", s->work.ask.volume, e.text);
	}
	pthread_cond_broadcast(&s->all->changed);
}

static void *slot_thread(void *arg)
{
	struct slot *s = arg;
	struct works *all = s->all;
	int r = s->kind->run(&s->work, &s->why);

	pthread_mutex_lock(&all->lock);
	s->result = r;
	s->state = SLOT_ENDED;
	if (!s->awaited && r < 0)
		log_warning("volume %s: %s", s->work.ask.volume, s->why.text);
	if (!s->awaited && r == 0) {
		if (s->kind->unheard)
			s->work.then = s->kind->unheard;
		slot_leave(s, true);
	}
	pthread_cond_broadcast(&all->changed);
	pthread_mutex_unlock(&all->lock);
	return NULL;
}

static struct slot *slot_of(struct works *all, const char *volume)
{
	for (size_t i = 0; i < ARRAY_SIZE(all->slots); i++) {
		if (all->slots[i].state != SLOT_FREE &&
		    !strcmp(all->slots[i].work.ask.volume, volume))
			return &all->slots[i];
	}
	return NULL;
}

/* One that is free, or only holds what nobody asked for again. */
static struct slot *slot_free(struct works *all)
{
	struct slot *ended = NULL;

	if (nr_running(all) >= WORKS_MAX)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(all->slots); i++) {
		if (all->slots[i].state == SLOT_FREE)
			return &all->slots[i];
		if (all->slots[i].state == SLOT_ENDED && !all->slots[i].awaited)
			ended = &all->slots[i];
	}
	return ended;
}

static bool slot_is_for(const struct slot *s, const struct work_kind *kind, const struct ask *ask)
{
	return !s->awaited && s->kind == kind && !memcmp(&s->work.ask, ask, sizeof(*ask));
}

/*
 * The slot of this work, begun or found, which is the caller's to wait for. NULL, and no reason in
 * *ret_r: another work has the volume, or there is no room yet.
 */
static struct slot *slot_take(const struct work_kind *kind, const struct plugin *plugin,
			      const struct ask *ask, int *ret_r, struct err *e)
{
	struct works *all = plugin->works;
	struct slot *s = slot_of(all, ask->volume);

	if (s && slot_is_for(s, kind, ask)) {
		s->awaited = true;
		return s;
	}
	if (s && s->state == SLOT_ENDED && !s->awaited)
		s->state = SLOT_FREE; /* asked for is something else by now */
	else if (s)
		return NULL;
	s = slot_free(all);
	if (!s)
		return NULL;
	*s = (struct slot){ .state = SLOT_RUNS, .awaited = true, .kind = kind, .all = all };
	s->work.plugin = plugin;
	memcpy(&s->work.ask, ask, sizeof(*ask));
	*ret_r = slot_start(s, e);
	return *ret_r < 0 ? NULL : s;
}

/* With what its end is, out of the lock: who waits has the slot. */
static int slot_finish(struct slot *s, struct err *e)
{
	struct works *all = s->all;
	int r = s->result;

	if (r < 0)
		return err_set(e, -r, "%s", s->why.text);
	if (!s->kind->finish)
		return 0;
	pthread_mutex_unlock(&all->lock);
	r = s->kind->finish(&s->work, e);
	pthread_mutex_lock(&all->lock);
	return r;
}

/* false: the time is up. */
static bool wait_for_volume(struct works *all, const char *volume, int64_t deadline_ms)
{
	struct waiter own = { volume, all->waiters }, **at = &all->waiters;
	bool in_time;

	all->waiters = &own;
	in_time = wait_until(all, deadline_ms);
	while (*at != &own)
		at = &(*at)->next;
	*at = own.next;
	return in_time;
}

static int works_run_locked(const struct work_kind *kind, const struct plugin *plugin,
			    const struct ask *ask, int64_t deadline_ms, struct err *e)
{
	struct works *all = plugin->works;
	struct slot *s;
	int r = 0;

	while (!(s = slot_take(kind, plugin, ask, &r, e))) {
		if (r < 0)
			return r;
		if (!wait_for_volume(all, ask->volume, deadline_ms))
			return err_set(e, EAGAIN,
				       "something else is under way with volume %s, or too much "
				       "with others; ask again",
				       ask->volume);
	}
	while (s->state != SLOT_ENDED) {
		if (wait_until(all, deadline_ms))
			continue;
		if (s->state == SLOT_ENDED)
			break;
		s->awaited = false;
		return err_set(e, EAGAIN,
			       "volume %s: it takes longer, and goes on; ask again for its end",
			       ask->volume);
	}
	r = slot_finish(s, e);
	slot_leave(s, r == 0);
	return r;
}

int works_run(const struct work_kind *kind, const struct plugin *plugin, const struct ask *ask,
	      int timeout_ms, struct err *e)
{
	int r;

	pthread_mutex_lock(&plugin->works->lock);
	r = works_run_locked(kind, plugin, ask, clock_deadline_ms(timeout_ms), e);
	pthread_mutex_unlock(&plugin->works->lock);
	return r;
}

bool works_others_wait(const struct plugin *plugin)
{
	struct works *all = plugin->works;
	bool waits;

	pthread_mutex_lock(&all->lock);
	waits = all->waiters;
	pthread_mutex_unlock(&all->lock);
	return waits;
}

bool works_wanted(const struct plugin *plugin, const char *volume)
{
	struct works *all = plugin->works;
	const struct waiter *waiter;

	pthread_mutex_lock(&all->lock);
	for (waiter = all->waiters; waiter && strcmp(waiter->volume, volume);)
		waiter = waiter->next;
	pthread_mutex_unlock(&all->lock);
	return waiter;
}
