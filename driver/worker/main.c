/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker: serves one device and can do nothing else. The order of its
 * birth is the point of this file:
 *
 *   1. sandbox_begin(), then the spec and the backing files
 *   2. everything that can fail: memory, target, rings, threads, locked pages;
 *      "prepared"
 *   3. only now the char device: map, register, restrict and enable each ring,
 *      close every plain descriptor
 *   4. seccomp, for all threads
 *   5. fetch every tag in one burst; "ready", said through a ring by who was last
 *
 * From then on there is one system call, io_uring_enter(), and the channel to
 * the helper is not read: a helper that dies disturbs nothing.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/worker/crew.h"
#include "driver/worker/ring.h"
#include "driver/worker/sandbox.h"
#include "driver/worker/sealed.h"
#include "driver/worker/spec.h"
#include "driver/worker/stats.h"

#define SEND_TIMEOUT_MS 5000

struct worker {
	struct start_spec spec;
	struct packet backing; /* owns the backing files until they are registered */
	struct target target;
	struct crew crew;
	struct queue queues[START_QUEUES_MAX];
	struct gate begun; /* one pass: the first request may come */
	_Atomic uint32_t nr_fetching;
	_Atomic uint32_t nr_serving;
	_Atomic bool failing; /* one thread says why and ends them all */
	struct gate never;
	struct start_step ready; /* in flight through a ring */
	struct start_failed failed;
};

static struct start_step worker_step(enum start_type type)
{
	return (struct start_step){
		.head = { START_MAGIC, START_VERSION, (uint16_t)type, sizeof(struct start_step),
			  0 },
	};
}

static struct start_failed worker_failure(int code, const struct err *e)
{
	struct start_failed m = {
		.head = { START_MAGIC, START_VERSION, START_FAILED, sizeof(m), 0 },
		.code = code,
	};

	memcpy(m.reason, e->text, sizeof(m.reason) - 1);
	return m;
}

/* --- sealed: words go through a ring only --------------------------------------- */

/* Its part is done, and a thread cannot end alone. */
static _Noreturn void worker_rest(struct worker *w)
{
	for (;;)
		gate_await(&w->never, 1);
}

static _Noreturn void worker_fail_sealed(struct worker *w, struct lane *l, int code,
					 const struct err *e)
{
	w->failed = worker_failure(code, e);
	ring_say(&l->uring, &w->failed, sizeof(w->failed));
	io_uring_submit(&l->uring);
	_exit(code == -ENOTCONN ? START_STATUS_LOST : EXIT_FAILURE);
}

static _Noreturn void worker_fail(struct worker *w, struct lane *l, int code, const char *what)
{
	struct err e = { "" };

	if (atomic_exchange(&w->failing, true))
		worker_rest(w);
	err_sys(&e, -code, "%s", what);
	worker_fail_sealed(w, l, code, &e);
}

/* All threads wait for the last, which has no system call to itself that the others have not. */
static void worker_begin(struct worker *w, struct lane *l)
{
	if (crew_is_last(&w->crew, l)) {
		worker_sealed(&l->uring, &w->spec);
		gate_pass(&w->begun);
	}
	gate_await(&w->begun, 1);
}

/* What each thread does from the seal to its end. */
static void worker_serve(struct crew *crew, struct lane *l)
{
	struct worker *w = (struct worker *)((char *)crew - offsetof(struct worker, crew));
	int r;

	worker_begin(w, l);
	r = lane_fetch(l);
	if (r < 0)
		worker_fail(w, l, r, "the driver refused a tag");
	if (atomic_fetch_sub(&w->nr_fetching, 1) == 1) {
		w->ready = worker_step(START_READY);
		ring_say(&l->uring, &w->ready, sizeof(w->ready));
	}
	r = lane_run(l);
	if (r < 0)
		worker_fail(w, l, r, r == -ENOTCONN ? "its server is lost" : "cannot go on");
	if (atomic_fetch_sub(&w->nr_serving, 1) != 1)
		worker_rest(w);
	_exit(EXIT_SUCCESS);
}

/* --- before it ---------------------------------------------------------------------- */

static int worker_receive_spec(struct worker *w, struct err *e)
{
	int r;

	r = packet_receive(START_CHANNEL_FD, &w->backing, -1);
	if (r < 0)
		return err_sys(e, -r, "no word from the helper");
	return spec_admit(&w->spec, &w->target.ops, &w->backing, e);
}

static_assert((int)TARGET_NBD_FLUSH == START_NBD_FLUSH && (int)TARGET_NBD_FUA == START_NBD_FUA &&
		      (int)TARGET_NBD_TRIM == START_NBD_TRIM &&
		      (int)TARGET_NBD_ZERO == START_NBD_ZERO,
	      "flags of a server");

static int worker_open_target(struct worker *w, struct err *e)
{
	struct target *t = &w->target;
	int r;

	t->dev_bytes = w->spec.dev_bytes;
	t->piece_bytes = w->spec.piece_bytes;
	t->read_only = w->spec.flags & START_READ_ONLY;
	t->discard = w->spec.flags & START_DISCARD;
	t->zero_copy = w->spec.flags & START_ZERO_COPY;
	t->nr_tags = (unsigned int)w->spec.nr_queues * w->spec.depth;
	t->nr_files = w->backing.nr_fds;
	t->first_file = RING_FILE_BACKING;
	t->fds = w->backing.fds;
	t->fault = (struct target_fault){ w->spec.fault.delay_us, w->spec.fault.error_ppm,
					  w->spec.fault.error_off, w->spec.fault.error_len };
	t->nbd = (struct target_nbd_server){ w->spec.nbd.flags, w->spec.nbd.timeout_ms };
	if (t->ops->open) {
		r = t->ops->open(t, e);
		if (r < 0)
			return err_prefix(e, r, "target %s", t->ops->name);
	}
	return 0;
}

/* The target, queues with their buffers and rings, threads. */
static int worker_prepare(struct worker *w, struct err *e)
{
	int r;

	r = worker_open_target(w, e);
	if (r < 0)
		return r;
	r = crew_open(&w->crew, w->queues, &w->spec, &w->target, worker_serve, e);
	if (r < 0)
		return r;
	w->nr_fetching = w->nr_serving = w->crew.nr;
	/* A page fault in here may need the very disk that is served. As far as the limit allows.
	 */
	mlockall(MCL_CURRENT | MCL_FUTURE);
	return 0;
}

/* The char device, the counters and the socket for notices, which are p's. */
static int worker_receive_device(struct worker *w, struct packet *p, struct err *e)
{
	struct start_step prepared = worker_step(START_PREPARED);
	int r;

	r = packet_send(START_CHANNEL_FD, &prepared, sizeof(prepared), NULL, 0, SEND_TIMEOUT_MS);
	if (r < 0)
		return err_sys(e, -r, "cannot answer the helper");
	r = packet_receive(START_CHANNEL_FD, p, -1);
	if (r < 0)
		return err_sys(e, -r, "no char device from the helper");
	return spec_admit_step(p, START_SERVE, 3, e);
}

static int worker_bind(struct worker *w, struct err *e)
{
	auto_packet struct packet p = PACKET_INIT;
	int files[RING_FILE_BACKING + START_FILES_MAX];
	int r;

	r = worker_receive_device(w, &p, e);
	if (r < 0)
		return r;
	if (w->target.ops->begin) {
		r = w->target.ops->begin(&w->target, e);
		if (r < 0)
			return err_prefix(e, r, "target %s", w->target.ops->name);
	}
	r = stats_map(w->queues, w->spec.nr_queues, p.fds[1], e);
	if (r < 0)
		return r;
	for (uint16_t i = 0; i < w->spec.nr_queues; i++) {
		r = queue_map(&w->queues[i], p.fds[0], e);
		if (r < 0)
			return r;
	}
	files[RING_FILE_CHAR] = p.fds[0];
	files[RING_FILE_CHANNEL] = START_CHANNEL_FD;
	files[RING_FILE_NOTICES] = p.fds[2];
	for (unsigned int i = 0; i < w->backing.nr_fds; i++)
		files[RING_FILE_BACKING + i] = w->backing.fds[i];
	return crew_bind(&w->crew, files, RING_FILE_BACKING + w->backing.nr_fds, e);
}

/* Words about a failure before the rings were enabled. */
static int worker_fail_plain(int code, const struct err *e)
{
	struct start_failed m = worker_failure(code, e);

	packet_send(START_CHANNEL_FD, &m, sizeof(m), NULL, 0, SEND_TIMEOUT_MS);
	return EXIT_FAILURE;
}

static int worker_main(struct worker *w)
{
	struct err e = { "" };
	int r;

	r = sandbox_begin(&e);
	if (r >= 0)
		r = worker_receive_spec(w, &e);
	if (r >= 0)
		r = worker_prepare(w, &e);
	if (r >= 0)
		r = worker_bind(w, &e);
	if (r < 0)
		return worker_fail_plain(r, &e);
	r = crew_seal(&w->crew, &e);
	if (r < 0)
		worker_fail_sealed(w, crew_first(&w->crew), r, &e);
	crew_serve(&w->crew);
}

int main(void)
{
	/* Too large for a stack, and needed until the end. */
	static struct worker w = { .backing = PACKET_INIT };

	_exit(worker_main(&w));
}
