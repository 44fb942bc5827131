/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/worker/sandbox.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver/base/cleanup.h"

/* struct landlock_ruleset_attr of the newest version known here. */
struct landlock_rules {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

/* Everything each version of Landlock can deny; row 0 is version 1. */
static const struct {
	struct landlock_rules rules;
	size_t size;
} landlock_versions[] = {
	{ { 0x1fff, 0, 0 }, 8 },  { { 0x3fff, 0, 0 }, 8 }, /* REFER */
	{ { 0x7fff, 0, 0 }, 8 },			   /* TRUNCATE */
	{ { 0x7fff, 3, 0 }, 16 },			   /* BIND_TCP, CONNECT_TCP */
	{ { 0xffff, 3, 0 }, 16 },			   /* IOCTL_DEV */
	{ { 0xffff, 3, 3 }, 24 },			   /* ABSTRACT_UNIX_SOCKET, SIGNAL */
};

/* No rule is added, so nothing is allowed. */
static int sandbox_landlock(struct err *e)
{
	auto_close int fd = -1;
	long version;

	version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (version < 1)
		return 0; /* not built in, or not enabled */
	if (version > (long)ARRAY_SIZE(landlock_versions))
		version = ARRAY_SIZE(landlock_versions);
	fd = (int)syscall(SYS_landlock_create_ruleset, &landlock_versions[version - 1].rules,
			  landlock_versions[version - 1].size, 0);
	if (fd < 0)
		return err_sys(e, errno, "cannot make Landlock rules of version %ld", version);
	if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return err_sys(e, errno, "cannot enter Landlock");
	return 0;
}

int sandbox_begin(struct err *e)
{
	int r;

	r = sandbox_landlock(e);
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
