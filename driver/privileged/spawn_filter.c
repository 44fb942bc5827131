/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/spawn.h"

#include <errno.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver/base/cleanup.h"

static_assert(sizeof(struct sock_filter) == sizeof(uint64_t), "a seccomp instruction");

/*
 * Everything a sealed worker may ask of the kernel by a system call. Not
 * exit(): a thread that ends alone would leave its tags unserved unnoticed.
 */
static const int filter_worker[] = {
	SCMP_SYS(io_uring_enter),  /* all I/O */
	SCMP_SYS(futex),	   /* locks of a worker with several threads */
	SCMP_SYS(rt_sigreturn),	   /* return from a signal's handler */
	SCMP_SYS(restart_syscall), /* the kernel's own, after a stop and continue */
	SCMP_SYS(exit_group),	   /* the end */
	SCMP_SYS(clock_gettime),   /* where the clock has no vDSO */
};

/* And a sealed keeper. */
static const int filter_keeper[] = {
	SCMP_SYS(poll),		/* who has something to say */
	SCMP_SYS(ppoll),	/* the same, on machines that have no poll() */
	SCMP_SYS(accept4),	/* the helper's connections */
	SCMP_SYS(recvmsg),	/* its questions, and what is to be kept */
	SCMP_SYS(sendmsg),	/* the answers, and what was kept */
	SCMP_SYS(close),	/* connections, and what was given back */
	SCMP_SYS(rt_sigreturn), /* the others as above */
	SCMP_SYS(restart_syscall),
	SCMP_SYS(exit_group),
	SCMP_SYS(clock_gettime),
};

/* The first call is the one of its loop. */
static const struct {
	const int *calls;
	size_t nr;
} filter_programs[SPAWN_PROGRAMS] = {
	[SPAWN_WORKER] = { filter_worker, ARRAY_SIZE(filter_worker) },
	[SPAWN_KEEPER] = { filter_keeper, ARRAY_SIZE(filter_keeper) },
};

static void filter_release(scmp_filter_ctx *ctx)
{
	if (*ctx)
		seccomp_release(*ctx);
}

static int filter_export(scmp_filter_ctx ctx, uint64_t filter[START_FILTER_MAX], uint16_t *ret_nr)
{
	uint64_t program[START_FILTER_MAX + 1];
	auto_close int fd = -1;
	ssize_t n;
	int r;

	fd = memfd_create("filter", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = seccomp_export_bpf(ctx, fd);
	if (r < 0)
		return r;
	n = pread(fd, program, sizeof(program), 0);
	if (n < 0)
		return -errno;
	if (n > (ssize_t)(START_FILTER_MAX * sizeof(*filter)))
		return -E2BIG;
	memset(filter, 0, START_FILTER_MAX * sizeof(*filter));
	memcpy(filter, program, (size_t)n);
	*ret_nr = (uint16_t)((size_t)n / sizeof(*filter));
	return 0;
}

int spawn_filter_make(enum spawn_program program, uint64_t filter[START_FILTER_MAX],
		      uint16_t *ret_nr, struct err *e)
{
	const int *calls = filter_programs[program].calls; /* a back end has none here */
	cleanup_with(filter_release) scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (!ctx)
		return err_sys(e, ENOMEM, "no memory for the system call filter");
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	for (size_t i = 0; r >= 0 && i < filter_programs[program].nr; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
	if (r >= 0)
		r = seccomp_syscall_priority(ctx, calls[0], UINT8_MAX);
	if (r >= 0)
		r = filter_export(ctx, filter, ret_nr);
	if (r < 0)
		return err_sys(e, -r, "cannot make the system call filter");
	return 0;
}
