/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/backend/filter.h"

#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#include "driver/base/cleanup.h"

/*
 * What is not listed fails, and does not kill: another release of a program may try a newer call
 * first, and has a way without. ENOSYS is what it knows from an older kernel. Never here:
 *
 *   io_uring_*            does what a filter does not see
 *   ptrace, process_vm_*, pidfd_getfd, kcmp, bpf, perf_event_open, userfaultfd, keyctl
 *   mount and its kin, unshare, setns, chroot, open_by_handle_at
 *   ioctl                 hundreds of calls; a regular file needs none
 *   socket, connect       it serves what it inherited
 *   memfd_create          memory that is executed is in no file
 */
static const int filter_common[] = {
	/* The program's start, which is after the filter's. */
	SCMP_SYS(execve),
	SCMP_SYS(brk),
	SCMP_SYS(arch_prctl),
	SCMP_SYS(set_tid_address),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(prlimit64),
	SCMP_SYS(getrlimit),
	SCMP_SYS(getrandom),
	SCMP_SYS(uname),
	SCMP_SYS(sysinfo),
	/* Memory. */
	SCMP_SYS(mmap),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(mprotect),
	SCMP_SYS(madvise),
	SCMP_SYS(membarrier),
	SCMP_SYS(get_mempolicy),
	SCMP_SYS(set_mempolicy),
	/* Threads, and no other processes. clone3 hides its flags from a filter: see below. */
	SCMP_SYS(futex),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(getcpu),
	SCMP_SYS(gettid),
	SCMP_SYS(getpid),
	SCMP_SYS(getppid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(tgkill),
	SCMP_SYS(restart_syscall),
	/* Signals. */
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigtimedwait),
	SCMP_SYS(rt_sigsuspend),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(signalfd4),
	/* Clocks. */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(timerfd_gettime),
	/* Files of its root. */
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(close),
	SCMP_SYS(close_range),
	SCMP_SYS(stat),
	SCMP_SYS(lstat),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(statx),
	SCMP_SYS(statfs),
	SCMP_SYS(fstatfs),
	SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(getdents64),
	SCMP_SYS(getcwd),
	SCMP_SYS(umask),
	SCMP_SYS(fcntl),
	SCMP_SYS(dup),
	SCMP_SYS(dup2),
	SCMP_SYS(dup3),
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(pread64),
	SCMP_SYS(preadv),
	SCMP_SYS(preadv2),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(pwrite64),
	SCMP_SYS(pwritev),
	SCMP_SYS(pwritev2),
	SCMP_SYS(lseek),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(sync_file_range),
	SCMP_SYS(copy_file_range),
	SCMP_SYS(fadvise64),
	/* The sockets it has. */
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(listen),
	SCMP_SYS(shutdown),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	/* Waiting. */
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(select),
	SCMP_SYS(pselect6),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(eventfd2),
	SCMP_SYS(pipe),
	SCMP_SYS(pipe2),
};

/* A program of a rule may be a script: processes of its own, and files in its /tmp. */
static const int filter_exec[] = {
	SCMP_SYS(vfork),     SCMP_SYS(fork),	  SCMP_SYS(wait4),	SCMP_SYS(waitid),
	SCMP_SYS(kill),	     SCMP_SYS(setsid),	  SCMP_SYS(setpgid),	SCMP_SYS(getpgrp),
	SCMP_SYS(getpgid),   SCMP_SYS(getgroups), SCMP_SYS(socketpair), SCMP_SYS(alarm),
	SCMP_SYS(setitimer), SCMP_SYS(chdir),	  SCMP_SYS(fchdir),	SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat),   SCMP_SYS(rmdir),	  SCMP_SYS(unlink),	SCMP_SYS(unlinkat),
	SCMP_SYS(rename),    SCMP_SYS(renameat),  SCMP_SYS(renameat2),	SCMP_SYS(symlink),
	SCMP_SYS(symlinkat), SCMP_SYS(chmod),	  SCMP_SYS(fchmod),	SCMP_SYS(fchmodat),
	SCMP_SYS(utimensat), SCMP_SYS(truncate),  SCMP_SYS(flock),
};

#define FILTER_NAMESPACES 0x7e020080u /* CLONE_NEW* */
#define FILTER_THREAD 0x00010000u     /* CLONE_THREAD */

static void filter_release(scmp_filter_ctx *ctx)
{
	if (*ctx)
		seccomp_release(*ctx);
}

static int filter_add(scmp_filter_ctx ctx, const int *calls, size_t nr)
{
	int r = 0;

	/* A number below zero is one this machine has not; the same twice is one. */
	for (size_t i = 0; r == 0 && i < nr; i++) {
		if (calls[i] >= 0)
			r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
		if (r == -EEXIST)
			r = 0;
	}
	return r;
}

/* A thread of its own; another process only where a rule's program is the back end. */
static int filter_add_clone(scmp_filter_ctx ctx, bool processes)
{
	uint64_t looked_at = FILTER_NAMESPACES | (processes ? 0 : FILTER_THREAD);

	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				SCMP_A0(SCMP_CMP_MASKED_EQ, looked_at,
					processes ? 0 : FILTER_THREAD));
}

/*
 * nbdkit wants to end with the parent that gave it a socket. That is the process of one request,
 * which ends when it is answered: to ask for it does nothing.
 */
static int filter_add_prctl(scmp_filter_ctx ctx)
{
	int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
				 SCMP_A0(SCMP_CMP_NE, PR_SET_PDEATHSIG));

	return r < 0 ? r
		     : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(0), SCMP_SYS(prctl), 1,
					SCMP_A0(SCMP_CMP_EQ, PR_SET_PDEATHSIG));
}

/* Of all ioctls the two by which Python marks a file; without, it opens none. */
static int filter_add_ioctl(scmp_filter_ctx ctx)
{
	static const unsigned int requests[] = { FIOCLEX, FIONCLEX };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(requests); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				     SCMP_A1(SCMP_CMP_EQ, requests[i]));
	return r;
}

int filter_enter(const struct backend_start *start, struct err *e)
{
	cleanup_with(filter_release) scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	bool exec = start->kind == BACKEND_EXEC;
	int r;

	if (!ctx)
		return err_sys(e, ENOMEM, "no memory for the system call filter");
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* The filter's cost is counted in each call: a tree, not a list. */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = filter_add(ctx, filter_common, ARRAY_SIZE(filter_common));
	if (r == 0)
		r = filter_add_prctl(ctx);
	if (r == 0)
		r = filter_add_clone(ctx, exec);
	if (r == 0 && exec)
		r = filter_add(ctx, filter_exec, ARRAY_SIZE(filter_exec));
	if (r == 0 && exec)
		r = filter_add_ioctl(ctx);
	if (r == 0)
		r = seccomp_load(ctx);
	return r < 0 ? err_sys(e, -r, "cannot set the system call filter") : 0;
}
