/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/connector/negotiate.h"

#include <errno.h>
#include <fcntl.h>
#include <libnbd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/wire/start.h"

#define NEGOTIATE_UNIX "unix:"
#define NEGOTIATE_TCP "tcp:"
/* A server whose machine was started anew says so when it is asked, also when there is no I/O. */
#define NEGOTIATE_IDLE_S 15
#define NEGOTIATE_PROBE_S 5
/*
 * 20 days. Where a route has timestamps in microseconds (tcp_usec_ts) the kernel loses the upper
 * half of a thousand times this: then it is 23 minutes, and of INT_MAX it would be nothing.
 */
#define NEGOTIATE_SILENCE_MS 1728000000

typedef struct nbd_handle *handle;

static void handle_closep(handle *h)
{
	if (*h)
		nbd_close(*h);
}

#define auto_handle __attribute__((cleanup(handle_closep)))

void negotiated_fini(struct negotiated *n)
{
	for (size_t i = 0; i < ARRAY_SIZE(n->fds); i++)
		close_fdp(&n->fds[i]);
}

/* What a server that insists on TLS says is all that tells it from others: no number does. */
static int negotiate_failed(const char *what, struct err *e)
{
	const char *words = nbd_get_error();
	int code = nbd_get_errno();

	if (code == ENOTSUP && words && strstr(words, "requires TLS"))
		return err_set(
			e, ENOTSUP,
			"the server requires TLS, which a proxy on this machine has to speak: "
			"see TLS in ublk-oci-target(7)");
	return err_set(e, code ? code : EIO, "%s: %s", what, words ? words : "no reason given");
}

static int negotiate_tcp(handle h, const char *address, struct err *e)
{
	char host[WIRE_ADDRESS_SIZE], *port, *name = host;
	size_t n;

	snprintf(host, sizeof(host), "%s", address);
	port = strrchr(host, ':');
	if (!port)
		return err_set(e, EINVAL, "the address has no port");
	*port++ = '\0';
	n = strlen(host);
	if (*host == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		name++;
	}
	return nbd_aio_connect_tcp(h, name, port) < 0 ? negotiate_failed("cannot connect", e) : 0;
}

static int negotiate_begin(handle h, const char *address, int *given, struct err *e)
{
	int r;

	if (given) {
		/* libnbd's from here on, whatever comes of it. */
		r = nbd_aio_connect_socket(h, fd_take(given));
		return r < 0 ? negotiate_failed("cannot use the socket", e) : 0;
	}
	if (!strncmp(address, NEGOTIATE_TCP, strlen(NEGOTIATE_TCP)))
		return negotiate_tcp(h, address + strlen(NEGOTIATE_TCP), e);
	if (strncmp(address, NEGOTIATE_UNIX, strlen(NEGOTIATE_UNIX)))
		return err_set(e, EINVAL, "the address is neither unix: nor tcp:");
	return nbd_aio_connect_unix(h, address + strlen(NEGOTIATE_UNIX)) < 0
		       ? negotiate_failed("cannot connect", e)
		       : 0;
}

static int negotiate_wait(handle h, int64_t deadline_ms, struct err *e)
{
	while (nbd_aio_is_ready(h) != 1) {
		int left_ms = clock_left_ms(deadline_ms);
		int r;

		if (nbd_aio_is_dead(h) == 1 || nbd_aio_is_closed(h) == 1)
			return negotiate_failed("cannot agree", e);
		if (left_ms <= 0)
			return err_set(e, ETIMEDOUT, "the server does not answer");
		r = nbd_poll(h, left_ms);
		if (r < 0)
			return negotiate_failed("cannot agree", e);
	}
	return 0;
}

static const struct {
	int (*can)(struct nbd_handle *h);
	uint32_t flag; /* enum start_nbd_flag */
} negotiate_flags[] = {
	{ nbd_is_read_only, START_NBD_READ_ONLY },
	{ nbd_can_flush, START_NBD_FLUSH },
	{ nbd_can_fua, START_NBD_FUA },
	{ nbd_can_trim, START_NBD_TRIM },
	{ nbd_can_zero, START_NBD_ZERO },
	{ nbd_can_multi_conn, START_NBD_MULTI },
	{ nbd_is_rotational, START_NBD_ROTATIONAL },
};

static uint32_t negotiate_block(handle h, int which)
{
	int64_t n = nbd_get_block_size(h, which);

	return n > 0 && n <= UINT32_MAX ? (uint32_t)n : 0;
}

static int negotiate_facts(handle h, struct connect_made *ret, struct err *e)
{
	int64_t bytes = nbd_get_size(h);

	if (bytes < 0)
		return negotiate_failed("cannot learn its size", e);
	*ret = (struct connect_made){
		.bytes = (uint64_t)bytes,
		.min_block_bytes = negotiate_block(h, LIBNBD_SIZE_MINIMUM),
		.preferred_block_bytes = negotiate_block(h, LIBNBD_SIZE_PREFERRED),
		.max_block_bytes = negotiate_block(h, LIBNBD_SIZE_MAXIMUM),
	};
	for (size_t i = 0; i < ARRAY_SIZE(negotiate_flags); i++) {
		int can = negotiate_flags[i].can(h);

		if (can < 0)
			return negotiate_failed("cannot learn what it can do", e);
		ret->flags |= can ? negotiate_flags[i].flag : 0;
	}
	return 0;
}

/*
 * What is no TCP socket has none of it. Our own kernel must never end a connection because nobody
 * answers: once somebody has read that error, the socket reads as one that the server has closed,
 * and who asks whether it has (CONNECT_END) is told what nobody knows. How long a server may be
 * silent is the worker's to count.
 */
static void negotiate_tune(int fd)
{
	static const struct {
		int level, option, value;
	} rows[] = {
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, NEGOTIATE_IDLE_S },
		{ IPPROTO_TCP, TCP_KEEPINTVL, NEGOTIATE_PROBE_S },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, NEGOTIATE_SILENCE_MS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		setsockopt(fd, rows[i].level, rows[i].option, &rows[i].value, sizeof(int));
}

/* A copy, which outlives libnbd's: to close a handle says nothing to the server. */
static int negotiate_take(handle h, int *ret_fd, struct err *e)
{
	auto_close int fd = fcntl(nbd_aio_get_fd(h), F_DUPFD_CLOEXEC, 0);
	int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);

	/* The worker's ring waits only on a socket that is not non-blocking. */
	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return err_sys(e, errno, "cannot take the socket");
	negotiate_tune(fd);
	*ret_fd = fd_take(&fd);
	return 0;
}

/* given: NULL or a socket that is connected. */
static int negotiate_one(struct connect_made *ret, int *ret_fd, const struct connect_make *ask,
			 int *given, int64_t deadline_ms, struct err *e)
{
	auto_handle handle h = nbd_create();
	int r;

	if (!h)
		return negotiate_failed("cannot begin", e);
	if (nbd_set_export_name(h, ask->export_name) < 0 ||
	    nbd_set_request_structured_replies(h, false) < 0 ||
	    nbd_set_tls(h, LIBNBD_TLS_DISABLE) < 0)
		return negotiate_failed("cannot begin", e);
	r = negotiate_begin(h, ask->address, given, e);
	if (r == 0)
		r = negotiate_wait(h, deadline_ms, e);
	if (r == 0)
		r = negotiate_facts(h, ret, e);
	return r < 0 ? r : negotiate_take(h, ret_fd, e);
}

static bool negotiate_same(const struct connect_made *a, const struct connect_made *b)
{
	return a->bytes == b->bytes && a->flags == b->flags &&
	       a->min_block_bytes == b->min_block_bytes && a->max_block_bytes == b->max_block_bytes;
}

int negotiate(struct negotiated *ret, const struct connect_make *ask, int *given,
	      unsigned int nr_given, struct err *e)
{
	int64_t deadline_ms = clock_deadline_ms((int)ask->timeout_ms);
	unsigned int want = nr_given ? nr_given : ask->nr_connections;
	struct connect_made facts;
	int r;

	for (unsigned int i = 0; i < want; i++) {
		r = negotiate_one(&facts, &ret->fds[i], ask, nr_given ? &given[i] : NULL,
				  deadline_ms, e);
		if (r < 0)
			return r;
		ret->nr++;
		if (!i)
			ret->facts = facts;
		else if (!negotiate_same(&facts, &ret->facts))
			return err_set(e, EPROTO, "the server's connections are not alike");
		/* What one connection flushes must be what the others wrote. */
		if (!(facts.flags & START_NBD_MULTI))
			break;
	}
	return 0;
}
