/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/store/probing.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "oci-hook/quote.h"

#define PROBING_STEP_MS 100
#define PROBING_WORDS 512 /* of what a tool says, the first */
#define PROBING_FDS_FROM 10
#define PROBING_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* A run of the program, and what it left. */
struct run {
	pid_t pid;
	int out_fd, err_fd; /* -1: at its end */
	char out[sizeof(struct probe_answer) + 1];
	char err[PROBING_WORDS];
	size_t out_size, err_size;
	int status;
};

static void run_fini(struct run *run)
{
	close_fdp(&run->out_fd);
	close_fdp(&run->err_fd);
	if (run->pid > 0) {
		kill(run->pid, SIGKILL);
		waitpid(run->pid, NULL, 0);
	}
}

/* What the program finds open, at its number; to stay open over its start. */
static bool run_give(int from_fd, int fd)
{
	return from_fd < 0 || dup2(from_fd, fd) == fd;
}

static _Noreturn void run_child(const struct probing *p, const char *const *argv, int data_fd,
				int out_fd, int err_fd, pid_t parent)
{
	static const char *const env[] = { PROBING_PATH, "LC_ALL=C", "HOME=/", NULL };
	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int fds[] = { null_fd, out_fd, err_fd, data_fd, p->lock_fd };

	/* Out of the way of the numbers they get. */
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (fds[i] >= 0)
			fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, PROBING_FDS_FROM);
	}
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (!run_give(fds[i], (int)i))
			_exit(PROBE_EXIT_BROKEN);
	}
	close_range(p->lock_fd < 0 ? PROBE_LOCK_FD : PROBE_LOCK_FD + 1, ~0U, 0);
	/* Nothing is done to a volume that nobody answers for. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_DFL);
	if (getppid() == parent)
		execve(p->program ? p->program : PROBE_PROGRAM, (char *const *)argv,
		       (char *const *)env);
	_exit(PROBE_EXIT_MISSING);
}

static int run_start(const struct probing *p, struct run *run, const char *const *argv, int fd,
		     struct err *e)
{
	auto_close int out_fd = -1, err_fd = -1;
	pid_t parent = getpid();
	int pair[2];

	if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_sys(e, errno, "cannot make a pipe");
	run->out_fd = pair[0];
	out_fd = pair[1];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_sys(e, errno, "cannot make a pipe");
	run->err_fd = pair[0];
	err_fd = pair[1];
	fcntl(out_fd, F_SETFL, 0);
	fcntl(run->err_fd, F_SETFL, O_NONBLOCK);
	run->pid = fork();
	if (run->pid < 0)
		return err_sys(e, errno, "cannot make a process");
	if (run->pid == 0)
		run_child(p, argv, fd, out_fd, err_fd, parent);
	return 0;
}

/* What is there now; what is more than fits is read and forgotten. */
static void run_read(int *fd, char *text, size_t *size, size_t max)
{
	char more[4096];
	ssize_t n = read(*fd, more, sizeof(more));
	size_t fits = max - *size;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		close_fdp(fd);
		return;
	}
	if ((size_t)n < fits)
		fits = (size_t)n;
	memcpy(text + *size, more, fits);
	*size += fits;
}

/* Until it has ended, and all of its words are here. */
static int run_wait(const struct probing *p, struct run *run, int timeout_ms, struct err *e)
{
	int64_t deadline_ms = clock_deadline_ms(timeout_ms);
	int r;

	while (run->out_fd >= 0 || run->err_fd >= 0) {
		struct pollfd fds[] = { { .fd = run->out_fd, .events = POLLIN },
					{ .fd = run->err_fd, .events = POLLIN } };

		r = p->watch ? p->watch->step(p->watch->arg, 0, 0) : 0;
		if (r < 0)
			return err_sys(e, -r, "it was not finished");
		if (!clock_left_ms(deadline_ms))
			return err_set(e, ETIMEDOUT, "it did not end within %d s",
				       timeout_ms / 1000);
		poll(fds, ARRAY_SIZE(fds), PROBING_STEP_MS);
		if (fds[0].revents)
			run_read(&run->out_fd, run->out, &run->out_size, sizeof(run->out));
		if (fds[1].revents)
			run_read(&run->err_fd, run->err, &run->err_size, sizeof(run->err) - 1);
	}
	while ((r = waitpid(run->pid, &run->status, 0)) < 0 && errno == EINTR)
		;
	run->pid = -1;
	return r < 0 ? err_sys(e, errno, "cannot wait for it") : 0;
}

/* One line of what it said: the first that gives a reason ("NAME: reason"), not its version. */
static void run_words(struct run *run, char *words, size_t size)
{
	char *line, *rest = run->err, *best = NULL;

	run->err[run->err_size] = '\0';
	while ((line = strsep(&rest, "\n"))) {
		if (!best || strstr(line, ": "))
			best = line;
		if (strstr(line, ": "))
			break;
	}
	quote_text(words, size, best);
}

/* Its exit status, or -errno with what it said. */
static int run_verdict(struct run *run, struct err *e)
{
	char words[160];

	run_words(run, words, sizeof(words));
	if (!WIFEXITED(run->status))
		return err_set(e, EIO, "it was killed by signal %d", WTERMSIG(run->status));
	if (WEXITSTATUS(run->status) == PROBE_EXIT_MISSING)
		return err_set(e, EIO /* not ENOENT, as it is no volume */, "%s",
			       *words ? words : "ublk-oci-probe is not installed");
	if (WEXITSTATUS(run->status) == PROBE_EXIT_BROKEN)
		return err_set(e, EIO, "it cannot be started in its sandbox: %s", words);
	if (WEXITSTATUS(run->status) && e)
		err_set(e, EIO, "failed with status %d%s%s", WEXITSTATUS(run->status),
			*words ? ": " : "", words);
	return WEXITSTATUS(run->status);
}

#define RUN_INIT                                                                                   \
	{                                                                                          \
		.pid = -1, .out_fd = -1, .err_fd = -1                                              \
	}

/* 0, or the status of a tool that has failed with its words in *e; -errno. */
static int probing_run(const struct probing *p, struct run *run, enum probe_verb verb, int fd,
		       enum catalog_filesystem filesystem, int timeout_ms, struct err *e)
{
	const char *argv[] = { "ublk-oci-probe", probe_verb(verb),
			       filesystem ? catalog_filesystem(filesystem) : NULL, NULL };
	int r;

	r = run_start(p, run, argv, fd, e);
	if (r == 0)
		r = run_wait(p, run, timeout_ms, e);
	return r < 0 ? r : run_verdict(run, e);
}

int probing_look(const struct probing *p, int fd, struct probe_answer *ret, struct err *e)
{
	cleanup_with(run_fini) struct run run = RUN_INIT;
	struct err why = { "" };
	int r;

	r = probing_run(p, &run, PROBE_LOOK, fd, FILESYSTEM_NONE, PROBING_LOOK_MS, &why);
	if (r == -ECANCELED)
		return err_set(e, ECANCELED, "%s", why.text);
	memcpy(ret, run.out, sizeof(*ret));
	if (r == 0)
		r = probe_answer_check(ret, run.out_size, &why);
	if (r == 0)
		return 0;
	*ret = (struct probe_answer){ .magic = PROBE_MAGIC, .version = PROBE_VERSION };
	probe_text(ret->reason, sizeof(ret->reason), why.text);
	return 0;
}

int probing_mkfs(const struct probing *p, int fd, enum catalog_filesystem filesystem, struct err *e)
{
	cleanup_with(run_fini) struct run run = RUN_INIT;
	int r = probing_run(p, &run, PROBE_MKFS, fd, filesystem, PROBING_MKFS_MS, e);

	return r ? err_prefix(e, r < 0 ? r : -EIO, "mkfs.%s", catalog_filesystem(filesystem)) : 0;
}

/* By exit status, which each tool has its own of; what is not here is a failure. */
static const struct {
	enum catalog_filesystem filesystem;
	int status;
	enum probing_verdict verdict;
} probing_verdicts[] = {
	{ FILESYSTEM_EXT4, 0, PROBING_CLEAN },	 { FILESYSTEM_EXT4, 1, PROBING_MENDED },
	{ FILESYSTEM_EXT4, 2, PROBING_MENDED },	 { FILESYSTEM_EXT4, 3, PROBING_MENDED },
	{ FILESYSTEM_EXT4, 4, PROBING_DAMAGED }, { FILESYSTEM_EXT4, 12, PROBING_DAMAGED },
	{ FILESYSTEM_XFS, 0, PROBING_CLEAN },	 { FILESYSTEM_XFS, 1, PROBING_DAMAGED },
	{ FILESYSTEM_BTRFS, 0, PROBING_CLEAN },	 { FILESYSTEM_BTRFS, 1, PROBING_DAMAGED },
};

int probing_fsck(const struct probing *p, int fd, enum probe_verb verb,
		 enum catalog_filesystem filesystem, enum probing_verdict *ret, struct err *e)
{
	cleanup_with(run_fini) struct run run = RUN_INIT;
	int r = probing_run(p, &run, verb, fd, filesystem, PROBING_FSCK_MS, e);

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(probing_verdicts); i++) {
		if (probing_verdicts[i].filesystem != filesystem || probing_verdicts[i].status != r)
			continue;
		*ret = probing_verdicts[i].verdict;
		return 0;
	}
	return err_prefix(e, r < 0 ? r : -EIO, "fsck of %s", catalog_filesystem(filesystem));
}

int probing_resize(const struct probing *p, int fd, enum catalog_filesystem filesystem,
		   struct err *e)
{
	cleanup_with(run_fini) struct run run = RUN_INIT;
	int r;

	if (filesystem != FILESYSTEM_EXT4)
		return err_set(e, EOPNOTSUPP, "a %s grows when it is mounted",
			       catalog_filesystem(filesystem));
	r = probing_run(p, &run, PROBE_RESIZE, fd, filesystem, PROBING_FSCK_MS, e);
	return r ? err_prefix(e, r < 0 ? r : -EIO, "resize2fs") : 0;
}
