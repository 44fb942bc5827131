/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/work.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/privileged/access.h"
#include "driver/privileged/detach.h"
#include "driver/privileged/hang.h"
#include "driver/privileged/keep_watch.h"
#include "driver/privileged/last_close.h"
#include "driver/privileged/op.h"
#include "driver/privileged/reconcile.h"
#include "driver/privileged/recover.h"
#include "driver/privileged/reload.h"
#include "driver/privileged/request.h"
#include "driver/privileged/server.h"
#include "driver/privileged/watch.h"

struct work {
	enum work_kind kind;
	uint64_t generation; /* of the device it is about */
};

static int work_do_request(struct op *op, const struct work *work, struct err *e)
{
	request_run(op);
	return 0;
}

static int work_do_end_device(struct op *op, const struct work *work, struct err *e)
{
	return detach_own(op, work->generation, e);
}

static int work_do_recover(struct op *op, const struct work *work, struct err *e)
{
	return recover_run(op, work->generation, e);
}

static int work_do_give_up(struct op *op, const struct work *work, struct err *e)
{
	const struct device *d = registry_find(op->registry, work->generation);
	char why[sizeof(d->rec.failure)];

	if (!d)
		return 0;
	snprintf(why, sizeof(why), "%u workers died one soon after the other; the last %s",
		 d->nr_deaths, *d->last_words ? d->last_words : "ended");
	return recover_give_up(op, work->generation, why, e);
}

static int work_do_look(struct op *op, const struct work *work, struct err *e)
{
	return hang_look(op, work->generation, e);
}

static int work_do_access(struct op *op, const struct work *work, struct err *e)
{
	return access_look(op, work->generation, e);
}

static int work_do_reconcile(struct op *op, const struct work *work, struct err *e)
{
	return reconcile_run(op, e);
}

static int work_do_reload(struct op *op, const struct work *work, struct err *e)
{
	size_t nr_rules;

	return reload_run(op, &nr_rules, e);
}

static int work_do_keeper(struct op *op, const struct work *work, struct err *e)
{
	return keep_watch_start(op->helper, e);
}

static int (*const work_do[WORK_END])(struct op *op, const struct work *work, struct err *e) = {
	[WORK_REQUEST] = work_do_request,     [WORK_END_DEVICE] = work_do_end_device,
	[WORK_RECOVER] = work_do_recover,     [WORK_GIVE_UP] = work_do_give_up,
	[WORK_LOOK] = work_do_look,	      [WORK_ACCESS] = work_do_access,
	[WORK_RECONCILE] = work_do_reconcile, [WORK_RELOAD] = work_do_reload,
	[WORK_KEEPER] = work_do_keeper,
};

/* In a child: nothing of the main process's is kept but what its own request needs. */
static void work_become_child(struct server *s, const struct caller *own)
{
	/* The main process may hang up on others meanwhile: then these closes would be the last. */
	pid_t holder = s->callers.first->next ? last_close_begin() : -1;
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	close(s->epoll_fd);
	close(s->listen_fd);
	close(s->signal_fd);
	keep_fini(&s->keeper.keep);
	for (const struct caller *c = s->callers.first; c; c = c->next) {
		if (c != own && c->peer_fd >= 0)
			close(c->peer_fd);
		if (c->ledger_fd >= 0)
			close(c->ledger_fd);
	}
	/* Nothing is written there: each page would be copied, of as many as there are devices. */
	for (size_t i = 0; i < s->registry->nr_devices; i++) {
		const struct device *d = s->registry->devices[i];

		if (d->worker_pidfd >= 0)
			close(d->worker_pidfd);
		if (d->container_pidfd >= 0)
			close(d->container_pidfd);
	}
	last_close_end(holder);
}

static _Noreturn void work_child_main(struct server *s, struct caller *c, int ledger_fd,
				      pid_t parent, const struct work *work)
{
	struct op op = {
		.helper = s->helper,
		.registry = s->registry,
		.peer_fd = c->peer_fd,
		.ledger_fd = ledger_fd,
		.uid = c->uid,
		.gid = c->gid,
		.peer = caller_peer(c),
		.deadline_ms = c->deadline_ms,
		.timing = &c->timing,
	};
	struct err e = { "" };
	int r;

	work_become_child(s, c);
	timing_mark(op.timing, WIRE_STEP_FORK);
	if (getppid() != parent)
		_exit(EXIT_FAILURE); /* it died before we asked to die with it */
	r = work_do[work->kind](&op, work, &e);
	if (r < 0)
		log_error("%s", e.text);
	/* Its work is done. What child_run() left behind and cannot die keeps the caller's place.
	 */
	shutdown(ledger_fd, SHUT_RDWR);
	while (waitpid(-1, NULL, __WCLONE) > 0)
		;
	_exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

static int work_fork(struct server *s, struct caller *c, const struct work *work)
{
	pid_t parent = getpid();
	int pair[2];
	pid_t pid;

	timing_mark(&c->timing, WIRE_STEP_ACCEPT);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	c->deadline_ms = clock_deadline_ms(OP_TIMEOUT_MS);
	pid = fork();
	if (pid == 0) {
		close(pair[0]);
		work_child_main(s, c, pair[1], parent, work);
	}
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return -errno;
	}
	c->pid = pid;
	c->ledger_fd = pair[0];
	c->deadline_ms += OP_GRACE_MS;
	return server_watch(s, pair[0], SERVER_LEDGER, c->serial, 0);
}

void work_request(struct server *s, struct caller *c)
{
	struct work work = { .kind = WORK_REQUEST };

	/* Who has nothing to say, or leaves without a word, is not worth a child. */
	if (!caller_says(c)) {
		caller_free(&s->callers, c);
		return;
	}
	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, c->peer_fd, NULL);
	if (work_fork(s, c, &work) == 0)
		return;
	log_error("cannot start a child for a request: %s", strerror(errno));
	if (!c->pid)
		caller_free(&s->callers, c);
}

pid_t work_own(struct server *s, enum work_kind kind, uint64_t generation)
{
	struct work work = { .kind = kind, .generation = generation };
	struct caller *c = caller_new(&s->callers);
	pid_t pid;

	if (!c)
		return 0;
	if (work_fork(s, c, &work) < 0)
		log_error("cannot start a child: %s", strerror(errno));
	pid = c->pid;
	if (!pid)
		caller_free(&s->callers, c);
	return pid;
}

/* The child has said all it had to say: what it worked on is free again. */
static void work_done(struct server *s, struct caller *c)
{
	close_fdp(&c->ledger_fd);
	c->deadline_ms = INT64_MAX;
	for (size_t i = 0; i < s->registry->nr_devices; i++) {
		struct device *d = s->registry->devices[i];

		if (d->look_pid == c->pid)
			d->look_pid = 0;
		if (d->access_pid == c->pid)
			d->access_pid = 0;
		if (d->op_pid == c->pid)
			watch_settle(s, d);
	}
	server_work_done(s, c->pid);
}

void work_ledger(struct server *s, struct caller *c)
{
	const struct registry_peer peer = caller_peer(c);
	struct op_change change = { 0 };
	struct device *d;

	if (op_answer(c->ledger_fd, s->registry, &peer, &change) < 0) {
		work_done(s, c);
		return;
	}
	if (change.policy)
		server_change_policy(s, change.policy);
	if (change.deadline_ms && change.deadline_ms + OP_GRACE_MS < c->deadline_ms)
		c->deadline_ms = change.deadline_ms + OP_GRACE_MS;
	d = change.generation ? registry_find(s->registry, change.generation) : NULL;
	if (d && !d->op_pid &&
	    (d->rec.state == WIRE_STATE_LIVE || d->rec.state == WIRE_STATE_FAILED))
		watch_settle(s, d);
	if (d && d->rec.state == WIRE_STATE_DETACHING && !c->undo_ms)
		c->undo_ms = clock_deadline_ms(OP_UNDO_MS);
}

void work_ended(struct server *s, pid_t pid, int status)
{
	struct caller *c = caller_of_child(&s->callers, pid);

	if (!c) {
		watch_reaped(s, pid, status); /* or a child's child that was left behind */
		return;
	}
	if (WIFSIGNALED(status) && !c->killed)
		log_error("a child of the helper died of signal %d", WTERMSIG(status));
	/* Questions it still asked are answered before its devices are settled. */
	while (c->ledger_fd >= 0)
		work_ledger(s, c);
	caller_free(&s->callers, c);
}

void work_expire(struct server *s, struct caller *c)
{
	if (!c->pid) {
		work_request(s, c); /* that it says nothing ends it */
		return;
	}
	if (c->peer_fd >= 0)
		request_refuse_now(
			c->peer_fd, -ETIMEDOUT,
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

bool work_busy(const struct server *s)
{
	for (const struct caller *c = s->callers.first; c; c = c->next) {
		if (c->ledger_fd >= 0 && !c->killed)
			return true;
	}
	return false;
}
