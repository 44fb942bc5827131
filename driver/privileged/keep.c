/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/keep.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/wire/keep.h"
#include "driver/wire/packet.h"

#define KEEP_TIMEOUT_MS 2000
#define KEEP_RETRY_MS 5
#define KEEP_NOTICES UINT64_MAX /* no device's generation */

void keep_fini(struct keep *k)
{
	close_fdp(&k->fd);
}

/* --- one connection ------------------------------------------------------------------ */

static int keep_connect(int *ret_fd)
{
	const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = KEEP_SOCKET };
	auto_close int fd = -1;

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return errno == ENOENT ? -ENOTCONN : -errno;
	*ret_fd = fd_take(&fd);
	return 0;
}

/*
 * The kernel counts descriptors that wait in sockets by the sender's real uid, and
 * refuses other processes of that uid theirs when it is many. All those kept are the
 * keeper's, not root's.
 */
static int keep_fill(int box_fd, const int *fds, unsigned int nr, uid_t keeper)
{
	uid_t own = getuid();
	int r;

	if (setresuid(keeper, (uid_t)-1, (uid_t)-1) < 0)
		return -errno;
	r = packet_send(box_fd, "", 1, fds, nr, 0);
	if (setresuid(own, (uid_t)-1, (uid_t)-1) < 0)
		_exit(EXIT_FAILURE); /* it is what it was a moment ago */
	return r;
}

/* What crosses in place of fds. */
static int keep_box(int *ret_fd, const int *fds, unsigned int nr, int connection_fd)
{
	auto_close int mine = -1, theirs = -1;
	struct ucred keeper;
	socklen_t size = sizeof(keeper);
	int pair[2];
	int r;

	if (getsockopt(connection_fd, SOL_SOCKET, SO_PEERCRED, &keeper, &size) < 0)
		return -errno;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	mine = pair[0];
	theirs = pair[1];
	r = keep_fill(mine, fds, nr, keeper.uid);
	if (r < 0)
		return r;
	*ret_fd = fd_take(&theirs);
	return 0;
}

/* What is in it stays in it. */
static int keep_open_box(int *ret_fds, unsigned int nr, int box_fd)
{
	auto_packet struct packet p = PACKET_INIT;
	int r;

	r = packet_peek(box_fd, &p, 0);
	if (r < 0)
		return r;
	if (p.nr_fds != nr)
		return -EPROTO;
	for (unsigned int i = 0; i < nr; i++)
		ret_fds[i] = fd_take(&p.fds[i]);
	return 0;
}

/* The keeper's answer, its status; with it at most one descriptor. */
static int keep_receive(int fd, struct packet *p, int timeout_ms)
{
	struct keep_reply m;
	int r;

	r = packet_receive(fd, p, timeout_ms);
	if (r < 0)
		return r;
	if (p->size != sizeof(m))
		return -EPROTO;
	memcpy(&m, p->bytes, sizeof(m));
	if (m.magic != KEEP_MAGIC || m.type != KEEP_REPLY || m.nr_fds != p->nr_fds ||
	    p->nr_fds > 1 || m.status > 0)
		return -EPROTO;
	return m.status;
}

/* box_fd: -1 or what goes along. */
static int keep_send(int fd, enum keep_type type, uint64_t generation, int box_fd, int timeout_ms)
{
	const struct keep_request m = {
		.magic = KEEP_MAGIC,
		.version = KEEP_VERSION,
		.type = (uint16_t)type,
		.size = sizeof(m),
		.nr_fds = box_fd >= 0,
		.generation = generation,
	};

	return packet_send(fd, &m, sizeof(m), &box_fd, m.nr_fds, timeout_ms);
}

/* --- questions -------------------------------------------------------------------------- */

struct keep_question {
	enum keep_type type;
	uint64_t generation;
	const int *fds; /* what is to be kept */
	unsigned int nr_fds;
};

/* The box in reply, which the keeper has given up, is held here until it has closed its own. */
static int keep_ask_once(const struct keep_question *q, struct packet *reply, int64_t deadline_ms)
{
	auto_packet struct packet end = PACKET_INIT;
	auto_close int fd = -1, box = -1;
	int r;

	r = keep_connect(&fd);
	if (r == 0 && q->nr_fds)
		r = keep_box(&box, q->fds, q->nr_fds, fd);
	if (r == 0)
		r = keep_send(fd, q->type, q->generation, box, clock_left_ms(deadline_ms));
	if (r == 0)
		r = keep_receive(fd, reply, clock_left_ms(deadline_ms));
	if (r == 0 && reply->nr_fds && q->type != KEEP_GET)
		packet_receive(fd, &end, clock_left_ms(deadline_ms));
	return r;
}

/* It was not there at all, or it went while it was asked, and another may begin. */
static bool keep_went(int r)
{
	return r == -ECONNREFUSED || r == -ECONNRESET || r == -EPIPE || r == -EAGAIN;
}

static int keep_ask(const struct keep_question *q, struct packet *reply, struct err *e)
{
	int64_t deadline_ms = clock_deadline_ms(KEEP_TIMEOUT_MS);
	int r;

	while (keep_went(r = keep_ask_once(q, reply, deadline_ms)) && clock_left_ms(deadline_ms)) {
		packet_fini(reply);
		clock_sleep_ms(KEEP_RETRY_MS);
	}
	if (r == -ENOTCONN || keep_went(r))
		return err_set(e, ENOTCONN, "there is no keeper");
	return r < 0 ? err_sys(e, -r, "the keeper does not do it") : 0;
}

int keep_put_files(uint64_t generation, const int *fds, unsigned int nr, struct err *e)
{
	auto_packet struct packet reply = PACKET_INIT;

	return keep_ask(&(struct keep_question){ KEEP_PUT, generation, fds, nr }, &reply, e);
}

int keep_get_files(uint64_t generation, int *ret_fds, unsigned int nr, struct err *e)
{
	auto_packet struct packet reply = PACKET_INIT;
	int r;

	r = keep_ask(&(struct keep_question){ KEEP_GET, generation, NULL, 0 }, &reply, e);
	if (r < 0)
		return r;
	r = reply.nr_fds ? keep_open_box(ret_fds, nr, reply.fds[0]) : -EPROTO;
	return r < 0 ? err_sys(e, -r, "the keeper gave something else") : 0;
}

int keep_put(uint64_t generation, int fd, struct err *e)
{
	return keep_put_files(generation, &fd, 1, e);
}

int keep_get(uint64_t generation, int *ret_fd, struct err *e)
{
	return keep_get_files(generation, ret_fd, 1, e);
}

int keep_put_notices(int fd, struct err *e)
{
	return keep_put(KEEP_NOTICES, fd, e);
}

int keep_get_notices(int *ret_fd, struct err *e)
{
	return keep_get(KEEP_NOTICES, ret_fd, e);
}

int keep_drop(uint64_t generation, struct err *e)
{
	auto_packet struct packet reply = PACKET_INIT;
	int r;

	r = keep_ask(&(struct keep_question){ KEEP_DROP, generation, NULL, 0 }, &reply, e);
	return r == -ENOENT || r == -ENOTCONN ? 0 : r;
}

/* One packet of names. One that hangs up on the question is from before there was the question. */
static int keep_ask_names(uint64_t first, struct keep_names *ret, struct err *e)
{
	int64_t deadline_ms = clock_deadline_ms(KEEP_TIMEOUT_MS);
	auto_packet struct packet p = PACKET_INIT;
	auto_close int fd = -1;
	int r;

	r = keep_connect(&fd);
	if (r == -ENOTCONN || r == -ECONNREFUSED)
		return err_set(e, ENOTCONN, "there is no keeper");
	if (r == 0)
		r = keep_send(fd, KEEP_LIST, first, -1, clock_left_ms(deadline_ms));
	if (r == 0)
		r = packet_receive(fd, &p, clock_left_ms(deadline_ms));
	if (r == -ECONNRESET)
		return err_set(e, EOPNOTSUPP, "the keeper does not tell what it holds");
	if (r == 0 && p.size != sizeof(*ret))
		r = -EPROTO;
	if (r < 0)
		return err_sys(e, -r, "the keeper does not answer");
	memcpy(ret, p.bytes, sizeof(*ret));
	if (ret->magic != KEEP_MAGIC || ret->type != KEEP_NAMES || ret->nr > KEEP_NAMES_MAX)
		return err_set(e, EPROTO, "the keeper's answer is not understood");
	return 0;
}

int keep_each(int (*found)(void *arg, uint64_t generation), void *arg, struct err *e)
{
	struct keep_names names;
	uint64_t first = 0;
	int r;

	do {
		r = keep_ask_names(first, &names, e);
		if (r < 0)
			return r == -ENOTCONN ? 0 : r;
		for (uint32_t i = 0; i < names.nr; i++) {
			if (names.generations[i] == KEEP_NOTICES)
				continue;
			r = found(arg, names.generations[i]);
			if (r < 0)
				return err_sys(e, -r, "cannot look at what the keeper holds");
		}
		first += names.nr;
	} while (names.nr == KEEP_NAMES_MAX && first < KEEP_ENTRIES_MAX);
	return 0;
}

/* --- the idle connection ------------------------------------------------------------------ */

int keep_join(struct keep *k, struct err *e)
{
	auto_close int fd = -1;
	int r;

	r = keep_connect(&fd);
	if (r == 0)
		r = keep_send(fd, KEEP_STAY, 0, -1, 0);
	if (r == -ENOTCONN || r == -ECONNREFUSED || r == -EPIPE)
		return err_set(e, ENOTCONN, "there is no keeper");
	if (r < 0)
		return err_sys(e, -r, "cannot connect to the keeper");
	keep_fini(k);
	*k = (struct keep){ fd_take(&fd), true };
	return 0;
}

/* It says one thing, then nothing. */
static int keep_listen(struct keep *k, int timeout_ms, struct err *e)
{
	auto_packet struct packet p = PACKET_INIT;
	int r;

	r = keep_receive(k->fd, &p, timeout_ms);
	if (r == -ECONNRESET)
		return err_set(e, ECONNRESET, "the keeper ended");
	if (r == -EPROTONOSUPPORT)
		return err_set(e, EPROTONOSUPPORT, "the keeper is of another version");
	if (r == 0 && !k->asked)
		r = -EPROTO;
	k->asked = false;
	return r < 0 ? err_sys(e, -r, "the keeper does not answer") : 0;
}

int keep_hear(struct keep *k, struct err *e)
{
	return keep_listen(k, 0, e);
}

int keep_find(struct keep *k, struct err *e)
{
	int r;

	r = keep_join(k, e);
	if (r == 0)
		r = keep_listen(k, KEEP_TIMEOUT_MS, e);
	if (r < 0)
		keep_fini(k);
	return r;
}
