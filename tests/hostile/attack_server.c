/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts by the ring of a worker that has a server. */
#include "tests/hostile/attacker.h"

#include <sys/socket.h>

#define SERVER(name, op, file, flags)                                                              \
	void attack_server_##name(struct io_uring *u, const struct start_spec *spec)               \
	{                                                                                          \
		attack_sqe(u, op, file, flags)->msg_flags = MSG_DONTWAIT;                          \
		attack_submit(u);                                                                  \
	}
#define SERVER_OP(name, op) SERVER(name, op, RING_FILE_BACKING, IOSQE_FIXED_FILE)
#define SERVER_RECV(name, file, flags) SERVER(name, IORING_OP_RECV, file, flags)
#define SERVER_MEMORY(name, op)                                                                    \
	void attack_server_##name(struct io_uring *u, const struct start_spec *spec)               \
	{                                                                                          \
		struct io_uring_sqe *sqe = attack_sqe(u, op, RING_FILE_BACKING, IOSQE_FIXED_FILE); \
                                                                                                   \
		sqe->msg_flags = MSG_DONTWAIT;                                                     \
		sqe->addr = KERNEL_MEMORY;                                                         \
		attack_submit(u);                                                                  \
	}

SERVER_OP(permitted_send, IORING_OP_SEND)
SERVER_OP(permitted_recv, IORING_OP_RECV)
SERVER_RECV(recv_channel, RING_FILE_CHANNEL, IOSQE_FIXED_FILE)
SERVER_RECV(recv_notices, RING_FILE_NOTICES, IOSQE_FIXED_FILE)
SERVER_RECV(recv_char_device, RING_FILE_CHAR, IOSQE_FIXED_FILE)
SERVER_RECV(recv_absent_file, RING_FILE_BACKING + START_FILES_MAX, IOSQE_FIXED_FILE)
SERVER_RECV(recv_plain_fd, RING_FILE_BACKING, 0)
SERVER_RECV(recv_buffer_select, RING_FILE_BACKING, IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT)
SERVER_RECV(recv_async_flag, RING_FILE_BACKING, IOSQE_FIXED_FILE | IOSQE_ASYNC)
SERVER_MEMORY(recv_kernel_memory, IORING_OP_RECV)
SERVER_MEMORY(send_kernel_memory, IORING_OP_SEND)
SERVER_OP(recvmsg, IORING_OP_RECVMSG)
SERVER_OP(sendmsg, IORING_OP_SENDMSG)
SERVER_OP(socket, IORING_OP_SOCKET)
SERVER_OP(connect, IORING_OP_CONNECT)
SERVER_OP(shutdown, IORING_OP_SHUTDOWN)
SERVER_OP(read, IORING_OP_READ)
SERVER_OP(cancel, IORING_OP_ASYNC_CANCEL)
SERVER_OP(timeout_linked, IORING_OP_LINK_TIMEOUT)

void attack_server_openat(struct io_uring *u, const struct start_spec *spec)
{
	attack_path(u, IORING_OP_OPENAT, "/etc/shadow", O_RDONLY);
}

void attack_server_send_to_name(struct io_uring *u, const struct start_spec *spec)
{
	attack_send_to_name(u, RING_FILE_BACKING);
}

static void attack_timeout(struct io_uring *u, uintptr_t time)
{
	struct io_uring_sqe *sqe =
		attack_sqe(u, IORING_OP_TIMEOUT, RING_FILE_CHANNEL, IOSQE_FIXED_FILE);

	sqe->addr = time;
	sqe->len = 1;
	attack_submit(u);
}

void attack_server_permitted_timeout(struct io_uring *u, const struct start_spec *spec)
{
	static const struct __kernel_timespec moment = { .tv_nsec = 1000000 };

	attack_timeout(u, (uintptr_t)&moment);
}

void attack_server_timeout_kernel_memory(struct io_uring *u, const struct start_spec *spec)
{
	attack_timeout(u, KERNEL_MEMORY);
}

void attack_server_every_operation(struct io_uring *u, const struct start_spec *spec)
{
	attack_ring_every_operation(u, spec);
}
