/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/worker/sandbox.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/landlock.h"

int sandbox_begin(struct err *e)
{
	int r;

	r = landlock_enter(e);
	if (r < 0)
		return r;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(e, errno, "cannot become undumpable");
	/* A write the limits forbid is an error of one request. */
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

/* The lowest of fds that is not below from, or ~0. */
static unsigned int sandbox_next(const int *fds, unsigned int nr_fds, unsigned int from)
{
	unsigned int next = ~0U;

	for (unsigned int i = 0; i < nr_fds; i++) {
		if ((unsigned int)fds[i] >= from && (unsigned int)fds[i] < next)
			next = (unsigned int)fds[i];
	}
	return next;
}

int sandbox_close_all_but(const int *fds, unsigned int nr_fds, struct err *e)
{
	unsigned int from = 0, next;

	do {
		next = sandbox_next(fds, nr_fds, from);
		if (next > from && close_range(from, next == ~0U ? next : next - 1, 0) < 0)
			return err_sys(e, errno, "cannot close descriptors");
		from = next + 1;
	} while (next != ~0U);
	return 0;
}

int sandbox_seal(const uint64_t *filter, uint16_t nr, struct err *e)
{
	struct sock_fprog program = { .len = nr, .filter = (struct sock_filter *)filter };

	long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);

	if (r < 0)
		return err_sys(e, errno, "cannot set the system call filter");
	if (r > 0)
		return err_set(e, EPERM, "thread %ld has a filter of its own", r);
	return 0;
}
