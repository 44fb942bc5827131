/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/probe/shut.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "driver/base/landlock.h"
#include "oci-hook/probe.h"

#define SHUT_LOOK_SECONDS 60 /* of a processor */
#define SHUT_TOOL_SECONDS 7200
#define SHUT_LOOK_MEMORY (256u << 20)
#define SHUT_TOOL_MEMORY (2048u << 20)
#define SHUT_FILES 64

/* Rights of Landlock by number: headers of Debian 12 lack the newest. */
#define SHUT_EXECUTE (1u << 0)
#define SHUT_WRITE (1u << 1)
#define SHUT_READ (1u << 2)
#define SHUT_READ_DIR (1u << 3)
#define SHUT_TRUNCATE (1u << 14)

/* What a tool finds of the system; what is not there needs no rule. */
static const struct {
	const char *path;
	unsigned int rights;
} shut_paths[] = {
	{ "/usr", SHUT_EXECUTE | SHUT_READ | SHUT_READ_DIR },
	{ "/bin", SHUT_EXECUTE | SHUT_READ | SHUT_READ_DIR },
	{ "/sbin", SHUT_EXECUTE | SHUT_READ | SHUT_READ_DIR },
	{ "/lib", SHUT_EXECUTE | SHUT_READ | SHUT_READ_DIR },
	{ "/lib64", SHUT_EXECUTE | SHUT_READ | SHUT_READ_DIR },
	{ "/etc/ld.so.cache", SHUT_READ },
	{ "/etc/mke2fs.conf", SHUT_READ },
	{ "/etc/e2fsck.conf", SHUT_READ },
	{ "/proc/self", SHUT_READ | SHUT_READ_DIR }, /* is it mounted? the data itself */
	{ "/dev/null", SHUT_READ | SHUT_WRITE },
	{ "/dev/urandom", SHUT_READ }, /* the UUID of a new file system */
	{ "/dev/random", SHUT_READ },
};

/* Reading one open file, memory, words, and the end. */
static const int shut_calls[] = {
	SCMP_SYS(read),		 SCMP_SYS(pread64),	 SCMP_SYS(lseek),
	SCMP_SYS(fstat),	 SCMP_SYS(newfstatat),	 SCMP_SYS(fadvise64),
	SCMP_SYS(write),	 SCMP_SYS(close),	 SCMP_SYS(mmap),
	SCMP_SYS(munmap),	 SCMP_SYS(mremap),	 SCMP_SYS(mprotect),
	SCMP_SYS(madvise),	 SCMP_SYS(brk),		 SCMP_SYS(futex),
	SCMP_SYS(getrandom),	 SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall),
	SCMP_SYS(clock_gettime), SCMP_SYS(exit_group),
#ifdef SANITIZED
	SCMP_SYS(sigaltstack), /* a sanitizer, before _exit() */
#endif
};

/*
 * And for tools: to begin, to open what Landlock lets them, to write, to have threads. No process
 * of its own, no socket, no name that is made, changed or removed, no signal to others.
 */
static const int shut_tool_calls[] = {
	SCMP_SYS(execve),
	SCMP_SYS(arch_prctl),
	SCMP_SYS(set_tid_address),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(stat),
	SCMP_SYS(lstat),
	SCMP_SYS(statx),
	SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(getcwd),
	SCMP_SYS(getdents64),
	SCMP_SYS(statfs),
	SCMP_SYS(fstatfs),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(preadv),
	SCMP_SYS(pwritev),
	SCMP_SYS(preadv2),
	SCMP_SYS(pwritev2),
	SCMP_SYS(pwrite64),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(sync_file_range),
	SCMP_SYS(readahead),
	SCMP_SYS(ioctl),
	SCMP_SYS(fcntl),
	SCMP_SYS(flock),
	SCMP_SYS(dup),
	SCMP_SYS(dup2),
	SCMP_SYS(dup3),
	SCMP_SYS(pipe),
	SCMP_SYS(pipe2),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(select),
	SCMP_SYS(pselect6),
	SCMP_SYS(umask),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(alarm),
	SCMP_SYS(setitimer),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime), /* progress of btrfs check */
	SCMP_SYS(exit),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(getppid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(uname),
	SCMP_SYS(sysinfo),
	SCMP_SYS(getrusage),
	SCMP_SYS(times),
	SCMP_SYS(time),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(clock_getres),
	SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(getcpu),
	SCMP_SYS(membarrier),
};

static void shut_release(scmp_filter_ctx *filter)
{
	if (*filter)
		seccomp_release(*filter);
}

/* A call that a machine does not have is none that needs a rule. */
static int shut_allow(scmp_filter_ctx filter, const int *calls, size_t nr)
{
	int r = 0;

	for (size_t i = 0; i < nr && r >= 0; i++) {
		if (calls[i] >= 0)
			r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	}
	return r;
}

/* An error, not the end: a tool may ask for what it can do without. */
static int shut_filter(bool tool, struct err *e)
{
	cleanup_with(shut_release) scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r;

	if (!filter)
		return err_sys(e, ENOMEM, "cannot make a system call filter");
	r = shut_allow(filter, shut_calls, ARRAY_SIZE(shut_calls));
	if (r >= 0 && tool)
		r = shut_allow(filter, shut_tool_calls, ARRAY_SIZE(shut_tool_calls));
	/* Threads, by the call whose flags can be seen. */
	if (r >= 0 && tool)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (r >= 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	/* xfs_repair lifts its limits, and ends when it may not: it is told that it has. */
	if (r >= 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
				     SCMP_A2(SCMP_CMP_EQ, 0));
	if (r >= 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(0), SCMP_SYS(prlimit64), 1,
				     SCMP_A2(SCMP_CMP_NE, 0));
	if (r >= 0)
		r = seccomp_load(filter);
	return r < 0 ? err_sys(e, -r, "cannot set the system call filter") : 0;
}

static int shut_paths_add(bool tool, struct err *e)
{
	int flags = fcntl(PROBE_DATA_FD, F_GETFL), r;
	struct landlock_row rows[ARRAY_SIZE(shut_paths) + 1];
	size_t nr = 0;

	if (flags < 0)
		return err_sys(e, errno, "there is no data to look at");
	rows[nr++] = (struct landlock_row){
		SHUT_READ | ((flags & O_ACCMODE) == O_RDWR ? SHUT_WRITE | SHUT_TRUNCATE : 0u),
		PROBE_DATA_FD,
	};
	for (size_t i = 0; tool && i < ARRAY_SIZE(shut_paths); i++) {
		int fd = open(shut_paths[i].path, O_PATH | O_CLOEXEC);

		if (fd >= 0)
			rows[nr++] = (struct landlock_row){ shut_paths[i].rights, fd };
	}
	r = landlock_enter_but(rows, nr, e);
	while (nr > 1)
		close(rows[--nr].path_fd);
	return r;
}

static int shut_limit(int resource, rlim_t most, struct err *e)
{
	struct rlimit now, limit = { most, most };

	if (getrlimit((__rlimit_resource_t)resource, &now) == 0 && now.rlim_max < most)
		limit = (struct rlimit){ now.rlim_max, now.rlim_max };
	return setrlimit((__rlimit_resource_t)resource, &limit) < 0
		       ? err_sys(e, errno, "cannot limit this process")
		       : 0;
}

static int shut_limits(bool tool, struct err *e)
{
	struct stat st;
	int r;

	if (fstat(PROBE_DATA_FD, &st) < 0)
		return err_sys(e, errno, "there is no data to look at");
	r = shut_limit(RLIMIT_CORE, 0, e);
	if (r == 0)
		r = shut_limit(RLIMIT_FSIZE, (rlim_t)st.st_size, e);
	if (r == 0)
		r = shut_limit(RLIMIT_NOFILE, SHUT_FILES, e);
	if (r == 0)
		r = shut_limit(RLIMIT_CPU, tool ? SHUT_TOOL_SECONDS : SHUT_LOOK_SECONDS, e);
#ifndef SANITIZED /* a sanitizer's own memory is more than this */
	if (r == 0)
		r = shut_limit(RLIMIT_DATA, tool ? SHUT_TOOL_MEMORY : SHUT_LOOK_MEMORY, e);
#endif
	return r;
}

int shut_in(bool tool, struct err *e)
{
	int r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "cannot give up privileges");
	signal(SIGXFSZ, SIG_IGN); /* a write that is not allowed is an error */
	r = shut_limits(tool, e);
	if (r == 0)
		r = shut_paths_add(tool, e);
	return r < 0 ? r : shut_filter(tool, e);
}
