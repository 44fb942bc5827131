/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/server.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/privileged/access.h"
#include "driver/privileged/hang.h"
#include "driver/privileged/notice.h"
#include "driver/privileged/request.h"
#include "driver/privileged/sd.h"
#include "driver/privileged/watch.h"
#include "driver/privileged/work.h"

#define SERVER_ACCEPT_MAX 128 /* in one turn of the loop: all that wait */
#define SERVER_IDLE_MS 10000  /* a caller says something within this */

int server_watch(struct server *s, int fd, enum server_event event, uint32_t which, uint32_t extra)
{
	struct epoll_event ev = {
		.events = EPOLLIN | extra,
		.data.u64 = (uint64_t)event << 32 | which,
	};

	if (!epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev))
		return 0;
	if (errno == EEXIST && !epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, fd, &ev))
		return 0;
	return -errno;
}

/* False: there is no room for it, which it has been told. It is left open. */
static bool server_admit(struct server *s, int fd)
{
	struct caller *c = caller_new(&s->callers);
	bool admitted;

	if (!c)
		return false;
	c->peer_fd = fd;
	c->deadline_ms = clock_deadline_ms(SERVER_IDLE_MS);
	admitted = !caller_identify(c) && caller_room(&s->callers, c->uid, s->helper->hook_uid);
	if (!admitted)
		request_refuse_now(fd, -EAGAIN, "too many requests at once: try again");
	else
		admitted = !server_watch(s, fd, SERVER_CALLER, c->serial, 0);
	if (admitted) {
		caller_look_process(c);
	} else {
		c->peer_fd = -1;
		caller_free(&s->callers, c);
	}
	return admitted;
}

/*
 * One who connects without end fills the queue that others wait in too. To hang
 * up may cost a process, so it is done once for all that are turned away.
 */
static void server_accept(struct server *s)
{
	int refused[SERVER_ACCEPT_MAX];
	size_t nr_refused = 0;
	int fd;

	for (int i = 0; i < SERVER_ACCEPT_MAX; i++) {
		fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			break;
		if (!server_admit(s, fd))
			refused[nr_refused++] = fd;
	}
	caller_hang_up(refused, nr_refused);
}

/* The policy's file is read again; more signals meanwhile are one more time. */
static void server_reload(struct server *s)
{
	s->reload_again = s->reconcile_pid || s->reload_pid;
	if (s->reload_again || s->ending)
		return;
	sd_notify_reloading();
	s->reload_pid = work_own(s, WORK_RELOAD, 0);
	if (!s->reload_pid)
		sd_notify_ready();
}

void server_change_policy(struct server *s, struct policy *policy)
{
	policy_free(s->registry->policy);
	s->registry->policy = policy;
	s->registry->policy_serial++;
	log_info("another policy from now on: %zu rules", policy_nr_rules(policy));
}

void server_work_done(struct server *s, pid_t pid)
{
	if (pid == s->keeper.pid)
		keep_watch_done(s);
	if (pid != s->reconcile_pid && pid != s->reload_pid)
		return;
	if (pid == s->reconcile_pid) {
		s->reconcile_pid = 0;
		if (!s->ending && server_watch(s, s->listen_fd, SERVER_LISTEN, 0, 0) < 0)
			s->ending = true;
	} else {
		s->reload_pid = 0;
	}
	sd_notify_ready();
	if (s->reload_again)
		server_reload(s);
}

/* Nobody new is let in; what is under way is finished, which its deadlines bound. */
static void server_end(struct server *s)
{
	struct caller *next;

	s->ending = true;
	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, s->listen_fd, NULL);
	for (struct caller *c = s->callers.first; c; c = next) {
		next = c->next;
		if (!c->pid)
			caller_free(&s->callers, c);
	}
}

static void server_signal(struct server *s)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	if (read(s->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP) {
		server_reload(s);
		return;
	}
	if (info.ssi_signo != SIGCHLD) {
		server_end(s);
		return;
	}
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		work_ended(s, pid, status);
}

static void server_expire(struct server *s)
{
	int64_t now = clock_now_ms();
	struct caller *next;

	for (struct caller *c = s->callers.first; c; c = next) {
		next = c->next;
		if (c->deadline_ms <= now)
			work_expire(s, c);
	}
	watch_retry(s, now);
	keep_watch_retry(s, now);
	notice_retry(s, now);
	hang_pass(s, now);
	access_pass(s, now);
}

/* Until the next deadline, in milliseconds. */
static int server_patience_ms(const struct server *s)
{
	int64_t first_ms = s->keeper.retry_ms ? s->keeper.retry_ms : INT64_MAX;
	const int64_t others_ms[] = { caller_next_ms(&s->callers), watch_next_ms(s->registry),
				      hang_next_ms(s), access_next_ms(s),
				      s->notices_ms ? s->notices_ms : INT64_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(others_ms); i++)
		first_ms = others_ms[i] < first_ms ? others_ms[i] : first_ms;
	return clock_left_ms(first_ms);
}

static void server_event(struct server *s, uint64_t data)
{
	enum server_event event = (enum server_event)(data >> 32);
	uint32_t which = (uint32_t)data;
	struct caller *c = NULL;

	switch (event) {
	case SERVER_LISTEN:
		server_accept(s);
		break;
	case SERVER_SIGNAL:
		server_signal(s);
		break;
	case SERVER_CALLER:
		c = caller_find(&s->callers, which);
		if (c)
			work_request(s, c);
		break;
	case SERVER_LEDGER:
		c = caller_find(&s->callers, which);
		if (c)
			work_ledger(s, c);
		break;
	case SERVER_WORKER:
		watch_ended(s, which, WATCH_END_WORKER);
		break;
	case SERVER_CONTAINER:
		watch_ended(s, which, WATCH_END_CONTAINER);
		break;
	case SERVER_KEEPER:
		keep_watch_hear(s);
		break;
	case SERVER_NOTICE:
		notice_hear(s);
		break;
	}
}

static int server_open(struct server *s, struct err *e)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	s->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	/* Workers and what children leave behind become ours to reap. */
	if (s->signal_fd < 0 || s->epoll_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ||
	    server_watch(s, s->signal_fd, SERVER_SIGNAL, 0, 0) < 0)
		return err_sys(e, errno, "cannot set up the event loop");
	return 0;
}

/* Devices of the helper before this one: adopted as they are, then compared with the kernel. */
static void server_begin(struct server *s)
{
	for (size_t i = 0; i < s->registry->nr_devices; i++)
		watch_settle(s, s->registry->devices[i]);
	keep_watch_begin(s);
	notice_begin(s);
	s->reconcile_pid = work_own(s, WORK_RECONCILE, 0);
	if (!s->reconcile_pid)
		s->ending = true;
}

static void server_fini(struct server *s)
{
	while (s->callers.first)
		caller_free(&s->callers, s->callers.first);
	keep_fini(&s->keeper.keep);
	close_fdp(&s->epoll_fd);
	close_fdp(&s->signal_fd);
	close_fdp(&s->listen_fd);
}

int server_run(const struct helper *helper, struct registry *registry, int listen_fd,
	       struct keep *keep, struct err *e)
{
	__attribute__((cleanup(server_fini))) struct server s = {
		.helper = helper,
		.registry = registry,
		.keeper = { .keep = *keep, .begun_ms = clock_now_ms() },
		.epoll_fd = -1,
		.listen_fd = listen_fd,
		.signal_fd = -1,
	};
	struct epoll_event event;
	int n, r;

	keep->fd = -1;
	r = server_open(&s, e);
	if (r < 0)
		return r;
	server_begin(&s);
	while (!s.ending || work_busy(&s)) {
		/* One at a time: what one event frees, another must not still name. */
		n = epoll_wait(s.epoll_fd, &event, 1, server_patience_ms(&s));
		if (n < 0 && errno != EINTR)
			return err_sys(e, errno, "cannot wait for events");
		if (n > 0)
			server_event(&s, event.data.u64);
		server_expire(&s);
	}
	keep_watch_end(&s);
	return 0;
}
