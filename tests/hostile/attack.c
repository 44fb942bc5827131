/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker of the hostile suite: the product's, with this in the place of
 * sealed.c. It makes one attempt and ends with exit_group(errno of what was
 * refused), or 200 when nothing refused it.
 */
#include "tests/hostile/attack.h"

#include <liburing.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver/base/ublk_abi.h"
#include "driver/worker/ring.h"
#include "driver/worker/sealed.h"

#define ATTACK_SUCCEEDED 200

/* Numbers newer than the oldest headers this is built with. */
#define OP_FIXED_FD_INSTALL 54
#define PLAIN_FD 0 /* IOSQE flags */

static char attack_buffer[4096];

/* A call that comes back was not answered by SIGSYS. */
static _Noreturn void attack_end(long result)
{
	_exit(result < 0 ? (int)-result : ATTACK_SUCCEEDED);
}

/* --- system calls --------------------------------------------------------------------- */

static void attack_call(long number)
{
	static const char path[] = "/dev/null";
	static char *const none[] = { NULL };

	/* Arguments that would be valid for several of them, and harmless for all. */
	if (number == SYS_execve)
		syscall(number, path, none, none);
	else if (number == SYS_ptrace)
		syscall(number, 0, 0, 0, 0);
	else if (number == SYS_kill)
		syscall(number, 1, 0);
	else if (number == SYS_openat)
		syscall(number, -100, path, 0, 0);
	else
		syscall(number, 0, attack_buffer, 0, 0, 0, 0);
	attack_end(0);
}

/* --- ring operations -------------------------------------------------------------------- */

static _Noreturn void attack_submit(struct io_uring *u)
{
	struct io_uring_cqe *cqe = NULL;
	int r;

	r = io_uring_submit_and_wait(u, 1);
	if (r < 0)
		attack_end(r);
	r = io_uring_peek_cqe(u, &cqe);
	attack_end(r < 0 ? r : cqe->res);
}

static struct io_uring_sqe *attack_sqe(struct io_uring *u, unsigned int op, int file,
				       unsigned int flags)
{
	struct io_uring_sqe *sqe = ring_sqe(u, (enum ring_file)file, 0);

	sqe->opcode = (uint8_t)op;
	sqe->flags = (uint8_t)flags;
	sqe->addr = (uintptr_t)attack_buffer;
	sqe->len = 8;
	return sqe;
}

static void attack_ring(struct io_uring *u, unsigned int op)
{
	attack_sqe(u, op, RING_FILE_CHANNEL, IOSQE_FIXED_FILE);
	attack_submit(u);
}

static void attack_ring_write(struct io_uring *u, int file, unsigned int flags)
{
	attack_sqe(u, IORING_OP_WRITE, file, flags);
	attack_submit(u);
}

static void attack_ring_personality(struct io_uring *u, const struct start_spec *spec)
{
	attack_sqe(u, IORING_OP_WRITE, RING_FILE_CHANNEL, IOSQE_FIXED_FILE)->personality = 1;
	attack_submit(u);
}

static void attack_ring_command(struct io_uring *u, uint32_t cmd_op, uint16_t queue_id)
{
	struct ublksrv_io_cmd cmd = { .q_id = queue_id, .addr = (uintptr_t)attack_buffer };
	struct io_uring_sqe *sqe =
		attack_sqe(u, IORING_OP_URING_CMD, RING_FILE_CHAR, IOSQE_FIXED_FILE);

	sqe->addr = 0;
	sqe->len = 0;
	sqe->cmd_op = cmd_op;
	memcpy(sqe->cmd, &cmd, sizeof(cmd));
	attack_submit(u);
}

/* A permitted operation on the backing file. */
static void attack_ring_backing(struct io_uring *u, unsigned int op, uint64_t off, uint64_t addr,
				unsigned int buffer)
{
	struct io_uring_sqe *sqe = attack_sqe(u, op, RING_FILE_BACKING, IOSQE_FIXED_FILE);

	sqe->off = off;
	sqe->addr = addr;
	sqe->len = op == IORING_OP_FALLOCATE ? 0 : 8;
	sqe->buf_index = (uint16_t)buffer;
	attack_submit(u);
}

/* --- the table ---------------------------------------------------------------------------- */

#define CALL(name, number)                                                                         \
	static void attack_##name(struct io_uring *u, const struct start_spec *spec)               \
	{                                                                                          \
		attack_call(number);                                                               \
	}
#define RING(name, op)                                                                             \
	static void attack_ring_##name(struct io_uring *u, const struct start_spec *spec)          \
	{                                                                                          \
		attack_ring(u, op);                                                                \
	}
#define RING_WRITE(name, file, flags)                                                              \
	static void attack_ring_##name(struct io_uring *u, const struct start_spec *spec)          \
	{                                                                                          \
		attack_ring_write(u, file, flags);                                                 \
	}
#define RING_COMMAND(name, cmd_op, queue_id)                                                       \
	static void attack_ring_##name(struct io_uring *u, const struct start_spec *spec)          \
	{                                                                                          \
		attack_ring_command(u, cmd_op, queue_id);                                          \
	}

CALL(permitted_call, SYS_clock_gettime)
CALL(openat, SYS_openat)
CALL(openat2, SYS_openat2)
CALL(open_by_handle_at, SYS_open_by_handle_at)
CALL(socket, SYS_socket)
CALL(execve, SYS_execve)
CALL(execveat, SYS_execveat)
CALL(fork, SYS_clone)
CALL(clone3, SYS_clone3)
CALL(ptrace, SYS_ptrace)
CALL(process_vm_readv, SYS_process_vm_readv)
CALL(kill, SYS_kill)
CALL(pidfd_getfd, SYS_pidfd_getfd)
CALL(mount, SYS_mount)
CALL(unshare, SYS_unshare)
CALL(setns, SYS_setns)
CALL(setuid, SYS_setuid)
CALL(prctl, SYS_prctl)
CALL(bpf, SYS_bpf)
CALL(keyctl, SYS_keyctl)
CALL(userfaultfd, SYS_userfaultfd)
CALL(mmap, SYS_mmap)
CALL(mprotect, SYS_mprotect)
CALL(read, SYS_read)
CALL(write, SYS_write)
CALL(sendmsg, SYS_sendmsg)
CALL(ioctl, SYS_ioctl)
CALL(dup, SYS_dup)
CALL(exit_thread, SYS_exit)
CALL(io_uring_setup, SYS_io_uring_setup)
CALL(io_uring_register, SYS_io_uring_register)

/* The same kernel by two other doors: 32-bit and x32 system calls. */
static void attack_compat_call(struct io_uring *u, const struct start_spec *spec)
{
	long result = 0;

#ifdef __x86_64__
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory"); /* getpid */
#else
	syscall(SYS_getpid);
#endif
	attack_end(result);
}

static void attack_x32_call(struct io_uring *u, const struct start_spec *spec)
{
	attack_call(0x40000000 | SYS_getpid);
}

RING(openat, IORING_OP_OPENAT)
RING(openat2, IORING_OP_OPENAT2)
RING(socket, IORING_OP_SOCKET)
RING(connect, IORING_OP_CONNECT)
RING(accept, IORING_OP_ACCEPT)
RING(sendmsg, IORING_OP_SENDMSG)
RING(recvmsg, IORING_OP_RECVMSG)
RING(close, IORING_OP_CLOSE)
RING(read, IORING_OP_READ)
RING(fsync, IORING_OP_FSYNC)
RING(files_update, IORING_OP_FILES_UPDATE)
RING(provide_buffers, IORING_OP_PROVIDE_BUFFERS)
RING(msg_ring, IORING_OP_MSG_RING)
RING(fixed_fd_install, OP_FIXED_FD_INSTALL)
RING(unlinkat, IORING_OP_UNLINKAT)
RING(splice, IORING_OP_SPLICE)
RING(epoll_ctl, IORING_OP_EPOLL_CTL)
RING(madvise, IORING_OP_MADVISE)
RING(timeout, IORING_OP_TIMEOUT)
RING(nop, IORING_OP_NOP)
RING_WRITE(plain_fd, RING_FILE_CHANNEL, PLAIN_FD)
RING_WRITE(async_flag, RING_FILE_CHANNEL, IOSQE_FIXED_FILE | IOSQE_ASYNC)
RING_WRITE(link_flag, RING_FILE_CHANNEL, IOSQE_FIXED_FILE | IOSQE_IO_LINK)
RING_WRITE(absent_file, RING_FILE_BACKING + START_FILES_MAX, IOSQE_FIXED_FILE)
RING_WRITE(write_char_device, RING_FILE_CHAR, IOSQE_FIXED_FILE)
RING_COMMAND(control_command, UBLK_U_CMD_DEL_DEV, 0)
RING_COMMAND(fetch_foreign_queue, UBLK_U_IO_FETCH_REQ, START_QUEUES_MAX)
RING_COMMAND(commit_unfetched, UBLK_U_IO_COMMIT_AND_FETCH_REQ, 0)

static void attack_permitted_ring_write(struct io_uring *u, const struct start_spec *spec)
{
	static const struct start_step word = {
		.head = { START_MAGIC, START_VERSION, START_NONE, sizeof(word), 0 },
	};
	struct io_uring_sqe *sqe =
		attack_sqe(u, IORING_OP_WRITE, RING_FILE_CHANNEL, IOSQE_FIXED_FILE);

	sqe->addr = (uintptr_t)&word;
	sqe->len = sizeof(word);
	attack_submit(u);
}

static void attack_ring_write_behind_end(struct io_uring *u, const struct start_spec *spec)
{
	attack_ring_backing(u, IORING_OP_WRITE, spec->dev_bytes, (uintptr_t)attack_buffer, 0);
}

static void attack_ring_grow_backing(struct io_uring *u, const struct start_spec *spec)
{
	attack_ring_backing(u, IORING_OP_FALLOCATE, spec->dev_bytes, 4096, 0);
}

static void attack_ring_absent_buffer(struct io_uring *u, const struct start_spec *spec)
{
	attack_ring_backing(u, IORING_OP_READ_FIXED, 0, (uintptr_t)attack_buffer, START_QUEUES_MAX);
}

static void attack_ring_foreign_memory(struct io_uring *u, const struct start_spec *spec)
{
	attack_ring_backing(u, IORING_OP_READ_FIXED, 0, (uintptr_t)attack_buffer, 0);
}

#define ATTACK_ROW(name, end) attack_##name,
static void (*const attacks[])(struct io_uring *u,
			       const struct start_spec *spec) = { ATTACKS(ATTACK_ROW) };

void worker_sealed(struct io_uring *u, const struct start_spec *spec)
{
	uint64_t i = spec->dev_bytes / ATTACK_UNIT_BYTES - 1;

	if (i < ATTACKS_COUNT)
		attacks[i](u, spec);
	_exit(ATTACK_SUCCEEDED);
}
