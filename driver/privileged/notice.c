/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/notice.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/privileged/keep.h"
#include "driver/privileged/server.h"
#include "driver/wire/notice.h"
#include "driver/wire/stats.h"

/* A worker that sends without end costs a turn of the loop now and then. */
#define NOTICE_TURN 8
#define NOTICE_PAUSE_MS 100

static const struct sockaddr_un notice_address = {
	.sun_family = AF_UNIX,
	.sun_path = NOTICE_SOCKET,
};

/* --- the socket ---------------------------------------------------------------------- */

static int notice_socket(int *ret_fd, struct err *e)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_sys(e, errno, "cannot make a socket for workers' notices");
	*ret_fd = fd;
	return 0;
}

/* Root's only: workers get theirs connected. */
static int notice_make(int *ret_fd, struct err *e)
{
	auto_close int fd = -1;
	const int on = 1;
	int r;

	r = notice_socket(&fd, e);
	if (r < 0)
		return r;
	unlink(NOTICE_SOCKET);
	if (bind(fd, (const struct sockaddr *)&notice_address, sizeof(notice_address)) < 0 ||
	    chmod(NOTICE_SOCKET, 0600) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return err_sys(e, errno, "cannot make " NOTICE_SOCKET);
	*ret_fd = fd_take(&fd);
	return 0;
}

static bool notice_option_is(int fd, int option, int wanted)
{
	int value = 0;
	socklen_t size = sizeof(value);

	return !getsockopt(fd, SOL_SOCKET, option, &value, &size) && value == wanted;
}

/* The keeper has no rights and is not believed. To close what it is not might wait: it stays open.
 */
static bool notice_is_socket(int fd)
{
	return notice_option_is(fd, SO_DOMAIN, AF_UNIX) &&
	       notice_option_is(fd, SO_TYPE, SOCK_DGRAM) && notice_option_is(fd, SO_PASSCRED, 1);
}

int notice_open(int *ret_fd, struct err *e)
{
	auto_close int made = -1;
	int kept, r;

	if (keep_get_notices(&kept, e) == 0 && notice_is_socket(kept)) {
		*ret_fd = kept;
		return 0;
	}
	r = notice_make(&made, e);
	if (r < 0)
		return r;
	*ret_fd = fd_take(&made);
	/* Without a keeper the next helper hears new workers only. */
	r = keep_put_notices(*ret_fd, e);
	return r == -ENOTCONN ? 0 : r;
}

int notice_connect(int *ret_fd, struct err *e)
{
	int r;

	r = notice_socket(ret_fd, e);
	if (r < 0)
		return r;
	if (connect(*ret_fd, (const struct sockaddr *)&notice_address, sizeof(notice_address)) < 0)
		log_warning("cannot connect to " NOTICE_SOCKET ": %s", strerror(errno));
	/* Nobody can send it anything, whatever name it may come to have. */
	if (shutdown(*ret_fd, SHUT_RD) < 0)
		return err_sys(e, errno, "cannot close one way of a socket");
	return 0;
}

/* --- the line --------------------------------------------------------------------------- */

static const char *const notice_ops[STATS_OP_END] = {
	[STATS_READ] = "read",
	[STATS_WRITE] = "write",
	[STATS_FLUSH] = "flush",
	[STATS_DISCARD] = "discard",
};

static const struct {
	int error;
	const char *words;
} notice_causes[] = {
	{ ENOSPC, "No space left on device: what is behind it is full" },
	{ EDQUOT, "Disk quota exceeded: of whom its backing file belongs to" },
	{ ENXIO, "its backing file ends before that: it got shorter" },
	{ EIO, "Input/output error: what is behind it fails" },
};

static const char *notice_cause(int error)
{
	for (size_t i = 0; i < ARRAY_SIZE(notice_causes); i++) {
		if (notice_causes[i].error == error)
			return notice_causes[i].words;
	}
	return strerror(error);
}

static bool notice_possible(const struct record *rec, const struct notice *m)
{
	return m->magic == NOTICE_MAGIC && m->op < STATS_OP_END && notice_ops[m->op] && m->error &&
	       m->error <= NOTICE_ERROR_MAX && m->off <= rec->size_bytes &&
	       m->len <= rec->size_bytes - m->off;
}

bool notice_line(struct device *d, const void *bytes, size_t size, int64_t now_ms, char *text,
		 size_t text_size)
{
	const struct record *rec = &d->rec;
	struct notice m;

	if (size != sizeof(m))
		return false;
	memcpy(&m, bytes, sizeof(m));
	if (!notice_possible(rec, &m) || !notice_due(&d->said, m.error, now_ms))
		return false;
	snprintf(text, text_size,
		 "ublkb%u: %s of %" PRIu64 " bytes at %" PRIu64 " fails: %s; the next ones are "
		 "counted, see ublk-oci stats ublkb%u",
		 rec->dev_id, notice_ops[m.op], m.len, m.off, notice_cause(m.error), rec->dev_id);
	return true;
}

/* --- hearing ------------------------------------------------------------------------------ */

static struct device *notice_device(const struct registry *reg, const struct ucred *who)
{
	for (size_t i = 0; i < reg->nr_devices; i++) {
		const struct record *rec = &reg->devices[i]->rec;

		if (rec->worker_pid == who->pid && rec->worker_uid == who->uid)
			return reg->devices[i];
	}
	return NULL;
}

/* False: there is nothing more. */
static bool notice_receive(struct server *s)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred))];
	char bytes[sizeof(struct notice) + 1], text[256];
	struct iovec part = { bytes, sizeof(bytes) };
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t size = recvmsg(s->helper->notices_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	struct device *d;
	struct ucred who;

	if (size < 0)
		return false;
	if (!head || head->cmsg_type != SCM_CREDENTIALS || head->cmsg_len != CMSG_LEN(sizeof(who)))
		return true;
	memcpy(&who, CMSG_DATA(head), sizeof(who));
	d = notice_device(s->registry, &who);
	if (d && notice_line(d, bytes, (size_t)size, clock_now_ms(), text, sizeof(text)))
		log_error("%s", text);
	return true;
}

void notice_begin(struct server *s)
{
	s->notices_ms = 0;
	if (s->helper->notices_fd >= 0)
		server_watch(s, s->helper->notices_fd, SERVER_NOTICE, 0, EPOLLONESHOT);
}

void notice_hear(struct server *s)
{
	unsigned int n = 0;

	while (n < NOTICE_TURN && notice_receive(s))
		n++;
	s->notices_ms = clock_now_ms() + NOTICE_PAUSE_MS;
}

void notice_retry(struct server *s, int64_t now_ms)
{
	if (s->notices_ms && s->notices_ms <= now_ms)
		notice_begin(s);
}
