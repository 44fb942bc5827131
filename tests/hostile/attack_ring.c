/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts by operations of the worker's own ring. */
#include "tests/hostile/attacker.h"

#include <linux/falloc.h>
#include <string.h>
#include <sys/socket.h>

#include "driver/base/ublk_abi.h"
#include "targets/catalog.h"

/* Numbers newer than the oldest headers this is built with. */
#define OP_FIXED_FD_INSTALL 54
#define OPS_MAX 256
#define OPS_KNOWN 58 /* of the oldest kernel this is for */
#define IO_REGISTER_PAGES _IOWR('u', 0x23, struct ublksrv_io_cmd)

#define ENDLESS_REQUESTS 1200000

void attack_ring_openat2(struct io_uring *u, const struct start_spec *spec)
{
	struct io_uring_sqe *sqe = attack_sqe(u, IORING_OP_OPENAT2, HERE, 0);

	sqe->addr = (uintptr_t) "/";
	sqe->off = (uintptr_t)how_read;
	sqe->len = sizeof(how_read);
	attack_submit(u);
}

void attack_ring_socket(struct io_uring *u, const struct start_spec *spec)
{
	struct io_uring_sqe *sqe = attack_sqe(u, IORING_OP_SOCKET, AF_INET, 0);

	sqe->addr = 0;
	sqe->off = SOCK_STREAM;
	sqe->len = 0;
	attack_submit(u);
}

static void attack_ring(struct io_uring *u, unsigned int op, int file, unsigned int flags)
{
	attack_sqe(u, op, file, flags);
	attack_submit(u);
}

void attack_ring_personality(struct io_uring *u, const struct start_spec *spec)
{
	attack_sqe(u, IORING_OP_SEND, RING_FILE_CHANNEL, IOSQE_FIXED_FILE)->personality = 1;
	attack_submit(u);
}

void attack_ring_send_to_name(struct io_uring *u, const struct start_spec *spec)
{
	attack_send_to_name(u, RING_FILE_NOTICES);
}

static bool attack_is_permitted(unsigned int op, const struct start_spec *spec)
{
	static const uint8_t with_server[] = {
		IORING_OP_URING_CMD,
		IORING_OP_SEND,
		IORING_OP_RECV,
		IORING_OP_TIMEOUT,
	};

	/* Those of a memory target that may free space, and the worker's own two. */
	static const uint8_t permitted[] = {
		IORING_OP_URING_CMD,   IORING_OP_SEND,	    IORING_OP_READ_FIXED,
		IORING_OP_WRITE_FIXED, IORING_OP_FALLOCATE,
	};

	return spec->target == TARGET_NBD ? memchr(with_server, (int)op, sizeof(with_server))
					  : memchr(permitted, (int)op, sizeof(permitted));
}

/* The kernel says EINVAL to operations it does not have, which are the last ones. */
void attack_ring_every_operation(struct io_uring *u, const struct start_spec *spec)
{
	unsigned int known = 0;

	for (unsigned int op = 0; op < OPS_MAX; op++) {
		long result = -EACCES;

		if (!attack_is_permitted(op, spec)) {
			attack_sqe(u, op, RING_FILE_CHANNEL, IOSQE_FIXED_FILE);
			result = attack_answer(u);
		}
		if (result == -EACCES && known == op)
			known++;
		else if (result != -EINVAL)
			attack_end(u, 0);
	}
	attack_end(u, known < OPS_KNOWN ? 0 : -EACCES);
}

void attack_ring_every_flag(struct io_uring *u, const struct start_spec *spec)
{
	/* Links, and leaving out their completions, some devices need. */
	static const uint8_t flags[] = { IOSQE_IO_DRAIN, IOSQE_IO_HARDLINK, IOSQE_ASYNC };
	long result = -EACCES;

	for (size_t i = 0; i < sizeof(flags) && result == -EACCES; i++) {
		attack_sqe(u, IORING_OP_SEND, RING_FILE_CHANNEL, IOSQE_FIXED_FILE | flags[i]);
		result = attack_answer(u);
	}
	attack_end(u, result);
}

static long attack_command(struct io_uring *u, int file, uint32_t cmd_op, uint16_t queue_id,
			   uint16_t tag)
{
	struct ublksrv_io_cmd cmd = {
		.q_id = queue_id,
		.tag = tag,
		.addr = (uintptr_t)attack_buffer,
	};
	struct io_uring_sqe *sqe = attack_sqe(u, IORING_OP_URING_CMD, file, IOSQE_FIXED_FILE);

	sqe->addr = 0;
	sqe->len = 0;
	sqe->cmd_op = cmd_op;
	memcpy(sqe->cmd, &cmd, sizeof(cmd));
	return attack_answer(u);
}

void attack_ring_every_control_command(struct io_uring *u, const struct start_spec *spec)
{
	static const uint32_t commands[] = {
		UBLK_U_CMD_GET_DEV_INFO, UBLK_U_CMD_ADD_DEV,	  UBLK_U_CMD_DEL_DEV,
		UBLK_U_CMD_START_DEV,	 UBLK_U_CMD_STOP_DEV,	  UBLK_U_CMD_SET_PARAMS,
		UBLK_U_CMD_GET_PARAMS,	 UBLK_U_CMD_GET_FEATURES, UBLK_U_CMD_DEL_DEV_ASYNC,
	};
	long result = -EINVAL;

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]) && result == -EINVAL; i++)
		result = attack_command(u, RING_FILE_CHAR, commands[i], 0, 0);
	attack_end(u, result);
}

/* A transfer with a registered buffer, as the data path does it. */
static void attack_transfer(struct io_uring *u, unsigned int op, int file, uint64_t off,
			    const void *addr, unsigned int buffer)
{
	struct io_uring_sqe *sqe = attack_sqe(u, op, file, IOSQE_FIXED_FILE);

	sqe->off = off;
	sqe->addr = (uintptr_t)addr;
	sqe->buf_index = (uint16_t)buffer;
	attack_submit(u);
}

static void attack_fallocate(struct io_uring *u, uint64_t off, unsigned int mode)
{
	struct io_uring_sqe *sqe =
		attack_sqe(u, IORING_OP_FALLOCATE, RING_FILE_BACKING, IOSQE_FIXED_FILE);

	sqe->off = off;
	sqe->addr = 4096; /* its length */
	sqe->len = mode;
	attack_submit(u);
}

#define RING(name, op, file, flags)                                                                \
	void attack_ring_##name(struct io_uring *u, const struct start_spec *spec)                 \
	{                                                                                          \
		attack_ring(u, op, file, flags);                                                   \
	}
#define RING_FIXED(name, op) RING(name, op, RING_FILE_CHANNEL, IOSQE_FIXED_FILE)
#define RING_RECEIVE(name, op)                                                                     \
	void attack_ring_##name(struct io_uring *u, const struct start_spec *spec)                 \
	{                                                                                          \
		attack_sqe(u, op, RING_FILE_CHANNEL, IOSQE_FIXED_FILE)->msg_flags = MSG_DONTWAIT;  \
		attack_submit(u);                                                                  \
	}
#define RING_SEND(name, file, flags) RING(name, IORING_OP_SEND, file, flags)
#define RING_PATH(name, op, path, flags)                                                           \
	void attack_ring_##name(struct io_uring *u, const struct start_spec *spec)                 \
	{                                                                                          \
		attack_path(u, op, path, flags);                                                   \
	}
#define RING_COMMAND(name, file, cmd_op, queue_id, tag)                                            \
	void attack_ring_##name(struct io_uring *u, const struct start_spec *spec)                 \
	{                                                                                          \
		attack_end(u, attack_command(u, file, cmd_op, queue_id, tag));                     \
	}
#define RING_TRANSFER(name, ...)                                                                   \
	void attack_ring_##name(struct io_uring *u, const struct start_spec *spec)                 \
	{                                                                                          \
		attack_transfer(u, __VA_ARGS__);                                                   \
	}
#define RING_FALLOCATE(name, off, mode)                                                            \
	void attack_ring_##name(struct io_uring *u, const struct start_spec *spec)                 \
	{                                                                                          \
		attack_fallocate(u, off, mode);                                                    \
	}

RING_PATH(openat, IORING_OP_OPENAT, "/etc/shadow", O_RDONLY)
RING_PATH(process_memory, IORING_OP_OPENAT, "/proc/1/mem", O_RDWR)
RING_PATH(cgroup, IORING_OP_OPENAT, "/sys/fs/cgroup/cgroup.procs", O_WRONLY)
RING_PATH(statx, IORING_OP_STATX, "/etc/passwd", 0)
RING_PATH(unlinkat, IORING_OP_UNLINKAT, "/etc/passwd", 0)
RING_PATH(mkdirat, IORING_OP_MKDIRAT, "directory", 0)
RING_FIXED(connect, IORING_OP_CONNECT)
RING_FIXED(accept, IORING_OP_ACCEPT)
RING_FIXED(sendmsg, IORING_OP_SENDMSG)
RING_RECEIVE(recvmsg, IORING_OP_RECVMSG)
RING_RECEIVE(recv, IORING_OP_RECV)
RING_FIXED(shutdown, IORING_OP_SHUTDOWN)
RING(close, IORING_OP_CLOSE, 0, 0)
RING(read, IORING_OP_READ, RING_FILE_BACKING, IOSQE_FIXED_FILE)
RING(fsync, IORING_OP_FSYNC, RING_FILE_BACKING, IOSQE_FIXED_FILE)
RING(files_update, IORING_OP_FILES_UPDATE, 0, 0)
RING(provide_buffers, IORING_OP_PROVIDE_BUFFERS, 1, 0)
RING_FIXED(msg_ring, IORING_OP_MSG_RING)
RING(fixed_fd_install, OP_FIXED_FD_INSTALL, RING_FILE_BACKING, IOSQE_FIXED_FILE)
RING_FIXED(splice, IORING_OP_SPLICE)
RING(epoll_ctl, IORING_OP_EPOLL_CTL, 0, 0)
RING(madvise, IORING_OP_MADVISE, 0, 0)
RING(timeout, IORING_OP_TIMEOUT, 0, 0)
RING(nop, IORING_OP_NOP, 0, 0)
RING_FIXED(write, IORING_OP_WRITE)
RING_SEND(plain_fd, RING_FILE_CHANNEL, 0)
RING_SEND(async_flag, RING_FILE_CHANNEL, IOSQE_FIXED_FILE | IOSQE_ASYNC)
RING_SEND(hardlink_flag, RING_FILE_CHANNEL, IOSQE_FIXED_FILE | IOSQE_IO_HARDLINK)
RING_SEND(absent_file, RING_FILE_BACKING + START_FILES_MAX, IOSQE_FIXED_FILE)
RING_SEND(send_backing, RING_FILE_BACKING, IOSQE_FIXED_FILE)
RING_COMMAND(control_command, RING_FILE_CHAR, UBLK_U_CMD_DEL_DEV, 0, 0)
RING_COMMAND(command_backing, RING_FILE_BACKING, UBLK_U_CMD_DEL_DEV, 0, 0)
RING_COMMAND(fetch_foreign_queue, RING_FILE_CHAR, UBLK_U_IO_FETCH_REQ, START_QUEUES_MAX, 0)
RING_COMMAND(fetch_foreign_tag, RING_FILE_CHAR, UBLK_U_IO_FETCH_REQ, 0, START_DEPTH_MAX)
RING_COMMAND(commit_unfetched, RING_FILE_CHAR, UBLK_U_IO_COMMIT_AND_FETCH_REQ, 0, 0)
RING_COMMAND(register_pages, RING_FILE_CHAR, IO_REGISTER_PAGES, 0, 0)
RING_COMMAND(command_channel, RING_FILE_CHANNEL, 0 /* SOCKET_URING_OP_SIOCINQ */, 0, 0)
RING_TRANSFER(permitted_read, IORING_OP_READ_FIXED, RING_FILE_BACKING, 0, own_buffers, 0)
RING_TRANSFER(write_char_device, IORING_OP_WRITE_FIXED, RING_FILE_CHAR, 0, own_buffers, 0)
RING_TRANSFER(read_char_device, IORING_OP_READ_FIXED, RING_FILE_CHAR, 0, own_buffers, 0)
RING_TRANSFER(write_behind_end, IORING_OP_WRITE_FIXED, RING_FILE_BACKING, spec->dev_bytes,
	      own_buffers, 0)
RING_TRANSFER(write_far_behind_end, IORING_OP_WRITE_FIXED, RING_FILE_BACKING, 1ULL << 40,
	      own_buffers, 0)
RING_TRANSFER(write_negative, IORING_OP_WRITE_FIXED, RING_FILE_BACKING, 1ULL << 63, own_buffers, 0)
RING_TRANSFER(absent_buffer, IORING_OP_READ_FIXED, RING_FILE_BACKING, 0, own_buffers,
	      START_QUEUES_MAX)
RING_TRANSFER(foreign_memory, IORING_OP_READ_FIXED, RING_FILE_BACKING, 0, attack_buffer, 0)
RING_TRANSFER(kernel_memory, IORING_OP_READ_FIXED, RING_FILE_BACKING, 0, (void *)KERNEL_MEMORY, 0)
RING_FALLOCATE(permitted_punch, 0, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)
RING_FALLOCATE(grow_backing, spec->dev_bytes, 0)
RING_FALLOCATE(grow_keep_size, spec->dev_bytes, FALLOC_FL_KEEP_SIZE)

void attack_ring_permitted_word(struct io_uring *u, const struct start_spec *spec)
{
	static const struct start_step word = {
		.head = { START_MAGIC, START_VERSION, START_NONE, sizeof(word), 0 },
	};
	struct io_uring_sqe *sqe =
		attack_sqe(u, IORING_OP_SEND, RING_FILE_CHANNEL, IOSQE_FIXED_FILE);

	sqe->addr = (uintptr_t)&word;
	sqe->len = sizeof(word);
	attack_submit(u);
}

/*
 * The helper says nothing more, so these wait for ever, and each takes memory
 * of the kernel. A ring does not count them.
 */
void attack_ring_endless_requests(struct io_uring *u, const struct start_spec *spec)
{
	int r = 0;

	for (unsigned int n = 0; n < ENDLESS_REQUESTS && r >= 0;) {
		for (; io_uring_sq_space_left(u); n++) {
			struct io_uring_sqe *sqe = attack_sqe(u, IORING_OP_READ_FIXED,
							      RING_FILE_CHANNEL, IOSQE_FIXED_FILE);

			sqe->addr = (uintptr_t)own_buffers;
		}
		r = io_uring_submit(u);
		if (r >= 0 && io_uring_cq_ready(u))
			attack_submit(u);
	}
	attack_end(u, r);
}
