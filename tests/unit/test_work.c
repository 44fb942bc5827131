/* SPDX-License-Identifier: Apache-2.0 */
/* The main process's children and the devices they leave: real processes, no kernel driver. */
#include "driver/base/ublk_abi.h"
#include "driver/privileged/work.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/privileged/op.h"
#include "driver/privileged/process.h"
#include "driver/privileged/server.h"
#include "driver/privileged/watch.h"
#include "driver/wire/packet.h"

#define GENERATION (RECORD_GENERATION_MARK << 32 | 7)

struct fixture {
	struct server s;
	struct helper helper;
	struct registry reg;
	struct device *device; /* the registry's only one */
	pid_t worker;
	char dir[32];
};

static pid_t fork_sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		for (;;)
			pause();
	}
	return pid;
}

static uint64_t start_of(pid_t pid)
{
	auto_close int proc_fd = process_proc_open(pid);
	uint64_t ticks = 0;

	assert_int_equal(process_start_time(proc_fd, &ticks), 0);
	return ticks;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct record rec = {
		.magic = RECORD_MAGIC,
		.version = RECORD_VERSION,
		.size = sizeof(rec),
		.generation = GENERATION,
		.flags = WIRE_HOST,
		.state = WIRE_STATE_ATTACHING,
	};
	struct err e;

	log_open("test_work", LOG_LEVEL_ERROR);
	strcpy(f->dir, "/tmp/work.XXXXXX");
	if (!mkdtemp(f->dir) || journal_open(f->dir, &f->reg.journal_fd, &e) < 0)
		return -1;
	f->worker = fork_sleeper();
	rec.worker_pid = f->worker;
	rec.worker_start = start_of(f->worker);
	registry_adopt(&f->reg, &rec);
	f->device = f->reg.devices[0];
	f->s = (struct server){
		.helper = &f->helper,
		.registry = &f->reg,
		.epoll_fd = epoll_create1(EPOLL_CLOEXEC),
		.listen_fd = -1,
		.signal_fd = -1,
		.ending = true, /* so that nothing is undone for real */
	};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char path[64];

	while (f->s.callers.first)
		caller_free(&f->s.callers, f->s.callers.first);
	kill(f->worker, SIGKILL);
	registry_drop(&f->reg, GENERATION, NULL);
	registry_fini(&f->reg);
	close(f->s.epoll_fd);
	close(f->reg.journal_fd);
	snprintf(path, sizeof(path), "%s/devices", f->dir);
	if (rmdir(path) < 0 || rmdir(f->dir) < 0)
		return -1;
	free(f);
	while (waitpid(-1, NULL, 0) > 0)
		;
	return 0;
}

/* A caller whose child does this; the child has the device when it is to have it. */
static struct caller *start(struct fixture *f, void (*work)(struct op *op, struct record *rec),
			    bool has_device)
{
	struct caller *c = caller_new(&f->s.callers);
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	c->deadline_ms = clock_deadline_ms(OP_TIMEOUT_MS) + OP_GRACE_MS;
	c->pid = fork();
	if (c->pid == 0) {
		struct op op = { .registry = &f->reg, .ledger_fd = pair[1] };
		struct record rec = f->device->rec;

		close(pair[0]);
		op.deadline_ms = c->deadline_ms;
		work(&op, &rec);
		_exit(0);
	}
	close(pair[1]);
	c->ledger_fd = pair[0];
	if (has_device)
		f->device->op_pid = c->pid;
	return c;
}

static void await_question(const struct caller *c)
{
	struct pollfd pfd = { .fd = c->ledger_fd, .events = POLLIN };

	assert_int_equal(poll(&pfd, 1, 5000), 1);
}

/* Its end, as the main process learns of it. */
static void end(struct fixture *f, const struct caller *c, int signal_nr)
{
	pid_t pid = c->pid;
	int status;

	if (signal_nr)
		kill(pid, signal_nr);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	work_ended(&f->s, pid, status);
}

static void say_nothing(struct op *op, struct record *rec)
{
	pause();
}

static void say_live(struct op *op, struct record *rec)
{
	rec->state = WIRE_STATE_LIVE;
	op_update(op, rec, NULL);
	pause();
}

static void begin_undo(struct op *op, struct record *rec)
{
	op_begin_undo(op, rec);
	pause();
}

static void shorten(struct op *op, struct record *rec)
{
	op_shorten(op, 500, NULL);
	pause();
}

static void drop(struct op *op, struct record *rec)
{
	op_drop(op, rec->generation, NULL);
	pause();
}

static void say_rubbish(struct op *op, struct record *rec)
{
	packet_send(op->ledger_fd, "x", 1, NULL, 0, 1000);
	pause();
}

static void test_a_dead_childs_last_question_counts(void **state)
{
	struct fixture *f = *state;
	struct caller *c = start(f, say_live, true);

	await_question(c);
	end(f, c, SIGKILL);
	assert_null(f->s.callers.first);
	assert_int_equal(f->device->rec.state, WIRE_STATE_LIVE);
	assert_int_equal(f->device->op_pid, 0);
	assert_true(f->device->worker_pidfd >= 0);
	assert_int_equal(f->device->retry_ms, 0);
}

static void test_what_a_dead_child_left_half_is_undone(void **state)
{
	struct fixture *f = *state;
	struct caller *c = start(f, say_nothing, true);

	end(f, c, SIGKILL);
	assert_int_equal(f->device->op_pid, 0);
	assert_true(f->device->retry_ms && f->device->retry_ms <= clock_now_ms());
	assert_int_equal(watch_next_ms(&f->reg), f->device->retry_ms);
}

static void test_what_it_had_dropped_is_gone(void **state)
{
	struct fixture *f = *state;
	struct caller *c = start(f, drop, true);

	await_question(c);
	end(f, c, SIGKILL);
	assert_int_equal(f->reg.nr_devices, 0);
	assert_null(f->s.callers.first);
}

static void test_a_child_that_had_no_device_settles_none(void **state)
{
	struct fixture *f = *state;
	struct caller *c = start(f, say_nothing, false);

	f->device->op_pid = 1;
	end(f, c, SIGKILL);
	assert_int_equal(f->device->op_pid, 1);
	assert_int_equal(f->device->retry_ms, 0);
}

static void test_rubbish_ends_its_work(void **state)
{
	struct fixture *f = *state;
	struct caller *c = start(f, say_rubbish, true);

	await_question(c);
	work_ledger(&f->s, c);
	assert_int_equal(c->ledger_fd, -1);
	assert_int_equal(c->deadline_ms, INT64_MAX);
	assert_int_equal(f->device->op_pid, 0);
	assert_false(work_busy(&f->s));
	end(f, c, SIGKILL);
	assert_null(f->s.callers.first);
}

static void test_a_live_device_without_its_worker_ends(void **state)
{
	struct fixture *f = *state;

	f->device->rec.state = WIRE_STATE_LIVE;
	f->device->rec.worker_start++;
	f->device->retry_ms = 1;
	watch_settle(&f->s, f->device);
	assert_true(f->device->worker_pidfd < 0);
	assert_int_equal(f->device->retry_ms, 0); /* ending: the next helper's */
	assert_null(f->s.callers.first);
	assert_false(f->device->recover);
}

static void test_a_device_the_driver_holds_gets_another_worker(void **state)
{
	struct fixture *f = *state;

	f->device->rec.state = WIRE_STATE_LIVE;
	f->device->rec.kernel_flags = UBLK_F_USER_RECOVERY;
	f->device->rec.worker_start++;
	watch_settle(&f->s, f->device);
	assert_true(f->device->recover);
	assert_int_equal(f->device->nr_deaths, 1);
	/* Its child could do nothing: later. */
	f->device->rec.state = WIRE_STATE_RECOVERING;
	watch_settle(&f->s, f->device);
	assert_true(f->device->recover);
	assert_int_equal(f->device->nr_deaths, 2);
	assert_true(f->device->retry_ms > clock_now_ms());
	/* It served, and ended at once. */
	f->device->rec.state = WIRE_STATE_LIVE;
	watch_settle(&f->s, f->device);
	assert_int_equal(f->device->nr_deaths, 3);
}

static void test_deaths_in_a_row_are_counted(void **state)
{
	static const int delays_ms[] = { 0, 100, 200, 400, 800, 1600, 2000, 2000 };
	struct device d = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(delays_ms); i++) {
		d.served_ms = 100000;
		watch_recover_later(&d, 100999);
		assert_int_equal(d.retry_ms, 100999 + delays_ms[i]);
		assert_int_equal(d.nr_deaths, i + 1);
	}
	/* One that served for a while was no such worker. */
	d.served_ms = 100000;
	watch_recover_later(&d, 101000);
	assert_int_equal(d.retry_ms, 101000);
	assert_int_equal(d.nr_deaths, 1);
}

/* Neither that its worker ended by it, nor that it is not found again, is a death. */
static void test_a_lost_server_is_looked_for_without_end(void **state)
{
	static const int delays_ms[] = {
		0, 100, 200, 400, 800, 1600, 3200, 3200, 3200, 3200, 3200
	};
	struct device d = { .rec.nbd.state = RECORD_NBD_USED };

	for (size_t i = 0; i < ARRAY_SIZE(delays_ms); i++) {
		d.lost = !i;
		d.rec.state = i ? WIRE_STATE_RECOVERING : WIRE_STATE_LIVE;
		strcpy(d.rec.failure, i ? "nobody is there" : "");
		watch_recover_later(&d, 100000);
		assert_int_equal(d.retry_ms, 100000 + delays_ms[i]);
		assert_true(d.recover && !d.lost && !d.nr_deaths);
	}
	/* Nor is it one that the driver holds the last worker's end back. */
	d.rec.nbd.state = RECORD_NBD_NONE;
	watch_recover_later(&d, 100000);
	assert_true(d.retry_ms == 103200 && !d.nr_deaths);
	/* A worker that dies of something else is counted. */
	*d.rec.failure = '\0';
	watch_recover_later(&d, 100000);
	assert_int_equal(d.nr_deaths, 1);
}

static void test_a_device_somebody_works_on_is_left_to_him(void **state)
{
	struct fixture *f = *state;

	f->s.ending = false;
	f->device->op_pid = 1;
	watch_ended(&f->s, (uint32_t)GENERATION, WATCH_END_WORKER);
	watch_end_device(&f->s, f->device);
	assert_null(f->s.callers.first);
	assert_int_equal(f->device->op_pid, 1);
}

static void test_trying_again_takes_longer_and_longer(void **state)
{
	static const int delays_ms[] = { 0,    200,   400,   800,   1600,  3200,
					 6400, 12800, 25600, 51200, 60000, 60000 };
	struct device d = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(delays_ms); i++) {
		watch_retry_later(&d, 1000);
		assert_int_equal(d.retry_ms, 1000 + delays_ms[i]);
	}
}

static void test_patience_can_only_shrink(void **state)
{
	struct fixture *f = *state;
	struct caller *c = start(f, shorten, false);

	await_question(c);
	work_ledger(&f->s, c);
	assert_true(c->deadline_ms <= clock_now_ms() + 500 + OP_GRACE_MS);
	assert_true(c->deadline_ms >= clock_now_ms() + OP_GRACE_MS - 5000);
	end(f, c, SIGKILL);

	c = start(f, shorten, false);
	c->deadline_ms = 1;
	await_question(c);
	work_ledger(&f->s, c);
	assert_int_equal(c->deadline_ms, 1);
	end(f, c, SIGKILL);
}

/* A peer that waits for an answer; its end. */
static int give_peer(struct caller *c)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	c->peer_fd = pair[0];
	return pair[1];
}

static int32_t answer_of(int fd)
{
	auto_packet struct packet p = PACKET_INIT;
	struct wire_reply reply;

	assert_int_equal(packet_receive(fd, &p, 0), 0);
	assert_int_equal(p.size, sizeof(reply));
	memcpy(&reply, p.bytes, sizeof(reply));
	return reply.status;
}

static void test_a_request_that_takes_too_long_is_answered_and_killed(void **state)
{
	struct fixture *f = *state;
	struct caller *c = start(f, say_nothing, true);
	int peer = give_peer(c), status;

	assert_true(work_busy(&f->s));
	work_expire(&f->s, c);
	assert_int_equal(answer_of(peer), -ETIMEDOUT);
	assert_int_equal(c->peer_fd, -1);
	assert_true(c->killed);
	assert_int_equal(c->deadline_ms, INT64_MAX);
	assert_false(work_busy(&f->s));
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	work_ended(&f->s, c->pid, status);
	assert_true(f->device->retry_ms > 0);
	close(peer);
}

/* Its buffer is full of an answer it does not read. */
static void test_nobody_waits_for_who_does_not_read(void **state)
{
	struct fixture *f = *state;
	struct caller *c = start(f, say_nothing, false);
	int peer = give_peer(c);
	char bytes[1024] = { 0 };
	int64_t begin;

	while (send(c->peer_fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	begin = clock_now_ms();
	work_expire(&f->s, c);
	assert_true(clock_now_ms() - begin < 1000);
	assert_true(c->killed);
	end(f, c, 0);
	close(peer);
}

static void test_who_is_undoing_may_go_on(void **state)
{
	struct fixture *f = *state;
	struct caller *c = start(f, begin_undo, true);
	auto_close int peer = give_peer(c);

	await_question(c);
	work_ledger(&f->s, c);
	assert_int_equal(f->device->rec.state, WIRE_STATE_DETACHING);
	assert_true(c->undo_ms > clock_now_ms() + OP_UNDO_MS - 5000);
	work_expire(&f->s, c);
	assert_int_equal(answer_of(peer), -ETIMEDOUT);
	assert_false(c->killed);
	assert_int_equal(c->deadline_ms, c->undo_ms);
	c->undo_ms = 1;
	work_expire(&f->s, c);
	assert_true(c->killed);
	end(f, c, 0);
}

static const struct CMUnitTest tests[] = {
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	WITH_SERVER(test_a_dead_childs_last_question_counts),
	WITH_SERVER(test_what_a_dead_child_left_half_is_undone),
	WITH_SERVER(test_what_it_had_dropped_is_gone),
	WITH_SERVER(test_a_child_that_had_no_device_settles_none),
	WITH_SERVER(test_rubbish_ends_its_work),
	WITH_SERVER(test_a_live_device_without_its_worker_ends),
	WITH_SERVER(test_a_device_somebody_works_on_is_left_to_him),
	WITH_SERVER(test_patience_can_only_shrink),
	WITH_SERVER(test_a_request_that_takes_too_long_is_answered_and_killed),
	WITH_SERVER(test_nobody_waits_for_who_does_not_read),
	WITH_SERVER(test_who_is_undoing_may_go_on),
	cmocka_unit_test(test_deaths_in_a_row_are_counted),
	cmocka_unit_test(test_a_lost_server_is_looked_for_without_end),
	WITH_SERVER(test_a_device_the_driver_holds_gets_another_worker),
	cmocka_unit_test(test_trying_again_takes_longer_and_longer),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
