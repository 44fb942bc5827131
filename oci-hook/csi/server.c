/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/csi/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/base/service.h"
#include "driver/base/text.h"
#include "oci-hook/csi/grpc.h"
#include "oci-hook/csi/service.h"

#define SERVER_BACKLOG 32
#define SERVER_READ_BYTES 16384

struct server;

struct peer {
	struct server *server;
	int fd; /* -1: the row is free */
	struct grpc *grpc;
	const uint8_t *out; /* what of its bytes is still to be sent */
	size_t out_size;
	int64_t since_ms;
	bool failed; /* it is closed when those are sent */
};

/* How a call ended, in front of its message or words, as its process writes it. */
struct outcome {
	uint32_t code;
	uint32_t size;
};

/* A process that serves a call. */
struct work {
	int fd; /* its outcome; -1: the row is free */
	pid_t pid;
	struct peer *peer;
	int32_t stream;
	int64_t deadline_ms;
	uint8_t *bytes;
	size_t size, room;
};

struct server {
	const struct config *config;
	int listen_fd, signal_fd, locks_fd;
	struct peer peers[SERVER_PEERS_MAX];
	struct work works[SERVER_WORKS_MAX];
};

/* --- a call's process --------------------------------------------------------------------- */

static int work_write(int fd, const void *bytes, size_t size)
{
	while (size) {
		ssize_t n = write(fd, bytes, size);

		if (n < 0)
			return -errno;
		bytes = (const uint8_t *)bytes + n;
		size -= (size_t)n;
	}
	return 0;
}

static void work_serve(const struct server *s, const struct service_row *row,
		       const struct grpc_request *request, int64_t deadline_ms, int fd)
{
	auto_call struct call c = {
		.config = s->config,
		.locks_fd = s->locks_fd,
		.deadline_ms = deadline_ms,
	};
	struct outcome outcome = { 0 };
	const uint8_t *answer = NULL;
	size_t size = 0;

	outcome.code = service_run(row, &c, request->message, request->size, &answer, &size);
	if (outcome.code == CODE_OK && size > SERVER_ANSWER_MAX)
		outcome.code = call_refuse(&c, CODE_RESOURCE_EXHAUSTED, "the answer is too large");
	if (outcome.code != CODE_OK) {
		log_info("%s: %s", row->path, c.e.text);
		answer = (const uint8_t *)c.e.text;
		size = strlen(c.e.text);
	}
	outcome.size = (uint32_t)size;
	if (work_write(fd, &outcome, sizeof(outcome)) == 0)
		work_write(fd, answer, size);
}

/* Nothing of the main process but what the call needs; it ends when that one does. */
static void work_begin(struct server *s)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	service_child(&s->listen_fd, &s->signal_fd);
	for (size_t i = 0; i < SERVER_PEERS_MAX; i++) {
		if (s->peers[i].fd >= 0)
			close(s->peers[i].fd);
	}
	for (size_t i = 0; i < SERVER_WORKS_MAX; i++) {
		if (s->works[i].fd >= 0)
			close(s->works[i].fd);
	}
}

/* --- works -------------------------------------------------------------------------------- */

static void work_end(struct work *w)
{
	if (w->pid > 0)
		kill(w->pid, SIGKILL);
	close_fdp(&w->fd);
	free(w->bytes);
	w->bytes = NULL;
	w->size = w->room = 0;
	w->pid = 0;
}

static struct work *work_free_row(struct server *s)
{
	for (size_t i = 0; i < SERVER_WORKS_MAX; i++) {
		if (s->works[i].fd < 0)
			return &s->works[i];
	}
	return NULL;
}

static int work_start(struct server *s, struct work *w, const struct service_row *row,
		      const struct grpc_request *request)
{
	int64_t deadline_ms = clock_deadline_ms(request->timeout_ms);
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		work_begin(s);
		work_serve(s, row, request, deadline_ms, fds[1]);
		_exit(EXIT_SUCCESS);
	}
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return -errno;
	}
	w->fd = fds[0];
	w->pid = pid;
	w->deadline_ms = deadline_ms;
	w->stream = request->stream;
	return 0;
}

static void on_call(void *arg, const struct grpc_request *request)
{
	struct peer *p = arg;
	const struct service_row *row = service_find(request->path);
	struct work *w = work_free_row(p->server);

	if (!row) {
		grpc_answer(p->grpc, request->stream, CODE_UNIMPLEMENTED, "there is no such call",
			    NULL, 0);
		return;
	}
	if (w)
		w->peer = p;
	if (!w || work_start(p->server, w, row, request) < 0)
		grpc_answer(p->grpc, request->stream, CODE_UNAVAILABLE,
			    "too many calls are under way; try again", NULL, 0);
}

/* Taken back: what works on it is ended. */
static void on_gone(void *arg, int32_t stream)
{
	struct peer *p = arg;

	for (size_t i = 0; i < SERVER_WORKS_MAX; i++) {
		struct work *w = &p->server->works[i];

		if (w->fd >= 0 && w->peer == p && w->stream == stream)
			work_end(w);
	}
}

static void work_answer(struct work *w, enum code code, const char *words, const uint8_t *message,
			size_t size)
{
	if (grpc_answer(w->peer->grpc, w->stream, code, words, message, size) < 0)
		w->peer->failed = true;
	work_end(w);
}

/* Its process is done with it, or ended before. */
static void work_finish(struct work *w)
{
	char words[sizeof((struct err *)0)->text] = "";
	struct outcome outcome;

	if (w->size >= sizeof(outcome))
		memcpy(&outcome, w->bytes, sizeof(outcome));
	if (w->size < sizeof(outcome) || w->size != sizeof(outcome) + outcome.size ||
	    outcome.code >= CODE_END) {
		work_answer(w, CODE_INTERNAL, "the process of this call ended too early", NULL, 0);
		return;
	}
	if (outcome.code != CODE_OK && outcome.size < sizeof(words))
		memcpy(words, w->bytes + sizeof(outcome), outcome.size);
	work_answer(w, (enum code)outcome.code, words, w->bytes + sizeof(outcome), outcome.size);
}

static void work_read(struct work *w)
{
	size_t room = w->room ? 2 * w->room : 4096;
	uint8_t *bytes;
	ssize_t n;

	if (w->size == w->room) {
		bytes = room <= 2 * SERVER_ANSWER_MAX ? realloc(w->bytes, room) : NULL;
		if (!bytes) {
			work_answer(w, CODE_RESOURCE_EXHAUSTED, "there is no memory", NULL, 0);
			return;
		}
		w->bytes = bytes;
		w->room = room;
	}
	n = read(w->fd, w->bytes + w->size, w->room - w->size);
	if (n > 0)
		w->size += (size_t)n;
	else if (n == 0 || errno != EINTR)
		work_finish(w);
}

/* --- peers -------------------------------------------------------------------------------- */

static void peer_close(struct peer *p)
{
	for (size_t i = 0; i < SERVER_WORKS_MAX; i++) {
		if (p->server->works[i].fd >= 0 && p->server->works[i].peer == p)
			work_end(&p->server->works[i]);
	}
	grpc_closep(&p->grpc);
	close_fdp(&p->fd);
	p->out_size = 0;
}

static void peer_accept(struct server *s)
{
	static const struct grpc_events events = { on_call, on_gone };
	auto_close int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	for (size_t i = 0; i < SERVER_PEERS_MAX && fd >= 0; i++) {
		struct peer *p = &s->peers[i];

		if (p->fd >= 0)
			continue;
		if (grpc_open(&p->grpc, &events, p) < 0)
			return;
		p->server = s;
		p->fd = fd_take(&fd);
		p->since_ms = clock_now_ms();
		p->failed = false;
		return;
	}
	if (fd >= 0)
		log_warning("a connection is closed: there are %d already", SERVER_PEERS_MAX);
}

static void peer_read(struct peer *p)
{
	uint8_t bytes[SERVER_READ_BYTES];
	ssize_t n = read(p->fd, bytes, sizeof(bytes));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		peer_close(p);
	else if (grpc_take(p->grpc, bytes, (size_t)n) < 0)
		p->failed = true;
}

/* As much as the socket takes. */
static void peer_write(struct peer *p)
{
	while (p->fd >= 0) {
		ssize_t n;

		if (!p->out_size) {
			n = grpc_give(p->grpc, &p->out);
			if (n > 0)
				p->out_size = (size_t)n;
			else if (n < 0 || p->failed || grpc_ended(p->grpc))
				peer_close(p);
			if (n <= 0)
				return;
		}
		n = send(p->fd, p->out, p->out_size, MSG_NOSIGNAL);
		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				peer_close(p);
			return;
		}
		p->out += n;
		p->out_size -= (size_t)n;
	}
}

/* --- all of it ---------------------------------------------------------------------------- */

/* What is to be looked at; its rows are those of the server, in this order. */
#define POLL_FIXED 2
#define POLL_ALL (POLL_FIXED + SERVER_PEERS_MAX + SERVER_WORKS_MAX)

static void earliest(int64_t *at_ms, int64_t other_ms)
{
	if (other_ms < *at_ms)
		*at_ms = other_ms;
}

/* How long nothing is to be done but what one of the fds says. */
static int poll_fill(struct server *s, struct pollfd fds[POLL_ALL])
{
	int64_t until_ms = INT64_MAX;

	fds[0] = (struct pollfd){ .fd = s->listen_fd, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = s->signal_fd, .events = POLLIN };
	for (size_t i = 0; i < SERVER_PEERS_MAX; i++) {
		const struct peer *p = &s->peers[i];

		fds[POLL_FIXED + i] = (struct pollfd){
			.fd = p->fd,
			.events = (short)((p->failed ? 0 : POLLIN) | (p->out_size ? POLLOUT : 0)),
		};
		if (p->fd >= 0 && !grpc_began(p->grpc))
			earliest(&until_ms, p->since_ms + SERVER_BEGIN_MS);
	}
	for (size_t i = 0; i < SERVER_WORKS_MAX; i++) {
		fds[POLL_FIXED + SERVER_PEERS_MAX + i] =
			(struct pollfd){ .fd = s->works[i].fd, .events = POLLIN };
		if (s->works[i].fd >= 0)
			earliest(&until_ms, s->works[i].deadline_ms);
	}
	return clock_left_ms(until_ms);
}

/* Who is late: calls whose time is over, connections that never began. */
static void server_end_late(struct server *s)
{
	int64_t now_ms = clock_now_ms();

	for (size_t i = 0; i < SERVER_WORKS_MAX; i++) {
		if (s->works[i].fd >= 0 && s->works[i].deadline_ms <= now_ms)
			work_answer(&s->works[i], CODE_DEADLINE_EXCEEDED, "its time is over", NULL,
				    0);
	}
	for (size_t i = 0; i < SERVER_PEERS_MAX; i++) {
		struct peer *p = &s->peers[i];

		if (p->fd >= 0 && !grpc_began(p->grpc) && p->since_ms + SERVER_BEGIN_MS <= now_ms)
			peer_close(p);
	}
}

static void server_step(struct server *s, const struct pollfd fds[POLL_ALL])
{
	const struct pollfd *peers = fds + POLL_FIXED, *works = peers + SERVER_PEERS_MAX;

	for (size_t i = 0; i < SERVER_WORKS_MAX; i++) {
		if (works[i].fd >= 0 && works[i].revents && s->works[i].fd == works[i].fd)
			work_read(&s->works[i]);
	}
	for (size_t i = 0; i < SERVER_PEERS_MAX; i++) {
		struct peer *p = &s->peers[i];

		if (p->fd >= 0 && p->fd == peers[i].fd && peers[i].revents & ~POLLOUT) {
			if (p->failed)
				peer_close(p);
			else
				peer_read(p);
		}
	}
	server_end_late(s);
	for (size_t i = 0; i < SERVER_PEERS_MAX; i++)
		peer_write(&s->peers[i]);
	if (fds[0].revents)
		peer_accept(s);
}

/* Children that ended. A work whose process is gone has its outcome in the pipe, or none. */
static void server_reap(struct server *s)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		for (size_t i = 0; i < SERVER_WORKS_MAX; i++) {
			if (s->works[i].pid == pid)
				s->works[i].pid = 0;
		}
	}
}

static int server_loop(struct server *s, struct err *e)
{
	struct pollfd fds[POLL_ALL];

	for (;;) {
		if (poll(fds, POLL_ALL, poll_fill(s, fds)) < 0) {
			if (errno == EINTR)
				continue;
			return err_sys(e, errno, "cannot wait");
		}
		if (service_ends(s->signal_fd))
			return 0;
		server_reap(s);
		server_step(s, fds);
	}
}

static int server_open(struct server *s, struct err *e)
{
	for (size_t i = 0; i < SERVER_PEERS_MAX; i++)
		s->peers[i].fd = -1;
	for (size_t i = 0; i < SERVER_WORKS_MAX; i++)
		s->works[i].fd = -1;
	s->locks_fd = memfd_create("locks", MFD_CLOEXEC);
	if (s->locks_fd < 0)
		return err_sys(e, errno, "cannot begin");
	return service_signals(&s->signal_fd, e);
}

static void server_close(struct server *s)
{
	for (size_t i = 0; i < SERVER_PEERS_MAX; i++) {
		if (s->peers[i].fd < 0)
			continue;
		grpc_shut(s->peers[i].grpc);
		peer_write(&s->peers[i]);
		if (s->peers[i].fd >= 0)
			peer_close(&s->peers[i]);
	}
	close_fdp(&s->signal_fd);
	close_fdp(&s->locks_fd);
}

int server_run(int listen_fd, const struct config *config, struct err *e)
{
	struct server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_sys(e, ENOMEM, "cannot begin");
	s->config = config;
	s->listen_fd = listen_fd;
	r = server_open(s, e);
	if (r == 0)
		r = server_loop(s, e);
	server_close(s);
	free(s);
	return r;
}

/* --- the socket --------------------------------------------------------------------------- */

static bool answered(const struct sockaddr_un *address)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
}

int server_listen(const char *path, int *ret_fd, struct err *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	auto_close int fd = -1;

	if (text_copy(address.sun_path, sizeof(address.sun_path), path) < 0)
		return err_set(e, ENAMETOOLONG, "the socket's path is too long: %s", path);
	if (answered(&address))
		return err_set(e, EADDRINUSE, "somebody listens at %s already", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_sys(e, errno, "cannot remove the old socket %s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* The umask is the main program's: nobody else may connect. */
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, SERVER_BACKLOG) < 0)
		return err_sys(e, errno, "cannot listen at %s", path);
	*ret_fd = fd_take(&fd);
	return 0;
}
