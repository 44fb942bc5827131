/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "oci-hook/quote.h"

#define RUN_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define RUN_REASON_SIZE 512

static const char *const run_dirs[] = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
					"/usr/bin",	   "/sbin",	     "/bin" };

/* One end of the child's, read without waiting. */
struct stream {
	int fd;
	char *text;
	size_t size, max;
};

static void stream_fini(struct stream *s)
{
	close_fdp(&s->fd);
	free(s->text);
}

#define auto_stream cleanup_with(stream_fini)

/* What is there now. -EFBIG past its maximum; at the end fd becomes -1. */
static int stream_read(struct stream *s)
{
	char chunk[4096];
	ssize_t n;
	char *text;

	n = read(s->fd, chunk, sizeof(chunk));
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	if (!n) {
		close_fdp(&s->fd);
		return 0;
	}
	if (s->size + (size_t)n > s->max)
		return -EFBIG;
	text = realloc(s->text, s->size + (size_t)n + 1);
	if (!text)
		return -ENOMEM;
	memcpy(text + s->size, chunk, (size_t)n);
	s->text = text;
	s->size += (size_t)n;
	s->text[s->size] = '\0';
	return 0;
}

/* Until both streams are at their end. */
static int streams_read(struct stream *out, struct stream *err, int64_t deadline_ms)
{
	while (out->fd >= 0 || err->fd >= 0) {
		struct pollfd p[2] = { { .fd = out->fd, .events = POLLIN },
				       { .fd = err->fd, .events = POLLIN } };
		int r = poll(p, 2, clock_left_ms(deadline_ms));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (!r)
			return -ETIMEDOUT;
		r = p[0].revents ? stream_read(out) : 0;
		if (r < 0)
			return r;
		/* More words than fit are of no interest, and not the program's failure. */
		if (p[1].revents && stream_read(err) < 0)
			close_fdp(&err->fd);
	}
	return 0;
}

static int run_spawn(const char *const *argv, int out_fd, int err_fd, pid_t *ret_pid)
{
	/* The program's environment: where its state and its programs are, and nothing else. */
	static const char *const kept[] = { "XDG_RUNTIME_DIR=", "HOME=" };
	const char *env[ARRAY_SIZE(kept) + 2] = { RUN_PATH };
	posix_spawn_file_actions_t actions;
	size_t nr = 1;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		for (char **v = environ; v && *v; v++) {
			if (!strncmp(*v, kept[i], strlen(kept[i])) && nr < ARRAY_SIZE(env) - 1)
				env[nr++] = *v;
		}
	}
	r = posix_spawn_file_actions_init(&actions);
	if (r)
		return -r;
	r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&actions, err_fd, STDERR_FILENO);
	if (!r)
		r = posix_spawn(ret_pid, argv[0], &actions, NULL, (char *const *)argv,
				(char *const *)env);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

/* Waits for the end of a child whose streams are closed; kills it at the deadline. */
static int run_wait(pid_t pid, int64_t deadline_ms, int *ret_status)
{
	int r = 0;
	pid_t got;

	for (;;) {
		got = waitpid(pid, ret_status, WNOHANG);
		if (got == pid)
			return r;
		if (got < 0 && errno != EINTR)
			return -errno;
		if (!clock_left_ms(deadline_ms)) {
			kill(pid, SIGKILL);
			r = -ETIMEDOUT;
			deadline_ms = INT64_MAX;
		}
		clock_sleep_ms(2);
	}
}

static int run_verdict(const char *program, int status, struct stream *err, struct err *e)
{
	char words[160] = "";

	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	if (err->text) {
		err->text[strcspn(err->text, "\n")] = '\0';
		quote_text(words, sizeof(words), err->text);
	}
	if (WIFEXITED(status))
		return err_set(e, EIO, "%s failed with status %d%s%s", program, WEXITSTATUS(status),
			       *words ? ": " : "", words);
	return err_set(e, EIO, "%s was killed by signal %d", program, WTERMSIG(status));
}

int run_capture(const char *const *argv, size_t max, int timeout_ms, char **ret_text, struct err *e)
{
	int64_t deadline = clock_deadline_ms(timeout_ms);
	auto_stream struct stream out = { .fd = -1, .max = max };
	auto_stream struct stream err = { .fd = -1, .max = RUN_REASON_SIZE };
	auto_close int out_fd = -1, err_fd = -1;
	int pipe_out[2], pipe_err[2];
	int status = 0, r, ended;
	pid_t pid;

	if (pipe2(pipe_out, O_CLOEXEC) < 0)
		return err_sys(e, errno, "cannot make a pipe");
	out.fd = pipe_out[0];
	out_fd = pipe_out[1];
	if (pipe2(pipe_err, O_CLOEXEC) < 0)
		return err_sys(e, errno, "cannot make a pipe");
	err.fd = pipe_err[0];
	err_fd = pipe_err[1];
	r = run_spawn(argv, out_fd, err_fd, &pid);
	if (r < 0)
		return err_sys(e, -r, "cannot run %s", argv[0]);
	close_fdp(&out_fd);
	close_fdp(&err_fd);
	r = streams_read(&out, &err, deadline);
	if (r < 0)
		kill(pid, SIGKILL);
	ended = run_wait(pid, deadline, &status);
	if (r == -ETIMEDOUT || ended == -ETIMEDOUT)
		return err_set(e, ETIMEDOUT, "%s did not end within %d ms", argv[0], timeout_ms);
	if (r < 0)
		return err_sys(e, -r, "cannot read what %s prints", argv[0]);
	if (ended < 0)
		return err_sys(e, -ended, "cannot wait for %s", argv[0]);
	r = run_verdict(argv[0], status, &err, e);
	if (r < 0)
		return r;
	*ret_text = out.text ? ptr_take(out.text) : strdup("");
	return *ret_text ? 0 : err_sys(e, ENOMEM, "cannot keep what %s prints", argv[0]);
}

const char *run_find(const char *name, char *buf, size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(run_dirs); i++) {
		if (snprintf(buf, size, "%s/%s", run_dirs[i], name) < (int)size &&
		    !access(buf, X_OK))
			return buf;
	}
	return NULL;
}
