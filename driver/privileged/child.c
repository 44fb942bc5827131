/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"

/* How long after the caller's deadline a child without a caller may go on. */
#define CHILD_ORPHAN_MS 1000
/* How long a child that has answered, or was killed, gets for dying. */
#define CHILD_REAP_MS 200

struct child_answer {
	int r;
	struct err e;
};

/* One write() of it is all or nothing. */
static_assert(sizeof(struct child_answer) <= 4096, "larger than PIPE_BUF");

/* SIGKILL, because the signal mask is the caller's and may block the rest. */
static void child_limit_life(int timeout_ms)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
	int64_t ms = (int64_t)timeout_ms + CHILD_ORPHAN_MS;
	struct itimerspec when = { .it_value = { ms / 1000, (ms % 1000) * 1000000 } };
	timer_t timer;

	if (timeout_ms >= 0 && !timer_create(CLOCK_MONOTONIC, &ev, &timer))
		timer_settime(timer, 0, &when, NULL);
}

static _Noreturn void child_main(int (*work)(void *arg, struct err *e), void *arg, int timeout_ms,
				 int answer_fd)
{
	struct child_answer a = { 0 };

	child_limit_life(timeout_ms);
	a.r = work(arg, &a.e);
	_exit(write(answer_fd, &a, sizeof(a)) == sizeof(a) ? 0 : 1);
}

/* Waits for fd to become readable or closed: 0, -ETIMEDOUT or -errno. */
static int child_poll(int fd, int64_t deadline_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int r;

	do {
		r = poll(&p, 1, clock_left_ms(deadline_ms));
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r == 0 ? -ETIMEDOUT : 0;
}

/* Reaps it if it dies in time; else that is left to the subreaper. Returns its signal, if any. */
static int child_reap(int pidfd, int wait_ms)
{
	siginfo_t info = { 0 };

	if (child_poll(pidfd, clock_deadline_ms(wait_ms)) < 0)
		return 0;
	if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | __WALL) < 0)
		return 0;
	return info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED ? info.si_status : 0;
}

static void child_kill(int pidfd)
{
	syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

static int child_await(int pidfd, int answer_fd, int timeout_ms, struct err *e)
{
	struct child_answer a;
	ssize_t n = 0;
	int r, signal_nr;

	r = child_poll(answer_fd, clock_deadline_ms(timeout_ms));
	if (!r)
		n = read(answer_fd, &a, sizeof(a));
	if (n == sizeof(a)) {
		child_reap(pidfd, CHILD_REAP_MS);
		if (e)
			*e = a.e;
		return a.r;
	}
	if (r) {
		child_kill(pidfd);
		child_reap(pidfd, CHILD_REAP_MS);
		return r == -ETIMEDOUT ? err_set(e, ETIMEDOUT, "no answer within %d ms", timeout_ms)
				       : err_sys(e, -r, "cannot wait for a child");
	}
	/* It closed the pipe, so it is dying. */
	signal_nr = child_reap(pidfd, CHILD_REAP_MS);
	child_kill(pidfd);
	return err_set(e, EIO, "a child died without an answer (signal %d)", signal_nr);
}

int child_run(int (*work)(void *arg, struct err *e), void *arg, int timeout_ms, struct err *e)
{
	auto_close int answer_fd = -1, child_fd = -1, pidfd = -1;
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uintptr_t)&pidfd,
		/* None, so that waitpid() with __WCLONE tells these from a worker. */
		.exit_signal = 0,
	};
	int pipe_fds[2];
	long pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_sys(e, errno, "cannot make a pipe");
	answer_fd = pipe_fds[0];
	child_fd = pipe_fds[1];
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		return err_sys(e, errno, "cannot make a child");
	if (!pid)
		child_main(work, arg, timeout_ms, child_fd);
	close_fdp(&child_fd);
	return child_await(pidfd, answer_fd, timeout_ms, e);
}

void *child_share(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void child_unshare(void *memory, size_t bytes)
{
	if (memory)
		munmap(memory, bytes);
}
