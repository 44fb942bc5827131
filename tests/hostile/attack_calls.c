/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts by system calls. */
#include "tests/hostile/attacker.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
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

#define REGISTER_WITHOUT_RING (-1)
#define REGISTER_BY_INDEX (1U << 31)
#define STACK_PAGES (1U << 18) /* 1 GiB */

static long attack_result(long result)
{
	return result < 0 ? -errno : result;
}

#define CALL(name, ...)                                                                            \
	void attack_##name(struct io_uring *u, const struct start_spec *spec)                      \
	{                                                                                          \
		attack_end(u, attack_result(syscall(__VA_ARGS__)));                                \
	}

/* Where there would be a second process, the attempt is the first one's. */
#define CALL_FORK(name, ...)                                                                       \
	void attack_##name(struct io_uring *u, const struct start_spec *spec)                      \
	{                                                                                          \
		long pid = syscall(__VA_ARGS__);                                                   \
                                                                                                   \
		if (!pid)                                                                          \
			_exit(0);                                                                  \
		attack_end(u, attack_result(pid));                                                 \
	}

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
void attack_thread(struct io_uring *u, const struct start_spec *spec)
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
void attack_compat_call(struct io_uring *u, const struct start_spec *spec)
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

void attack_stack(struct io_uring *u, const struct start_spec *spec)
{
	attack_end(u, attack_stack_down(STACK_PAGES));
}
