/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes with any number of fds as a packet. The first byte of the input
 * says how many fds come with it, the second how often it is sent; the rest is
 * the packet. It arrives whole or not at all, and no fd is left open. Empty
 * ones are an end, all of them together one.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/wire/packet.h"
#include "tests/fuzz/fuzz.h"

#define SEND_FDS_MAX 16
#define SEND_TIMES_MAX 3 /* what a receive takes as one end */

static_assert(PACKET_SIZE_MAX == 3072, "mend seeds.py");

/* As a stranger sends it: not limited to what packet_send() would do. */
static void send_raw(int socket_fd, const uint8_t *bytes, size_t size, unsigned int nr_fds)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * SEND_FDS_MAX)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[SEND_FDS_MAX];

	if (nr_fds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nr_fds);
		CMSG_FIRSTHDR(&msg)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&msg)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&msg)->cmsg_len = CMSG_LEN(sizeof(int) * nr_fds);
		for (unsigned int i = 0; i < nr_fds; i++)
			fds[i] = socket_fd;
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), fds, sizeof(int) * nr_fds);
	}
	must(sendmsg(socket_fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size);
}

/* What the receive with this number says of a packet of which SEND_TIMES_MAX at most were sent. */
static int expected_of(size_t size, unsigned int nr_fds, unsigned int number)
{
	if (!size)
		return number ? -ETIMEDOUT : -ECONNRESET;
	return size > PACKET_SIZE_MAX || nr_fds > PACKET_FDS_MAX ? -EMSGSIZE : 0;
}

static void receive_one(int socket_fd, const uint8_t *bytes, size_t size, unsigned int nr_fds,
			unsigned int number)
{
	auto_packet struct packet p = PACKET_INIT;
	int r = packet_receive(socket_fd, &p, 0);

	must(r == expected_of(size, nr_fds, number));
	if (r < 0)
		return;
	must(p.size == size && !memcmp(p.bytes, bytes, size) && p.nr_fds == nr_fds);
	for (unsigned int i = 0; i < nr_fds; i++)
		must(fcntl(p.fds[i], F_GETFD) == FD_CLOEXEC);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	unsigned int nr_fds, times;
	uint64_t before = open_fds();
	int sockets[2];

	if (size < 2 || size > 4096)
		return 0;
	nr_fds = bytes[0] % (SEND_FDS_MAX + 1);
	times = 1 + bytes[1] % SEND_TIMES_MAX;
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
	for (unsigned int i = 0; i < times; i++)
		send_raw(sockets[0], bytes + 2, size - 2, nr_fds);
	for (unsigned int i = 0; i < times; i++)
		receive_one(sockets[1], bytes + 2, size - 2, nr_fds, i);
	close(sockets[0]);
	close(sockets[1]);
	must(open_fds() == before);
	return 0;
}
