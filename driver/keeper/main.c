/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper: holds descriptors for the helper while the helper, or a worker,
 * or both are dead, and can do nothing else. It is born like a worker; what
 * only it can do to itself it does before it hears of any descriptor:
 *
 *   1. sandbox_begin(), then the socket to listen on, and the filter to wear
 *   2. every other descriptor closed, memory locked
 *   3. seccomp; "ready", and the channel to the helper is closed
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/keeper/serve.h"
#include "driver/wire/packet.h"
#include "driver/worker/sandbox.h"

#define MAIN_SEND_TIMEOUT_MS 5000
#define MAIN_BACKLOG 512 /* more than the helper ever has children */

struct keeper {
	struct keep_start start;
	struct serve serve;
};

static int main_receive_start(struct keeper *k, struct err *e)
{
	auto_packet struct packet p = PACKET_INIT;
	const struct start_head *h = &k->start.head;
	int r;

	r = packet_receive(START_CHANNEL_FD, &p, -1);
	if (r < 0)
		return err_sys(e, -r, "no word from the helper");
	if (p.size != sizeof(k->start) || p.nr_fds != 1)
		return err_set(e, EPROTO, "a strange word from the helper");
	memcpy(&k->start, p.bytes, sizeof(k->start));
	if (h->magic != START_MAGIC || h->version != START_VERSION || h->type != START_KEEP ||
	    h->size != sizeof(k->start) || h->nr_fds != 1 || !k->start.nr_filter ||
	    k->start.nr_filter > START_FILTER_MAX)
		return err_set(e, EPROTO, "the helper speaks another version");
	k->serve.listen_fd = fd_take(&p.fds[0]);
	return 0;
}

static int main_seal(struct keeper *k, struct err *e)
{
	int r;

	/* It, not the helper, so that the socket says who the keeper is. */
	if (listen(k->serve.listen_fd, MAIN_BACKLOG) < 0)
		return err_sys(e, errno, "cannot listen");
	if (close_range(0, START_CHANNEL_FD - 1, 0) < 0)
		return err_sys(e, errno, "cannot close descriptors");
	/* It must be able to answer while there is no memory to be had. */
	r = mlockall(MCL_CURRENT | MCL_FUTURE);
	if (r < 0)
		return err_sys(e, errno, "cannot lock memory");
	return sandbox_seal(k->start.filter, k->start.nr_filter, e);
}

static int main_say_ready(struct err *e)
{
	const struct start_step m = {
		.head = { START_MAGIC, START_VERSION, START_READY, sizeof(m), 0 },
	};
	int r;

	r = packet_send(START_CHANNEL_FD, &m, sizeof(m), NULL, 0, MAIN_SEND_TIMEOUT_MS);
	if (r < 0)
		return err_sys(e, -r, "cannot answer the helper");
	close(START_CHANNEL_FD);
	return 0;
}

static int main_fail(int code, const struct err *e)
{
	struct start_failed m = {
		.head = { START_MAGIC, START_VERSION, START_FAILED, sizeof(m), 0 },
		.code = code,
	};

	memcpy(m.reason, e->text, sizeof(m.reason) - 1);
	packet_send(START_CHANNEL_FD, &m, sizeof(m), NULL, 0, MAIN_SEND_TIMEOUT_MS);
	return EXIT_FAILURE;
}

static int main_keep(struct keeper *k)
{
	struct err e = { "" };
	int r;

	r = sandbox_begin(&e);
	if (r >= 0)
		r = main_receive_start(k, &e);
	if (r >= 0)
		r = main_seal(k, &e);
	if (r >= 0)
		r = main_say_ready(&e);
	if (r < 0)
		return main_fail(r, &e);
	while (r >= 0)
		r = serve_turn(&k->serve, -1, &e);
	return EXIT_FAILURE;
}

int main(void)
{
	/* Too large for a stack. */
	static struct keeper k;

	_exit(main_keep(&k));
}
