/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What other processes of the host try with a worker: outsider PID UID makes
 * every attempt with that uid, no groups and no capabilities, and prints
 * "NAME refused" or "NAME done".
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/kcmp.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "driver/base/cleanup.h"

/* Each: -1 when it was refused. */

static int outsider_open(pid_t pid, const char *file, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, flags | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	return fd;
}

static int outsider_read(pid_t pid, const char *file)
{
	char path[64], byte;
	auto_close int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 || read(fd, &byte, 1) < 0 ? -1 : 0;
}

#define TRY_OPEN(name, file, flags)                                                                \
	static int try_##name(pid_t pid)                                                           \
	{                                                                                          \
		return outsider_open(pid, file, flags);                                            \
	}
#define TRY_READ(name, file)                                                                       \
	static int try_##name(pid_t pid)                                                           \
	{                                                                                          \
		return outsider_read(pid, file);                                                   \
	}
#define TRY_CALL(name, ...)                                                                        \
	static int try_##name(pid_t pid)                                                           \
	{                                                                                          \
		return syscall(__VA_ARGS__) < 0 ? -1 : 0;                                          \
	}

static char outsider_byte;
static const struct iovec outsider_iovec = { &outsider_byte, 1 };
static const struct rlimit no_limit = { RLIM_INFINITY, RLIM_INFINITY };
static const unsigned long cpus_one = 1;

TRY_OPEN(memory, "mem", O_RDWR)
TRY_OPEN(descriptors, "fd", O_RDONLY | O_DIRECTORY)
TRY_OPEN(descriptor, "fd/0", O_RDONLY)
TRY_OPEN(root, "root/", O_RDONLY | O_DIRECTORY)
TRY_OPEN(cwd, "cwd/", O_RDONLY | O_DIRECTORY)
TRY_OPEN(program, "exe", O_RDONLY)
TRY_OPEN(map_files, "map_files", O_RDONLY | O_DIRECTORY)
TRY_OPEN(user_namespace, "ns/user", O_RDONLY)
TRY_OPEN(mount_namespace, "ns/mnt", O_RDONLY)
TRY_OPEN(oom_score, "oom_score_adj", O_WRONLY)
TRY_OPEN(id_map, "uid_map", O_WRONLY)
TRY_OPEN(clear_refs, "clear_refs", O_WRONLY)
TRY_READ(environment, "environ")
TRY_READ(maps, "maps")
TRY_READ(auxiliary, "auxv")
TRY_READ(call, "syscall")
TRY_READ(stack, "stack")
TRY_READ(io, "io")
TRY_CALL(ptrace, SYS_ptrace, PTRACE_SEIZE, pid, 0, 0)
TRY_CALL(vm_read, SYS_process_vm_readv, pid, &outsider_iovec, 1, &outsider_iovec, 1, 0)
TRY_CALL(vm_write, SYS_process_vm_writev, pid, &outsider_iovec, 1, &outsider_iovec, 1, 0)
TRY_CALL(compare, SYS_kcmp, pid, getpid(), KCMP_FILE, 0, 0)
TRY_CALL(limits, SYS_prlimit64, pid, RLIMIT_FSIZE, &no_limit, 0)
TRY_CALL(robust_list, SYS_get_robust_list, pid, &outsider_byte, &outsider_byte)
TRY_CALL(signal, SYS_kill, pid, 0)
TRY_CALL(affinity, SYS_sched_setaffinity, pid, sizeof(cpus_one), &cpus_one)
TRY_CALL(priority, SYS_setpriority, PRIO_PROCESS, pid, 19)

static int try_take_descriptor(pid_t pid)
{
	auto_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	auto_close int fd = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, 0, 0);

	return fd;
}

static int try_enter(pid_t pid)
{
	auto_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	return pidfd < 0 ? -1 : setns(pidfd, CLONE_NEWUSER | CLONE_NEWNS);
}

static int try_perf(pid_t pid)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_TASK_CLOCK,
		.exclude_kernel = 1,
	};
	auto_close int fd = (int)syscall(SYS_perf_event_open, &attr, pid, -1, -1, 0);

	return fd;
}

#define TRY(name)                                                                                  \
	{                                                                                          \
#name, try_##name                                                                  \
	}
static const struct {
	const char *name;
	int (*run)(pid_t pid);
} tries[] = {
	TRY(memory),	TRY(descriptors), TRY(descriptor),  TRY(root),
	TRY(cwd),	TRY(program),	  TRY(map_files),   TRY(user_namespace),
	TRY(oom_score), TRY(clear_refs),  TRY(environment), TRY(mount_namespace),
	TRY(id_map),	TRY(maps),	  TRY(auxiliary),   TRY(call),
	TRY(stack),	TRY(io),	  TRY(ptrace),	    TRY(vm_read),
	TRY(vm_write),	TRY(compare),	  TRY(limits),	    TRY(robust_list),
	TRY(enter),	TRY(perf),	  TRY(signal),	    TRY(take_descriptor),
	TRY(affinity),	TRY(priority),
};

int main(int argc, char **argv)
{
	pid_t pid = argc == 3 ? (pid_t)atoi(argv[1]) : 0;
	uid_t uid = argc == 3 ? (uid_t)atoi(argv[2]) : 0;

	if (pid <= 0 || !uid) {
		fprintf(stderr, "usage: outsider PID UID\n");
		return 2;
	}
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 ||
	    setresuid(uid, uid, uid) < 0 || prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0) {
		perror("cannot become that user");
		return 1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(tries); i++)
		printf("%s %s\n", tries[i].name, tries[i].run(pid) < 0 ? "refused" : "done");
	return 0;
}
