/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/pool/program.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/wire/pool.h"
#include "oci-hook/quote.h"

#define PROGRAM_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define PROGRAM_WORDS 4096
#define PROGRAM_MISSING 127
#define PROGRAM_PATIENCE_S 4 /* of a server's that is told to end */
#define PROGRAM_HIGH_FD 10

int program_check(const char *program, struct err *e)
{
	struct stat st;

	if (lstat(program, &st) < 0)
		return err_sys(e, errno, "there is no program %s", program);
	if (!S_ISREG(st.st_mode) || st.st_uid != 0 || st.st_mode & (S_IWGRP | S_IWOTH))
		return err_set(e, EPERM,
			       "%s must be a regular file of root's that nobody else may write",
			       program);
	return 0;
}

/* Behind the fork: what it has is its three descriptors, those of more, and little environment. */
static _Noreturn void program_become(char *const *argv, int in_fd, int out_fd, pid_t parent)
{
	char pid[32];
	char *env[] = {
		(char *)PROGRAM_PATH, (char *)"LC_ALL=C", (char *)"HOME=/", NULL, NULL, NULL
	};
	sigset_t none;

	if (in_fd < 0) /* else the guard's */
		setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (out_fd >= 0 && (dup2(out_fd, STDOUT_FILENO) < 0 || dup2(out_fd, STDERR_FILENO) < 0))
		_exit(PROGRAM_MISSING);
	if (in_fd >= 0) {
		in_fd = fcntl(in_fd, F_DUPFD, PROGRAM_HIGH_FD);
		if (dup2(in_fd, PROGRAM_SOCKET_FD) < 0)
			_exit(PROGRAM_MISSING);
		snprintf(pid, sizeof(pid), "LISTEN_PID=%d", getpid());
		env[3] = (char *)"LISTEN_FDS=1";
		env[4] = pid;
	}
	close_range(in_fd >= 0 ? PROGRAM_SOCKET_FD + 1 : PROGRAM_SOCKET_FD, ~0U, 0);
	if (getppid() == parent)
		execve(argv[0], argv, env);
	dprintf(STDERR_FILENO, "cannot execute %s: %s\n", argv[0], strerror(errno));
	_exit(PROGRAM_MISSING);
}

/*
 * Beside the program, in its group: sees to it that no server outlives this service, whatever the
 * program makes of the signal it would get then. It has no descriptors, so it keeps no socket open.
 */
static _Noreturn void program_guard(char *const *argv, int listen_fd, pid_t parent)
{
	const struct timespec patience = { .tv_sec = PROGRAM_PATIENCE_S };
	pid_t own = getpid(), pid;
	sigset_t term, child;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &term, NULL);
	sigprocmask(SIG_BLOCK, &child, NULL);
	sigaddset(&term, SIGCHLD);
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	pid = fork();
	if (pid == 0)
		program_become(argv, listen_fd, -1, own);
	close_range(PROGRAM_SOCKET_FD, ~0U, 0);
	while (pid > 0 && waitpid(pid, NULL, WNOHANG) == 0) {
		if (sigwaitinfo(&term, NULL) != SIGTERM)
			continue;
		kill(pid, SIGTERM);
		while (waitpid(pid, NULL, WNOHANG) == 0) {
			if (sigtimedwait(&child, NULL, &patience) < 0 && errno == EAGAIN)
				kill(0, SIGKILL);
		}
		break;
	}
	_exit(EXIT_SUCCESS);
}

pid_t program_serve(const char *program, const char *image, int listen_fd)
{
	char *const argv[] = { (char *)program, (char *)"serve", (char *)image, NULL };
	pid_t parent = getpid(), pid = fork();

	if (pid == 0)
		program_guard(argv, listen_fd, parent);
	return pid < 0 ? -errno : pid;
}

/* The end of what it says, until it closes. -ETIMEDOUT */
static int program_listen(int fd, char words[PROGRAM_WORDS], int64_t deadline_ms)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	size_t size = 0;
	ssize_t n;

	words[0] = '\0';
	for (;;) {
		if (poll(&ready, 1, clock_left_ms(deadline_ms)) == 0)
			return -ETIMEDOUT;
		if (size == PROGRAM_WORDS - 1) {
			memmove(words, words + PROGRAM_WORDS / 2, PROGRAM_WORDS / 2);
			size -= PROGRAM_WORDS / 2;
		}
		n = read(fd, words + size, PROGRAM_WORDS - 1 - size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return 0;
		size += (size_t)n;
		words[size] = '\0';
	}
}

/* What programs say last is mostly why. */
static const char *program_last_line(char *words)
{
	size_t n = strlen(words);
	const char *line;

	while (n && (words[n - 1] == '\n' || words[n - 1] == '\r' || words[n - 1] == ' '))
		words[--n] = '\0';
	line = strrchr(words, '\n');
	return line ? line + 1 : words;
}

static int program_verdict(const char *verb, int status, char *words, struct err *e)
{
	char line[160];

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	quote_text(line, sizeof(line), program_last_line(words));
	if (!WIFEXITED(status))
		return err_set(e, EIO, "%s: it was killed by signal %d", verb, WTERMSIG(status));
	return err_set(e, EIO, "%s: %s (status %d)", verb, *line ? line : "it does not say why",
		       WEXITSTATUS(status));
}

int program_run(const char *program, const char *verb, const char *image, uint64_t size_bytes,
		struct err *e)
{
	char size[24], words[PROGRAM_WORDS];
	char *const argv[] = { (char *)program, (char *)verb, (char *)image,
			       size_bytes ? size : NULL, NULL };
	auto_close int out_fd = -1, in_fd = -1;
	pid_t parent = getpid(), pid;
	int pair[2], status, r;

	snprintf(size, sizeof(size), "%" PRIu64, size_bytes);
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_sys(e, errno, "cannot make a pipe");
	in_fd = pair[0];
	out_fd = pair[1];
	pid = fork();
	if (pid < 0)
		return err_sys(e, errno, "cannot make a process");
	if (pid == 0)
		program_become(argv, -1, out_fd, parent);
	close_fdp(&out_fd);
	r = program_listen(in_fd, words, clock_deadline_ms(POOL_WORK_MS));
	if (r < 0) {
		kill(pid, SIGKILL);
		kill(-pid, SIGKILL);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r < 0)
		return err_set(e, ETIMEDOUT, "%s: it did not end within %d s", verb,
			       POOL_WORK_MS / 1000);
	return program_verdict(verb, status, words, e);
}
