/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/privileged/detach.h"
#include "driver/privileged/last_close.h"
#include "driver/privileged/op.h"
#include "driver/privileged/process.h"
#include "driver/privileged/reconcile.h"
#include "driver/privileged/request.h"
#include "driver/privileged/sd.h"

#define SERVER_IDLE_MS 10000	  /* a caller says something within this */
#define SERVER_CALLERS_MAX 256	  /* connections and requests at once, */
#define SERVER_CALLERS_OTHERS 128 /* of all users but root and the hook's, */
#define SERVER_CALLERS_OF_UID 16  /* and of one of them */
#define SERVER_GROUPS_MAX 64
#define SERVER_RETRY_MAX_MS 60000

/* What an epoll event is about: a kind, and which one of it. No pointers that could dangle. */
enum watch {
	WATCH_LISTEN,
	WATCH_SIGNAL,
	WATCH_CALLER,	 /* a connection that has not asked yet: its serial number */
	WATCH_LEDGER,	 /* a child's questions: the caller's serial number */
	WATCH_WORKER,	 /* the end of a device's worker: lower half of the generation */
	WATCH_CONTAINER, /* the end of a device's container: the same */
};

/* A connection, and from its request on the child that serves it. */
struct caller {
	struct caller *next;
	uint32_t serial;
	int peer_fd; /* -1: the helper's own work */
	uid_t uid;
	gid_t gid;
	uint32_t gids[SERVER_GROUPS_MAX + 1];
	size_t nr_gids;
	int64_t deadline_ms;
	int64_t undo_ms; /* until when it may go on undoing what it began; 0: it does not */
	pid_t pid;	 /* 0: it has not asked yet */
	int ledger_fd;	 /* -1 until then, and when its child has done its work */
	bool killed;
};

struct server {
	const struct helper *helper;
	struct registry *registry;
	struct caller *callers;
	uint32_t next_serial;
	int epoll_fd;
	int listen_fd;
	int signal_fd;
	pid_t reconcile_pid; /* 0: done */
	bool ending;
};

static int server_watch(struct server *s, int fd, enum watch watch, uint32_t which, uint32_t extra)
{
	struct epoll_event event = {
		.events = EPOLLIN | extra,
		.data.u64 = (uint64_t)watch << 32 | which,
	};

	if (!epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		return 0;
	if (errno == EEXIST && !epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, fd, &event))
		return 0;
	return -errno;
}

/* ---- callers ---- */

static struct caller *caller_new(struct server *s)
{
	struct caller *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->serial = ++s->next_serial;
	c->peer_fd = -1;
	c->ledger_fd = -1;
	c->next = s->callers;
	s->callers = c;
	return c;
}

static void caller_hang_up(struct caller *c)
{
	pid_t holder = c->peer_fd < 0 ? -1 : last_close_begin();

	close_fdp(&c->peer_fd);
	last_close_end(holder);
}

static void caller_free(struct server *s, struct caller *c)
{
	struct caller **at = &s->callers;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	caller_hang_up(c);
	close_fdp(&c->ledger_fd);
	free(c);
}

static struct caller *caller_find(struct server *s, uint32_t serial)
{
	for (struct caller *c = s->callers; c; c = c->next) {
		if (c->serial == serial)
			return c;
	}
	return NULL;
}

/* Who it is, as the kernel says: uid, gid, groups. */
static int caller_identify(struct caller *c)
{
	socklen_t size = sizeof(c->gids) - sizeof(c->gids[0]);
	struct ucred cred;
	socklen_t cred_size = sizeof(cred);

	if (getsockopt(c->peer_fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_size) < 0)
		return -errno;
	c->uid = cred.uid;
	c->gid = cred.gid;
	c->gids[0] = cred.gid;
	c->nr_gids = 1;
	if (!getsockopt(c->peer_fd, SOL_SOCKET, SO_PEERGROUPS, c->gids + 1, &size))
		c->nr_gids += size / sizeof(c->gids[0]);
	return 0;
}

/* Root's and the hook's requests are the host's own: no other user can use their room up. */
static bool caller_room(const struct server *s, uid_t uid)
{
	const uid_t hook_uid = s->helper->hook_uid;
	unsigned int all = 0, others = 0, same = 0;

	for (const struct caller *c = s->callers; c; c = c->next) {
		all++;
		others += c->uid != 0 && c->uid != hook_uid;
		same += c->uid == uid;
	}
	if (uid == 0 || uid == hook_uid)
		return all <= SERVER_CALLERS_MAX;
	return others <= SERVER_CALLERS_OTHERS && same <= SERVER_CALLERS_OF_UID;
}

static void server_accept(struct server *s)
{
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct caller *c;

	if (fd < 0)
		return;
	c = caller_new(s);
	if (!c) {
		close(fd);
		return;
	}
	c->peer_fd = fd;
	c->deadline_ms = clock_deadline_ms(SERVER_IDLE_MS);
	if (caller_identify(c) < 0 || !caller_room(s, c->uid)) {
		request_reply(fd, -EBUSY, NULL, "too many requests at once: try again");
		caller_free(s, c);
		return;
	}
	if (server_watch(s, fd, WATCH_CALLER, c->serial, 0) < 0)
		caller_free(s, c);
}

/* ---- children ---- */

/* In a child: nothing of the main process's is kept but what its own request needs. */
static void server_become_child(struct server *s, const struct caller *own)
{
	/* The main process may hang up on others meanwhile: then these closes would be the last. */
	pid_t holder = s->callers->next ? last_close_begin() : -1;
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	close(s->epoll_fd);
	close(s->listen_fd);
	close(s->signal_fd);
	for (const struct caller *c = s->callers; c; c = c->next) {
		if (c != own && c->peer_fd >= 0)
			close(c->peer_fd);
		if (c->ledger_fd >= 0)
			close(c->ledger_fd);
	}
	for (size_t i = 0; i < s->registry->nr_devices; i++) {
		close_fdp(&s->registry->devices[i]->worker_pidfd);
		close_fdp(&s->registry->devices[i]->container_pidfd);
	}
	last_close_end(holder);
}

/* What a child does: the caller's request, or with a generation the end of that device. */
struct server_job {
	uint64_t generation;
	bool reconcile;
};

static void server_child_main(struct server *s, struct caller *c, int ledger_fd, pid_t parent,
			      const struct server_job *job)
{
	struct op op = {
		.helper = s->helper,
		.registry = s->registry,
		.peer_fd = c->peer_fd,
		.ledger_fd = ledger_fd,
		.uid = c->uid,
		.gid = c->gid,
		.deadline_ms = c->deadline_ms,
	};
	struct err e = { "" };
	int r = 0;

	server_become_child(s, c);
	if (getppid() != parent)
		_exit(EXIT_FAILURE); /* it died before we asked to die with it */
	if (job->reconcile)
		r = reconcile_run(&op, &e);
	else if (job->generation)
		r = detach_own(&op, job->generation, &e);
	else
		request_run(&op);
	if (r < 0)
		log_error("%s", e.text);
	/* Its work is done. What child_run() left behind and cannot die keeps the caller's place.
	 */
	shutdown(ledger_fd, SHUT_RDWR);
	while (waitpid(-1, NULL, __WCLONE) > 0)
		;
	_exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

static int server_fork(struct server *s, struct caller *c, const struct server_job *job)
{
	pid_t parent = getpid();
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	c->deadline_ms = clock_deadline_ms(OP_TIMEOUT_MS);
	pid = fork();
	if (pid == 0) {
		close(pair[0]);
		server_child_main(s, c, pair[1], parent, job);
	}
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return -errno;
	}
	c->pid = pid;
	c->ledger_fd = pair[0];
	c->deadline_ms += OP_GRACE_MS;
	return server_watch(s, pair[0], WATCH_LEDGER, c->serial, 0);
}

/* The request has come: from here on its child reads it. */
static void server_caller_asks(struct server *s, struct caller *c)
{
	struct server_job job = { 0 };

	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, c->peer_fd, NULL);
	if (server_fork(s, c, &job) == 0)
		return;
	log_error("cannot start a child for a request: %s", strerror(errno));
	if (!c->pid)
		caller_free(s, c);
}

static pid_t server_own_work(struct server *s, const struct server_job *job)
{
	struct caller *c = caller_new(s);
	pid_t pid;

	if (!c)
		return 0;
	if (server_fork(s, c, job) < 0)
		log_error("cannot start a child: %s", strerror(errno));
	pid = c->pid;
	if (!pid)
		caller_free(s, c);
	return pid;
}

/* ---- devices ---- */

static void device_retry_later(struct device *d)
{
	int delay_ms = d->nr_tries < 10 ? 100 << d->nr_tries : SERVER_RETRY_MAX_MS;

	d->retry_ms = clock_now_ms() + (d->nr_tries ? delay_ms : 0);
	d->nr_tries++;
}

static void server_end_device(struct server *s, struct device *d)
{
	struct server_job job = { .generation = d->rec.generation };

	d->retry_ms = 0;
	if (d->op_pid || s->ending)
		return; /* looked at again when that one is done, or by the next helper */
	d->op_pid = server_own_work(s, &job);
	if (!d->op_pid)
		device_retry_later(d);
}

/* Watches the processes a live device depends on; one that has ended already shows at once. */
static void server_watch_device(struct server *s, struct device *d)
{
	struct record *rec = &d->rec;
	bool lost = false;

	if (d->worker_pidfd < 0)
		d->worker_pidfd = process_pin(rec->worker_pid, rec->worker_start);
	if (d->container_pidfd < 0 && !(rec->flags & WIRE_HOST))
		d->container_pidfd = process_pin(rec->container_pid, rec->container_start);
	lost |= d->worker_pidfd < 0 || server_watch(s, d->worker_pidfd, WATCH_WORKER,
						    (uint32_t)rec->generation, EPOLLONESHOT) < 0;
	if (!(rec->flags & WIRE_HOST))
		lost |= d->container_pidfd < 0 ||
			server_watch(s, d->container_pidfd, WATCH_CONTAINER,
				     (uint32_t)rec->generation, EPOLLONESHOT) < 0;
	if (lost)
		server_end_device(s, d);
}

/* Nobody works on it now: what is live is watched, what is not is undone. */
static void server_settle_device(struct server *s, struct device *d)
{
	d->op_pid = 0;
	if (d->rec.state == WIRE_STATE_LIVE)
		server_watch_device(s, d);
	else
		device_retry_later(d);
}

static struct device *server_find_device(struct server *s, uint32_t which)
{
	return registry_find(s->registry, RECORD_GENERATION_MARK << 32 | which);
}

static void server_process_ended(struct server *s, uint32_t which, enum watch watch)
{
	struct device *d = server_find_device(s, which);

	if (!d || d->op_pid)
		return;
	if (watch == WATCH_WORKER)
		log_error("ublkb%u: its worker (pid %d) ended; the device is taken away",
			  d->rec.dev_id, d->rec.worker_pid);
	else
		log_info("ublkb%u: container %s ended", d->rec.dev_id, d->rec.container);
	server_end_device(s, d);
}

/* The child has said all it had to say: what it worked on is free again. */
static void server_work_done(struct server *s, struct caller *c)
{
	close_fdp(&c->ledger_fd);
	c->deadline_ms = INT64_MAX;
	for (size_t i = 0; i < s->registry->nr_devices; i++) {
		if (s->registry->devices[i]->op_pid == c->pid)
			server_settle_device(s, s->registry->devices[i]);
	}
	if (c->pid == s->reconcile_pid) {
		s->reconcile_pid = 0;
		if (!s->ending && server_watch(s, s->listen_fd, WATCH_LISTEN, 0, 0) < 0)
			s->ending = true;
		sd_notify_ready();
	}
}

static void server_ledger(struct server *s, struct caller *c)
{
	struct registry_peer peer = { c->uid, c->gids, c->nr_gids, c->pid };
	struct op_change change = { 0 };
	struct device *d;

	if (op_answer(c->ledger_fd, s->registry, &peer, &change) < 0) {
		server_work_done(s, c);
		return;
	}
	if (change.deadline_ms && change.deadline_ms + OP_GRACE_MS < c->deadline_ms)
		c->deadline_ms = change.deadline_ms + OP_GRACE_MS;
	d = change.generation ? registry_find(s->registry, change.generation) : NULL;
	if (d && d->rec.state == WIRE_STATE_LIVE && !d->op_pid)
		server_watch_device(s, d);
	if (d && d->rec.state == WIRE_STATE_DETACHING && !c->undo_ms)
		c->undo_ms = clock_deadline_ms(OP_UNDO_MS);
}

/* ---- time and signals ---- */

static void server_child_ended(struct server *s, pid_t pid, int status)
{
	struct caller *c = s->callers;

	while (c && c->pid != pid)
		c = c->next;
	if (!c)
		return; /* a worker, or a child's child that was left behind */
	if (WIFSIGNALED(status) && !c->killed)
		log_error("a child of the helper died of signal %d", WTERMSIG(status));
	/* Questions it still asked are answered before its devices are settled. */
	while (c->ledger_fd >= 0)
		server_ledger(s, c);
	caller_free(s, c);
}

/* Nobody new is let in; what is under way is finished, which its deadlines bound. */
static void server_end(struct server *s)
{
	struct caller *next;

	s->ending = true;
	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, s->listen_fd, NULL);
	for (struct caller *c = s->callers; c; c = next) {
		next = c->next;
		if (!c->pid)
			caller_free(s, c);
	}
}

static void server_signal(struct server *s)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	if (read(s->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo != SIGCHLD) {
		server_end(s);
		return;
	}
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		server_child_ended(s, pid, status);
}

/*
 * A request that takes too long is answered here. Its child goes on only if it
 * is undoing; else its death makes somebody else undo what it began.
 */
static void caller_expire(struct server *s, struct caller *c)
{
	if (!c->pid) {
		server_caller_asks(s, c); /* its child finds no request and ends it */
		return;
	}
	if (c->peer_fd >= 0)
		request_reply(c->peer_fd, -ETIMEDOUT, NULL,
			      "it took too long (does the backing file's filesystem answer?); what "
			      "was begun is undone");
	close_fdp(&c->peer_fd); /* not the last one: the child is still there */
	if (clock_now_ms() < c->undo_ms) {
		c->deadline_ms = c->undo_ms;
		return;
	}
	kill(c->pid, SIGKILL);
	c->killed = true;
	c->deadline_ms = INT64_MAX;
}

static void server_expire(struct server *s)
{
	int64_t now = clock_now_ms();
	struct caller *next;

	for (struct caller *c = s->callers; c; c = next) {
		next = c->next;
		if (c->deadline_ms <= now)
			caller_expire(s, c);
	}
	for (size_t i = 0; i < s->registry->nr_devices; i++) {
		struct device *d = s->registry->devices[i];

		if (d->retry_ms && d->retry_ms <= now)
			server_end_device(s, d);
	}
}

/* Until the next deadline, in milliseconds. */
static int server_patience_ms(const struct server *s)
{
	int64_t next = INT64_MAX;

	for (const struct caller *c = s->callers; c; c = c->next)
		next = c->deadline_ms < next ? c->deadline_ms : next;
	for (size_t i = 0; i < s->registry->nr_devices; i++) {
		const struct device *d = s->registry->devices[i];

		if (d->retry_ms && d->retry_ms < next)
			next = d->retry_ms;
	}
	return clock_left_ms(next);
}

static void server_event(struct server *s, uint64_t data)
{
	enum watch watch = (enum watch)(data >> 32);
	uint32_t which = (uint32_t)data;
	struct caller *c = NULL;

	switch (watch) {
	case WATCH_LISTEN:
		server_accept(s);
		break;
	case WATCH_SIGNAL:
		server_signal(s);
		break;
	case WATCH_CALLER:
		c = caller_find(s, which);
		if (c)
			server_caller_asks(s, c);
		break;
	case WATCH_LEDGER:
		c = caller_find(s, which);
		if (c)
			server_ledger(s, c);
		break;
	case WATCH_WORKER:
	case WATCH_CONTAINER:
		server_process_ended(s, which, watch);
		break;
	}
}

/* Is anything under way that a helper that ends should wait for? */
static bool server_busy(const struct server *s)
{
	for (const struct caller *c = s->callers; c; c = c->next) {
		if (c->ledger_fd >= 0 && !c->killed)
			return true;
	}
	return false;
}

static int server_open(struct server *s, struct err *e)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	s->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	/* Workers and what children leave behind become ours to reap. */
	if (s->signal_fd < 0 || s->epoll_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ||
	    server_watch(s, s->signal_fd, WATCH_SIGNAL, 0, 0) < 0)
		return err_sys(e, errno, "cannot set up the event loop");
	return 0;
}

/* Devices of the helper before this one: adopted as they are, then compared with the kernel. */
static void server_begin(struct server *s)
{
	struct server_job job = { .reconcile = true };

	for (size_t i = 0; i < s->registry->nr_devices; i++)
		server_settle_device(s, s->registry->devices[i]);
	s->reconcile_pid = server_own_work(s, &job);
	if (!s->reconcile_pid)
		s->ending = true;
}

static void server_fini(struct server *s)
{
	while (s->callers)
		caller_free(s, s->callers);
	close_fdp(&s->epoll_fd);
	close_fdp(&s->signal_fd);
	close_fdp(&s->listen_fd);
}

int server_run(const struct helper *helper, struct registry *registry, int listen_fd, struct err *e)
{
	__attribute__((cleanup(server_fini))) struct server s = {
		.helper = helper,
		.registry = registry,
		.epoll_fd = -1,
		.listen_fd = listen_fd,
		.signal_fd = -1,
	};
	struct epoll_event event;
	int n, r;

	r = server_open(&s, e);
	if (r < 0)
		return r;
	server_begin(&s);
	while (!s.ending || server_busy(&s)) {
		/* One at a time: what one event frees, another must not still name. */
		n = epoll_wait(s.epoll_fd, &event, 1, server_patience_ms(&s));
		if (n < 0 && errno != EINTR)
			return err_sys(e, errno, "cannot wait for events");
		if (n > 0)
			server_event(&s, event.data.u64);
		server_expire(&s);
	}
	return 0;
}
