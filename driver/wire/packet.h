/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One packet with file descriptors on a SEQPACKET socket. Received fds are
 * close-on-exec and owned by the packet; take them out with fd_take().
 */
#pragma once

#include <stddef.h>

#include "driver/base/cleanup.h"

#define PACKET_SIZE_MAX 3072
#define PACKET_FDS_MAX 4

struct packet {
	_Alignas(8) unsigned char bytes[PACKET_SIZE_MAX];
	size_t size; /* bytes received */
	int fds[PACKET_FDS_MAX];
	unsigned int nr_fds;
};

#define PACKET_INIT                                                                                \
	{                                                                                          \
		.fds = { -1, -1, -1, -1 }                                                          \
	}

void packet_fini(struct packet *p);
#define auto_packet cleanup_with(packet_fini)

/*
 * Sends size bytes and nr_fds descriptors (borrowed) as one packet; waits at
 * most timeout_ms for room. 0, -EPIPE, -ETIMEDOUT or another -errno.
 */
int packet_send(int socket_fd, const void *bytes, size_t size, const int *fds, unsigned int nr_fds,
		int timeout_ms);

/*
 * Receives one packet into an initialised p, waiting at most timeout_ms.
 * 0; -ECONNRESET at the other end's close; -ETIMEDOUT; -EMSGSIZE when the
 * packet or its fds did not fit (all fds of it are closed then).
 */
int packet_receive(int socket_fd, struct packet *p, int timeout_ms);

/* The same, and leaves the packet where it is; its fds are copies. */
int packet_peek(int socket_fd, struct packet *p, int timeout_ms);
