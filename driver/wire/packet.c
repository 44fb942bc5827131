/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/wire/packet.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "driver/base/clock.h"

#define PACKET_ENDS_MAX 2 /* that a peer which hung up shows before its last packets */

void packet_fini(struct packet *p)
{
	for (unsigned int i = 0; i < PACKET_FDS_MAX; i++)
		close_fdp(&p->fds[i]);
	p->nr_fds = 0;
}

/* Waits for events until the deadline; 0 or -ETIMEDOUT. */
static int packet_wait(int socket_fd, short events, int64_t deadline_ms)
{
	struct pollfd pfd = { .fd = socket_fd, .events = events };
	int r;

	do {
		r = poll(&pfd, 1, clock_left_ms(deadline_ms));
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return r ? 0 : -ETIMEDOUT;
}

union packet_control {
	char bytes[CMSG_SPACE(sizeof(int) * PACKET_FDS_MAX)];
	struct cmsghdr align;
};

int packet_send(int socket_fd, const void *bytes, size_t size, const int *fds, unsigned int nr_fds,
		int timeout_ms)
{
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = size };
	union packet_control control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int64_t deadline = clock_deadline_ms(timeout_ms);
	ssize_t n;
	int r;

	if (nr_fds > PACKET_FDS_MAX)
		return -EINVAL;
	if (nr_fds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nr_fds);
		CMSG_FIRSTHDR(&msg)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&msg)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&msg)->cmsg_len = CMSG_LEN(sizeof(int) * nr_fds);
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), fds, sizeof(int) * nr_fds);
	}
	for (;;) {
		n = sendmsg(socket_fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0)
			return (size_t)n == size ? 0 : -EMSGSIZE;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		r = packet_wait(socket_fd, POLLOUT, deadline);
		if (r < 0)
			return r;
	}
}

/* Moves the fds of a received message into p; more than fit are closed: -EMSGSIZE. */
static int packet_take_fds(struct packet *p, struct msghdr *msg)
{
	int r = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int fd;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (p->nr_fds < PACKET_FDS_MAX) {
				p->fds[p->nr_fds++] = fd;
			} else {
				close(fd);
				r = -EMSGSIZE;
			}
		}
	}
	return r;
}

/*
 * The size of the next packet, or -errno; -ECONNRESET: there is none any more. A peer that hung up
 * is told of up to twice before what it sent last: as an error, where it had not read all that was
 * sent to it; and as an end, where it sent and closed while the kernel looked here (an empty queue
 * and a closed peer are two looks). An empty packet is an end too.
 */
static ssize_t packet_next(int socket_fd, struct packet *p, struct msghdr *msg, int flags)
{
	ssize_t n;

	for (unsigned int nr_ends = 0; nr_ends <= PACKET_ENDS_MAX; nr_ends++) {
		msg->msg_controllen = sizeof(union packet_control);
		n = recvmsg(socket_fd, msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT | flags);
		if (n > 0)
			return n;
		if (n < 0 && errno != ECONNRESET)
			return nr_ends && errno == EAGAIN ? -ECONNRESET : -errno;
		if (n == 0) {
			packet_take_fds(p, msg);
			packet_fini(p);
		}
	}
	return -ECONNRESET;
}

static int packet_read(int socket_fd, struct packet *p, int flags, int timeout_ms)
{
	struct iovec iov = { .iov_base = p->bytes, .iov_len = sizeof(p->bytes) };
	union packet_control control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
	};
	int64_t deadline = clock_deadline_ms(timeout_ms);
	ssize_t n;
	int r;

	for (;;) {
		n = packet_next(socket_fd, p, &msg, flags);
		if (n >= 0)
			break;
		if (n != -EAGAIN && n != -EINTR)
			return (int)n;
		r = packet_wait(socket_fd, POLLIN, deadline);
		if (r < 0)
			return r;
	}
	r = packet_take_fds(p, &msg);
	if (r < 0 || msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		packet_fini(p);
		return -EMSGSIZE;
	}
	p->size = (size_t)n;
	return 0;
}

int packet_receive(int socket_fd, struct packet *p, int timeout_ms)
{
	return packet_read(socket_fd, p, 0, timeout_ms);
}

int packet_peek(int socket_fd, struct packet *p, int timeout_ms)
{
	return packet_read(socket_fd, p, MSG_PEEK, timeout_ms);
}
