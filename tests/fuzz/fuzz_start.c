/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel between the helper and a worker, with the other end hostile. The
 * first byte of the input says who reads, the second how many fds come; the
 * rest is the packet. A worker serves only what is within the limits of
 * start.h; the helper takes only the step it waits for, and a worker's words
 * reach the log as printable characters.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "driver/privileged/spawn.h"
#include "driver/worker/spec.h"
#include "tests/fuzz/fuzz.h"

static_assert(START_VERSION == 1 && sizeof(struct start_spec) == 1624, "mend seeds.py");

/* Targets do not run here. */
void io_done(struct queue *q, struct io *io, int error)
{
}

struct io_uring_sqe *io_sqe(struct target *t, struct queue *q, struct io *io, unsigned int file)
{
	return NULL;
}

struct io_uring_sqe *io_own_sqe(struct target *t, struct queue *q, unsigned int which,
				unsigned int file)
{
	return NULL;
}

void io_lost(struct queue *q)
{
}

static void must_be_printable(const struct err *e)
{
	must(*e->text && memchr(e->text, '\0', sizeof(e->text)));
	for (const char *p = e->text; *p; p++)
		must(*p >= ' ' && *p <= '~');
}

static bool head_is(const uint8_t *bytes, size_t size, enum start_type type, uint32_t nr_fds)
{
	struct start_head head;

	if (size < sizeof(head))
		return false;
	memcpy(&head, bytes, sizeof(head));
	return head.magic == START_MAGIC && head.version == START_VERSION && head.type == type &&
	       head.size == size && head.nr_fds == nr_fds;
}

/* --- the worker reads ------------------------------------------------------------- */

static void spec_must_hold(const struct start_spec *s, const struct target_ops *ops,
			   unsigned int nr_fds)
{
	must(ops && nr_fds <= ops->nr_files && nr_fds <= START_FILES_MAX);
	must(nr_fds >= (ops->fewest_files ? ops->fewest_files : ops->nr_files));
	must(!s->nbd.timeout_ms == !ops->has_server &&
	     !(s->nbd.flags & ~(uint32_t)START_NBD_FLAGS_ALL));
	must(s->nr_queues && s->nr_queues <= START_QUEUES_MAX);
	must(s->depth && s->depth <= START_DEPTH_MAX);
	must(s->max_io_bytes && s->max_io_bytes <= START_IO_BYTES_MAX);
	must(s->piece_bytes >= 4096 && s->piece_bytes <= s->max_io_bytes);
	must(num_power_of_two(s->logical_block_bytes) && s->logical_block_bytes >= 512);
	must(s->dev_bytes && s->dev_bytes <= INT64_MAX &&
	     s->dev_bytes % s->logical_block_bytes == 0);
	must(!(s->flags & ~(uint32_t)START_FLAGS_ALL));
	must(s->nr_filter && s->nr_filter <= START_FILTER_MAX);
	for (size_t i = 0; i < START_CPUS_MAX; i++)
		must(s->cpu_queue[i] <= (s->flags & START_THREADS ? s->nr_queues : 0));
}

static void worker_reads(const uint8_t *bytes, size_t size, unsigned int nr_fds)
{
	struct packet p = PACKET_INIT; /* its fds are only counted */
	const struct target_ops *ops = NULL;
	struct start_spec s;
	struct err e = { "" };

	if (size > sizeof(p.bytes))
		return;
	memcpy(p.bytes, bytes, size);
	p.size = size;
	p.nr_fds = nr_fds;
	if (spec_admit(&s, &ops, &p, &e) == 0) {
		must(head_is(bytes, size, START_SPEC, nr_fds) && size == sizeof(s));
		spec_must_hold(&s, ops, nr_fds);
	} else {
		must(!ops);
		must_be_printable(&e);
	}
	if (spec_admit_step(&p, START_SERVE, 2, &e) == 0)
		must(head_is(bytes, size, START_SERVE, 2) && nr_fds == 2);
}

/* --- the helper reads --------------------------------------------------------------- */

static void helper_reads(const uint8_t *bytes, size_t size, unsigned int nr_fds)
{
	int pair[2], fds[PACKET_FDS_MAX];
	struct spawn_child w = { .pidfd = -1 };
	struct err e = { "" };
	bool step;
	int r;

	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = pair[0];
	w.channel_fd = pair[1];
	step = size == sizeof(struct start_step) && head_is(bytes, size, START_READY, 0);
	if (packet_send(pair[0], bytes, size, fds, nr_fds, 0) == 0) {
		r = spawn_wait_ready(&w, 0, &e);
		must(r == 0 || r == -EPROTO || r == -EMSGSIZE || r == -ECONNRESET);
		must(!step || r == 0);
		if (r < 0)
			must_be_printable(&e);
		else
			must(size == sizeof(struct start_step));
	}
	close(pair[0]);
	close(pair[1]);
}

static void (*const readers[])(const uint8_t *bytes, size_t size, unsigned int nr_fds) = {
	worker_reads,
	helper_reads,
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	if (size >= 2 && size <= 4096)
		readers[bytes[0] % ARRAY_SIZE(readers)](bytes + 2, size - 2,
							bytes[1] % (PACKET_FDS_MAX + 1));
	return 0;
}
