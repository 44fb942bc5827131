/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker of the hostile suite: the product's, with this in the place of
 * sealed.c. It makes one attempt and ends with exit_group(errno of what was
 * refused), or 200 when nothing refused it. Every attempt is meant: what
 * stops it is the sandbox, not a wrong argument.
 */
#include "tests/hostile/attack.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <liburing.h>

#include "driver/base/ublk_abi.h"
#include "driver/worker/queue.h"
#include "driver/worker/ring.h"
#include "driver/worker/sealed.h"
#include "targets/catalog.h"

#define ATTACK_SUCCEEDED 200

/* Numbers newer than the oldest headers this is built with. */
#define OP_FIXED_FD_INSTALL 54
#define OPS_MAX 256
#define OPS_KNOWN 58 /* of the oldest kernel this is for */
#define REGISTER_WITHOUT_RING (-1)
#define REGISTER_BY_INDEX (1U << 31)
#define IO_REGISTER_PAGES _IOWR('u', 0x23, struct ublksrv_io_cmd)

#define ENDLESS_REQUESTS 1200000
#define STACK_PAGES (1U << 18) /* 1 GiB */

static char attack_buffer[4096];
static const void *own_buffers; /* of the first queue of the attacker's ring: as buffer 0 */

int __real_queue_init(struct queue *q, uint16_t id, const struct start_spec *spec,
		      struct io_uring *uring, struct target *target, struct err *e);
int __wrap_queue_init(struct queue *q, uint16_t id, const struct start_spec *spec,
		      struct io_uring *uring, struct target *target, struct err *e);

/* The linker's --wrap: this is called for it, and remembers where the buffers are. */
int __wrap_queue_init(struct queue *q, uint16_t id, const struct start_spec *spec,
		      struct io_uring *uring, struct target *target, struct err *e)
{
	int r = __real_queue_init(q, id, spec, uring, target, e);

	if (!q->index)
		own_buffers = q->buffers;
	return r;
}

/*
 * A call that comes back was not answered by SIGSYS. The helper, if there is
 * one, reads the same in its log.
 */
static _Noreturn void attack_end(struct io_uring *u, long result)
{
	static struct start_failed m = {
		.head = { START_MAGIC, START_VERSION, START_FAILED, sizeof(m), 0 },
	};
	int status = result < 0 ? (int)-result : ATTACK_SUCCEEDED;

	m.code = -status;
	snprintf(m.reason, sizeof(m.reason), "status %d", status);
	if (io_uring_sq_space_left(u)) {
		ring_say(u, &m, sizeof(m));
		io_uring_submit_and_wait(u, 1); /* some attempts leave a ring that is slow */
	}
	_exit(status);
}

static long attack_result(long result)
{
	return result < 0 ? -errno : result;
}

/* --- system calls --------------------------------------------------------------------- */

#define CALL(name, ...)                                                                            \
	static void attack_##name(struct io_uring *u, const struct start_spec *spec)               \
	{                                                                                          \
		attack_end(u, attack_result(syscall(__VA_ARGS__)));                                \
	}

/* Where there would be a second process, the attempt is the first one's. */
#define CALL_FORK(name, ...)                                                                       \
	static void attack_##name(struct io_uring *u, const struct start_spec *spec)               \
	{                                                                                          \
		long pid = syscall(__VA_ARGS__);                                                   \
                                                                                                   \
		if (!pid)                                                                          \
			_exit(0);                                                                  \
		attack_end(u, attack_result(pid));                                                 \
	}

#define HERE AT_FDCWD
#define BUFFER attack_buffer, sizeof(attack_buffer)

static char *const no_strings[] = { NULL };
static const struct rlimit no_limit = { RLIM_INFINITY, RLIM_INFINITY };
static const struct sockaddr_un helper_address = { AF_UNIX, "/run/ublk-oci/helper.sock" };
static const struct iovec attack_iovec = { BUFFER };
static const struct msghdr attack_message = { .msg_iov = (struct iovec *)&attack_iovec,
					      .msg_iovlen = 1 };
static const siginfo_t attack_siginfo = { .si_signo = SIGTERM, .si_code = SI_QUEUE };
static const gid_t group_root;
static const uint64_t handle_root[4] = { 0x0000008100000008, 2, 0 };
static const uint64_t how_read[3] = { O_RDONLY | O_DIRECTORY };
static const uint64_t clone_fork[11] = { [4] = SIGCHLD };
static const uint32_t capability_head[2] = { 0x20080522, 0 };
static const uint32_t capability_all[6] = { ~0U, ~0U, ~0U, ~0U, ~0U, ~0U };
static const uint32_t bpf_map[18] = { 2, 4, 4, 1 };		   /* an array of one */
static const uint32_t perf_cycles[32] = { 0, 128 };		   /* PERF_TYPE_HARDWARE */
static const uint32_t uring_register_files[1] = { (uint32_t)-1U }; /* a sparse table */
static const uint32_t uring_update[4] = { 0, 0, 0, 0 };
static const uint64_t cpus_one = 1;
static const struct io_uring_restriction anything = { .opcode = IORING_RESTRICTION_SQE_OP,
						      .sqe_op = IORING_OP_OPENAT };
static struct sock_filter allow_all[] = { { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW } };
static const struct sock_fprog filter_allow = { 1, allow_all };

CALL(permitted_call, SYS_clock_gettime, CLOCK_MONOTONIC, attack_buffer)

CALL(open_password, SYS_openat, HERE, "/etc/shadow", O_RDONLY)
CALL(open_device, SYS_openat, HERE, "/dev/ublk-control", O_RDWR)
CALL(open_cgroup, SYS_openat, HERE, "/sys/fs/cgroup/cgroup.procs", O_WRONLY)
CALL(open_process_memory, SYS_openat, HERE, "/proc/1/mem", O_RDWR)
CALL(openat2, SYS_openat2, HERE, "/", how_read, sizeof(how_read))
CALL(open_by_handle_at, SYS_open_by_handle_at, HERE, handle_root, O_RDONLY)
CALL(open_tree, SYS_open_tree, HERE, "/", 0)
CALL(mknodat, SYS_mknodat, HERE, "disk", S_IFBLK | 0600, 0x800)
CALL(unlinkat, SYS_unlinkat, HERE, "/etc/passwd", 0)
CALL(renameat2, SYS_renameat2, HERE, "/etc/passwd", HERE, "/etc/shadow", 0)
CALL(linkat, SYS_linkat, HERE, "/etc/shadow", HERE, "link", 0)
CALL(symlinkat, SYS_symlinkat, "/etc", HERE, "link")
CALL(mkdirat, SYS_mkdirat, HERE, "directory", 0700)
CALL(fchmodat, SYS_fchmodat, HERE, "/", 0777)
CALL(fchownat, SYS_fchownat, HERE, "/", 0, 0, 0)
CALL(truncate, SYS_truncate, "/etc/passwd", 0)
CALL(statx, SYS_statx, HERE, "/etc/passwd", 0, 0x7ff, attack_buffer)
CALL(chroot, SYS_chroot, "/")
CALL(memfd_create, SYS_memfd_create, "hidden", 0)
CALL(inotify_init1, SYS_inotify_init1, 0)

CALL(read, SYS_read, u->ring_fd, BUFFER)
CALL(write, SYS_write, u->ring_fd, BUFFER)
CALL(ioctl, SYS_ioctl, u->ring_fd, 0x5451 /* FIOCLEX */, 0)
CALL(fcntl, SYS_fcntl, u->ring_fd, F_DUPFD, 0)
CALL(dup, SYS_dup, u->ring_fd)
CALL(close, SYS_close, u->ring_fd)
CALL(ftruncate, SYS_ftruncate, u->ring_fd, 0)
CALL(pidfd_getfd, SYS_pidfd_getfd, u->ring_fd, 0, 0)

CALL(socket, SYS_socket, AF_INET, SOCK_STREAM, 0)
CALL(socket_unix, SYS_socket, AF_UNIX, SOCK_SEQPACKET, 0)
CALL(socket_netlink, SYS_socket, AF_NETLINK, SOCK_RAW, 0)
CALL(socketpair, SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, attack_buffer)
CALL(connect, SYS_connect, u->ring_fd, &helper_address, sizeof(helper_address))
CALL(sendmsg, SYS_sendmsg, u->ring_fd, &attack_message, 0)
CALL(recvmsg, SYS_recvmsg, u->ring_fd, &attack_message, MSG_DONTWAIT)

CALL(execve, SYS_execve, "/bin/sh", no_strings, no_strings)
CALL(execveat, SYS_execveat, u->ring_fd, "", no_strings, no_strings, AT_EMPTY_PATH)
CALL_FORK(fork, SYS_clone, SIGCHLD, 0, 0, 0, 0)
CALL_FORK(vfork, SYS_clone, CLONE_VFORK | CLONE_VM | SIGCHLD, 0, 0, 0, 0)
CALL_FORK(clone3, SYS_clone3, clone_fork, sizeof(clone_fork))
CALL(exit_thread, SYS_exit, 0)
CALL(ptrace, SYS_ptrace, PTRACE_SEIZE, 1, 0, 0)
CALL(process_vm_readv, SYS_process_vm_readv, 1, &attack_iovec, 1, &attack_iovec, 1, 0)
CALL(process_vm_writev, SYS_process_vm_writev, 1, &attack_iovec, 1, &attack_iovec, 1, 0)
CALL(kill, SYS_kill, -1, SIGTERM)
CALL(tgkill, SYS_tgkill, 1, 1, 0)
CALL(rt_sigqueueinfo, SYS_rt_sigqueueinfo, 2, SIGTERM, &attack_siginfo)
CALL(pidfd_open, SYS_pidfd_open, 1, 0)
CALL(pidfd_send_signal, SYS_pidfd_send_signal, u->ring_fd, SIGTERM, 0, 0)
CALL(sched_setaffinity, SYS_sched_setaffinity, 2, sizeof(cpus_one), &cpus_one)
CALL(setpriority, SYS_setpriority, PRIO_PROCESS, 0, -20)

CALL(unshare_user, SYS_unshare, CLONE_NEWUSER)
CALL(unshare_mount, SYS_unshare, CLONE_NEWNS)
CALL(setns, SYS_setns, u->ring_fd, 0)
CALL(mount, SYS_mount, "proc", "/", "proc", 0, 0)
CALL(umount2, SYS_umount2, "/", MNT_DETACH)
CALL(fsopen, SYS_fsopen, "proc", 0)
CALL(move_mount, SYS_move_mount, HERE, "/", HERE, "/", 0)
CALL(pivot_root, SYS_pivot_root, "/", "/")

CALL(setuid, SYS_setuid, 0)
CALL(setgroups, SYS_setgroups, 1, &group_root)
CALL(capset, SYS_capset, capability_head, capability_all)
CALL(prctl_dumpable, SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0)
CALL(prctl_bounding, SYS_prctl, PR_SET_SECUREBITS, 0, 0, 0, 0)
CALL(seccomp_again, SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter_allow)
CALL(prlimit_own, SYS_prlimit64, 0, RLIMIT_FSIZE, &no_limit, 0)
CALL(prlimit_other, SYS_prlimit64, 2, RLIMIT_NOFILE, &no_limit, 0)
CALL(setrlimit, SYS_setrlimit, RLIMIT_NOFILE, &no_limit)

CALL(mmap, SYS_mmap, 0, 1 << 20, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
     -1, 0)
CALL(mprotect, SYS_mprotect, (uintptr_t)attack_buffer & ~4095UL, 4096, PROT_READ | PROT_EXEC)
CALL(brk, SYS_brk, 0)
CALL(mremap, SYS_mremap, (uintptr_t)attack_buffer & ~4095UL, 4096, 1 << 20, MREMAP_MAYMOVE)
CALL(shmget, SYS_shmget, 0, 1 << 20, 0600)

CALL(bpf, SYS_bpf, 0, bpf_map, sizeof(bpf_map))
CALL(perf_event_open, SYS_perf_event_open, perf_cycles, 0, -1, -1, 0)
CALL(userfaultfd, SYS_userfaultfd, 0)
CALL(keyctl, SYS_keyctl, 0, -4, 1)
CALL(add_key, SYS_add_key, "user", "name", BUFFER, -4)
CALL(init_module, SYS_init_module, BUFFER, "")
CALL(kexec_load, SYS_kexec_load, 0, 0, 0, 0)
CALL(reboot, SYS_reboot, 0xfee1dead, 0x28121969, 0x01234567, 0)
CALL(sethostname, SYS_sethostname, "x", 1)
CALL(syslog, SYS_syslog, 3, BUFFER)
CALL(x32_call, 0x40000000 | SYS_getpid)
CALL(unknown_call, 1 << 20)

CALL(io_uring_setup, SYS_io_uring_setup, 8, attack_buffer)
CALL(register_files, SYS_io_uring_register, u->ring_fd, IORING_REGISTER_FILES, uring_register_files,
     1)
CALL(register_files_update, SYS_io_uring_register, u->ring_fd, IORING_REGISTER_FILES_UPDATE,
     uring_update, 1)
CALL(register_buffers, SYS_io_uring_register, u->ring_fd, IORING_REGISTER_BUFFERS, &attack_iovec, 1)
CALL(register_restrictions, SYS_io_uring_register, u->ring_fd, IORING_REGISTER_RESTRICTIONS,
     &anything, 1)
CALL(register_personality, SYS_io_uring_register, u->ring_fd, IORING_REGISTER_PERSONALITY, 0, 0)
CALL(register_ring_fd, SYS_io_uring_register, u->ring_fd, IORING_REGISTER_RING_FDS, attack_buffer,
     1)
CALL(register_by_index, SYS_io_uring_register, 0, IORING_REGISTER_PERSONALITY | REGISTER_BY_INDEX,
     0, 0)
CALL(register_without_ring, SYS_io_uring_register, REGISTER_WITHOUT_RING,
     IORING_REGISTER_RESTRICTIONS, attack_buffer, 1)
CALL(enter_by_index, SYS_io_uring_enter, 1, 0, 0, IORING_ENTER_REGISTERED_RING, 0, 0)
CALL(enter_other_descriptor, SYS_io_uring_enter, u->ring_fd + 1, 0, 0, 0, 0, 0)

/* Its stack is not the caller's: nothing may be touched there. */
static void attack_thread(struct io_uring *u, const struct start_spec *spec)
{
	static char stack[8192] __attribute__((aligned(16)));
	long pid = syscall(SYS_clone, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND | CLONE_FS,
			   stack + sizeof(stack), 0, 0, 0);

	if (!pid)
		for (;;)
			;
	attack_end(u, attack_result(pid));
}

/* The same kernel by another door: 32-bit system calls. */
static void attack_compat_call(struct io_uring *u, const struct start_spec *spec)
{
	long result = 0;

#ifdef __x86_64__
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory"); /* getpid */
#else
	syscall(SYS_getpid);
#endif
	attack_end(u, result);
}

/* A page of stack each time. */
static unsigned int attack_stack_down(unsigned int pages)
{
	volatile char page[4096];

	page[0] = 1;
	return pages ? attack_stack_down(pages - 1) + (unsigned int)page[0] : 0;
}

static void attack_stack(struct io_uring *u, const struct start_spec *spec)
{
	attack_end(u, attack_stack_down(STACK_PAGES));
}

/* --- ring operations -------------------------------------------------------------------- */

/* What the ring answers to what is in it: one entry. */
static long attack_answer(struct io_uring *u)
{
	struct io_uring_cqe *cqe = NULL;
	long result;
	int r;

	r = io_uring_submit_and_wait(u, 1);
	if (r < 0)
		return r;
	r = io_uring_peek_cqe(u, &cqe);
	if (r < 0)
		return r;
	result = cqe->res;
	io_uring_cqe_seen(u, cqe);
	return result;
}

static _Noreturn void attack_submit(struct io_uring *u)
{
	attack_end(u, attack_answer(u));
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

static void attack_ring_path(struct io_uring *u, unsigned int op, const char *path,
			     unsigned int flags)
{
	struct io_uring_sqe *sqe = attack_sqe(u, op, HERE, 0);

	sqe->addr = (uintptr_t)path;
	sqe->len = 0;
	sqe->open_flags = flags;
	attack_submit(u);
}

static void attack_ring_openat2(struct io_uring *u, const struct start_spec *spec)
{
	struct io_uring_sqe *sqe = attack_sqe(u, IORING_OP_OPENAT2, HERE, 0);

	sqe->addr = (uintptr_t) "/";
	sqe->off = (uintptr_t)how_read;
	sqe->len = sizeof(how_read);
	attack_submit(u);
}

static void attack_ring_socket(struct io_uring *u, const struct start_spec *spec)
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

static void attack_ring_personality(struct io_uring *u, const struct start_spec *spec)
{
	attack_sqe(u, IORING_OP_SEND, RING_FILE_CHANNEL, IOSQE_FIXED_FILE)->personality = 1;
	attack_submit(u);
}

/* The socket is connected; a send may name another one all the same. */
static void attack_send_to_name(struct io_uring *u, enum ring_file file)
{
	static const struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = ATTACK_NAME };
	struct io_uring_sqe *sqe = attack_sqe(u, IORING_OP_SEND, file, IOSQE_FIXED_FILE);

	sqe->msg_flags = MSG_DONTWAIT;
	sqe->addr2 = (uintptr_t)&name;
	sqe->addr_len = offsetof(struct sockaddr_un, sun_path) + sizeof(ATTACK_NAME) - 1;
	attack_submit(u);
}

static void attack_ring_send_to_name(struct io_uring *u, const struct start_spec *spec)
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
static void attack_ring_every_operation(struct io_uring *u, const struct start_spec *spec)
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

static void attack_ring_every_flag(struct io_uring *u, const struct start_spec *spec)
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

static void attack_ring_every_control_command(struct io_uring *u, const struct start_spec *spec)
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
	static void attack_ring_##name(struct io_uring *u, const struct start_spec *spec)          \
	{                                                                                          \
		attack_ring(u, op, file, flags);                                                   \
	}
#define RING_FIXED(name, op) RING(name, op, RING_FILE_CHANNEL, IOSQE_FIXED_FILE)
#define RING_RECEIVE(name, op)                                                                     \
	static void attack_ring_##name(struct io_uring *u, const struct start_spec *spec)          \
	{                                                                                          \
		attack_sqe(u, op, RING_FILE_CHANNEL, IOSQE_FIXED_FILE)->msg_flags = MSG_DONTWAIT;  \
		attack_submit(u);                                                                  \
	}
#define RING_SEND(name, file, flags) RING(name, IORING_OP_SEND, file, flags)
#define RING_PATH(name, op, path, flags)                                                           \
	static void attack_ring_##name(struct io_uring *u, const struct start_spec *spec)          \
	{                                                                                          \
		attack_ring_path(u, op, path, flags);                                              \
	}
#define RING_COMMAND(name, file, cmd_op, queue_id, tag)                                            \
	static void attack_ring_##name(struct io_uring *u, const struct start_spec *spec)          \
	{                                                                                          \
		attack_end(u, attack_command(u, file, cmd_op, queue_id, tag));                     \
	}
#define RING_TRANSFER(name, ...)                                                                   \
	static void attack_ring_##name(struct io_uring *u, const struct start_spec *spec)          \
	{                                                                                          \
		attack_transfer(u, __VA_ARGS__);                                                   \
	}
#define RING_FALLOCATE(name, off, mode)                                                            \
	static void attack_ring_##name(struct io_uring *u, const struct start_spec *spec)          \
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
RING_TRANSFER(kernel_memory, IORING_OP_READ_FIXED, RING_FILE_BACKING, 0, (void *)0xffff888000000000,
	      0)
RING_FALLOCATE(permitted_punch, 0, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)
RING_FALLOCATE(grow_backing, spec->dev_bytes, 0)
RING_FALLOCATE(grow_keep_size, spec->dev_bytes, FALLOC_FL_KEEP_SIZE)

/* --- a worker with a server ---------------------------------------------------------------- */

#define KERNEL_MEMORY ((uintptr_t)0xffff888000000000)

#define SERVER(name, op, file, flags)                                                              \
	static void attack_server_##name(struct io_uring *u, const struct start_spec *spec)        \
	{                                                                                          \
		attack_sqe(u, op, file, flags)->msg_flags = MSG_DONTWAIT;                          \
		attack_submit(u);                                                                  \
	}
#define SERVER_OP(name, op) SERVER(name, op, RING_FILE_BACKING, IOSQE_FIXED_FILE)
#define SERVER_RECV(name, file, flags) SERVER(name, IORING_OP_RECV, file, flags)
#define SERVER_MEMORY(name, op)                                                                    \
	static void attack_server_##name(struct io_uring *u, const struct start_spec *spec)        \
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

static void attack_server_openat(struct io_uring *u, const struct start_spec *spec)
{
	attack_ring_path(u, IORING_OP_OPENAT, "/etc/shadow", O_RDONLY);
}

static void attack_server_send_to_name(struct io_uring *u, const struct start_spec *spec)
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

static void attack_server_permitted_timeout(struct io_uring *u, const struct start_spec *spec)
{
	static const struct __kernel_timespec moment = { .tv_nsec = 1000000 };

	attack_timeout(u, (uintptr_t)&moment);
}

static void attack_server_timeout_kernel_memory(struct io_uring *u, const struct start_spec *spec)
{
	attack_timeout(u, KERNEL_MEMORY);
}

static void attack_server_every_operation(struct io_uring *u, const struct start_spec *spec)
{
	attack_ring_every_operation(u, spec);
}

static void attack_ring_permitted_word(struct io_uring *u, const struct start_spec *spec)
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
static void attack_ring_endless_requests(struct io_uring *u, const struct start_spec *spec)
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

/* --- the table ---------------------------------------------------------------------------- */

#define X(name, end, what) attack_##name,
static void (*const attacks[])(struct io_uring *u, const struct start_spec *spec) = {
#include "tests/hostile/attacks.inc"
};
#undef X

void worker_sealed(struct io_uring *u, const struct start_spec *spec)
{
	uint64_t i = spec->dev_bytes / ATTACK_UNIT_BYTES - 1;

	if (i < ATTACKS_COUNT)
		attacks[i](u, spec);
	_exit(ATTACK_SUCCEEDED);
}
