/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/worker/crew.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver/worker/sandbox.h"
#include "driver/worker/spec.h"

#define CREW_LINE 64

/* A cpuset may leave none of them: then it runs where it is allowed to. */
static void crew_pin(const struct crew_member *m)
{
	struct spec_cpus cpus;

	if (spec_cpus(m->crew->spec, m->lane.queues->id, &cpus))
		syscall(SYS_sched_setaffinity, 0, sizeof(cpus), &cpus);
}

/* A thread besides the first. It makes no words: they are the first one's. */
static void *crew_thread(void *arg)
{
	struct crew_member *m = arg;
	struct crew *c = m->crew;

	gate_await(&c->bound, 1);
	crew_pin(m);
	m->enabled = lane_enable(&m->lane, NULL);
	gate_pass(&c->enabled);
	gate_await(&c->sealed, 1);
	c->serve(c, &m->lane);
	__builtin_trap();
}

static int crew_start(struct crew *c, struct err *e)
{
	pthread_t thread;
	int r;

	for (uint16_t i = 1; i < c->nr; i++) {
		r = pthread_create(&thread, NULL, crew_thread, &c->members[i]);
		if (r)
			return err_sys(e, r, "cannot start a thread");
	}
	return 0;
}

int crew_open(struct crew *c, struct queue *queues, const struct start_spec *spec,
	      struct target *target, void (*serve)(struct crew *crew, struct lane *lane),
	      struct err *e)
{
	uint16_t per_lane = spec_queues_per_lane(spec);
	size_t size;
	int r;

	c->spec = spec;
	c->serve = serve;
	c->nr = spec->nr_queues / per_lane;
	size = c->nr * sizeof(*c->members);
	/* Lanes are written in each wake: not in one cache line with another thread's. */
	c->members = aligned_alloc(CREW_LINE, size);
	if (!c->members)
		return err_sys(e, ENOMEM, "no memory for %u threads", c->nr);
	memset(c->members, 0, size);
	for (uint16_t i = 0; i < c->nr; i++) {
		c->members[i].crew = c;
		r = lane_open(&c->members[i].lane, queues + i * per_lane, (uint16_t)(i * per_lane),
			      per_lane, spec, target, e);
		if (r < 0)
			return r;
	}
	return crew_start(c, e);
}

static int crew_enable(struct crew *c, struct err *e)
{
	int r;

	gate_pass(&c->bound);
	crew_pin(&c->members[0]);
	r = lane_enable(crew_first(c), e);
	if (r < 0)
		return r;
	gate_await(&c->enabled, c->nr - 1u);
	for (uint16_t i = 1; i < c->nr; i++) {
		if (c->members[i].enabled < 0)
			return err_sys(e, -c->members[i].enabled, "cannot enable ring %u", i);
	}
	return 0;
}

int crew_bind(struct crew *c, const int *files, unsigned int nr_files, struct err *e)
{
	int r;

	for (uint16_t i = 0; i < c->nr; i++) {
		r = lane_bind(&c->members[i].lane, files, nr_files, c->spec, e);
		if (r < 0)
			return r;
	}
	return crew_enable(c, e);
}

int crew_seal(struct crew *c, struct err *e)
{
	int fds[START_QUEUES_MAX];
	int r;

	for (uint16_t i = 0; i < c->nr; i++)
		fds[i] = c->members[i].lane.uring.ring_fd;
	r = sandbox_close_all_but(fds, c->nr, e);
	if (r < 0)
		return r;
	return sandbox_seal(c->spec->filter, c->spec->nr_filter, e);
}

void crew_serve(struct crew *c)
{
	gate_pass(&c->sealed);
	c->serve(c, crew_first(c));
	__builtin_trap();
}
