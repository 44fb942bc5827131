/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What undo_run() does for a record at each stage of its life, and where it
 * stops when a step fails. The ublk driver and all that undo reaches out to
 * are played by tests/fake; the worker is a process of this test.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/process.h"
#include "driver/privileged/ublk_ctl.h"
#include "driver/privileged/undo.h"
#include "targets/catalog.h"
#include "tests/fake/ublk_ctl_fake.h"
#include "tests/fake/undo_fake.h"
#include "tests/unit/undo_rows.h"

#define DEV_ID 7
#define GENERATION UINT64_C(0x75626f6300000007)

/* The fakes call back without an argument. */
static struct life {
	const struct row *row;
	struct record rec;
	pid_t worker; /* not reaped yet; 0: there is none */
	int worker_fd;
	int container_fd;
	struct record claim;	/* to the device, when it is one made ahead */
	bool orphan;		/* there is no record of it */
	struct record recorded; /* by undo_run(); of no generation: nothing */
} life;

/* A process that ends with this test; *ret_fd is its pidfd. */
static pid_t process_new(int *ret_fd)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		for (;;)
			pause();
	}
	*ret_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	assert_true(*ret_fd >= 0);
	return pid;
}

static void process_end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* STOP as the driver's worker sees it: most leave, some hold it up until they are killed. */
static void at_ublk_call(enum ublk_fake_call call)
{
	const struct row *row = life.row;

	if (call == UBLK_FAKE_DELETE)
		undo_fake_note("delete");
	if (call != UBLK_FAKE_STOP)
		return;
	undo_fake_note("stop");
	if (row->worker == UNSEEN)
		ublk_fake_fail(call, strstr(undo_fake_steps(), "kill") ? 0 : ETIMEDOUT);
	else if (row->worker == HANGS)
		ublk_fake_fail(call, process_ended(life.worker_fd) ? 0 : ETIMEDOUT);
	else if (row->worker == SERVES && row->ublk_fails != UBLK_FAKE_STOP)
		syscall(SYS_pidfd_send_signal, life.worker_fd, SIGKILL, NULL, 0);
}

static void worker_make(const struct row *row)
{
	auto_close int proc_fd = -1;
	struct record *rec = &life.rec;

	if (row->worker == NONE)
		return;
	strcpy(rec->cgroup, "/sys/fs/cgroup/ublk-oci/workers/1/7");
	if (row->worker == UNSEEN)
		return;
	life.worker = process_new(&life.worker_fd);
	proc_fd = process_proc_open(life.worker);
	assert_int_equal(process_start_time(proc_fd, &rec->worker_start), 0);
	rec->worker_pid = life.worker;
	if (row->worker == REUSED)
		rec->worker_start--;
	if (row->worker == ENDED) {
		process_end(life.worker);
		life.worker = 0;
	}
}

static void device_make(const struct row *row)
{
	struct ublk_spec spec = { .dev_id = DEV_ID,
				  .cookie = row->device == OTHERS ? GENERATION + 1 : GENERATION };

	ublk_fake_reset();
	ublk_fake_watch(at_ublk_call);
	if (row->device == RESERVED || row->device == GONE)
		return;
	assert_int_equal(ublk_add(NULL, &spec, NULL), 0);
	if (row->device == STARTED || row->device == OTHERS)
		assert_int_equal(ublk_start(NULL, DEV_ID, 0, 0, NULL), 0);
}

static void life_connect(void)
{
	unsigned int place = life.row->place;

	undo_fake_reset(&life.rec, life.container_fd, place != NO_CGROUP && place != LEFT_CGROUP,
			place != LEFT_MOUNT_NS);
	undo_fake_fail(UNDO_FAKE_LOOK, place == AWAY ? ESRCH : 0);
	if (life.row->v1)
		undo_fake_v1();
	if (life.row->flags & WIRE_AHEAD || life.row->shared)
		undo_fake_claim(&life.claim);
}

static void life_begin(const struct row *row)
{
	struct record *rec = &life.rec;

	life = (struct life){ .row = row, .worker_fd = -1, .container_fd = -1 };
	rec->generation = GENERATION;
	rec->dev_id = DEV_ID;
	if (row->device != RESERVED && row->device != ADDED) {
		rec->major = UBLK_FAKE_MAJOR;
		rec->minor = DEV_ID;
	}
	if (row->read_only)
		rec->flags |= WIRE_READ_ONLY;
	if (row->place == HOST) {
		rec->flags |= WIRE_HOST;
		if (row->mounted || row->flags & WIRE_CLAIMED) {
			rec->filesystem = row->mounted ? FILESYSTEM_EXT4 : FILESYSTEM_NONE;
			rec->dir.inode = 12;
			strcpy(rec->path, "/srv/data");
		}
	} else {
		rec->container_pid = getpid();
		rec->container_start = 42;
		rec->cgroup_inode = row->place == NO_CGROUP ? 0 : 4711;
		rec->made_dirs = 2;
		strcpy(rec->path, "/dev/disks/a/data");
		strcpy(rec->container_cgroup, "/box");
		if (row->mounted) {
			rec->filesystem = FILESYSTEM_EXT4;
			strcpy(rec->path, "/data");
		}
		if (row->limited)
			rec->grants |= RECORD_IO_LIMITS;
		if (row->behind)
			rec->grants |= RECORD_IO_BEHIND;
		if (row->in_unit)
			rec->grants |= RECORD_UNIT;
	}
	rec->flags |= row->flags;
	life.claim = *rec;
	life.claim.generation = GENERATION + 5;
	life.claim.flags = WIRE_CLAIMED;
	life.claim.state = row->ends ? WIRE_STATE_DETACHING : WIRE_STATE_LIVE;
	worker_make(row);
	device_make(row);
	if (row->place == ENDING)
		process_end(process_new(&life.container_fd));
	else
		life.container_fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	life_connect();
}

static void life_end(void)
{
	if (life.worker)
		process_end(life.worker);
	close_fdp(&life.worker_fd);
	close_fdp(&life.container_fd);
}

static void life_disturb(void)
{
	if (life.row->fails)
		undo_fake_fail(life.row->fails, life.row->code);
	if (life.row->ublk_fails)
		ublk_fake_fail(life.row->ublk_fails, life.row->code);
}

int op_update(const struct op *op, const struct record *rec, struct err *e)
{
	assert_int_equal(rec->generation, GENERATION);
	if (life.orphan)
		return err_set(e, ENOENT, "there is no such device");
	life.recorded = *rec;
	return 0;
}

static int life_undo(const struct row *row, struct err *e)
{
	static const struct helper helper = { .filter_dir = "/sys/fs/bpf/ublk-oci" };
	const struct op op = { .helper = &helper, .peer_fd = -1, .ledger_fd = -1 };

	return undo_run(&op, &life.rec, !row->abrupt, e);
}

/* Out of reach, then stopped, then deleted, then forgotten: never another way round. */
static unsigned int rank_of(const char *step)
{
	static const char *const order[] = { "sync",   "unmount", "gone",   "file",   "take",
					     "revoke", "forget",  "unit",   "disarm", "behind",
					     "lift",   "remove",  "unused", "end",    "flush",
					     "stop",   "delete",  "cgroup", "drop" };

	for (unsigned int i = 0; i < ARRAY_SIZE(order); i++) {
		if (!strcmp(order[i], step))
			return i + 1;
	}
	assert_string_equal(step, "kill"); /* whenever the worker is in the way */
	return 0;
}

static void assert_order(const char *steps)
{
	unsigned int last = 0, rank;
	char words[160];

	strcpy(words, steps);
	for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) {
		rank = rank_of(word);
		assert_true(!rank || rank >= last);
		last = rank ? rank : last;
	}
}

static bool touches_number(const char *steps)
{
	return strstr(steps, "revoke") || strstr(steps, "disarm") || strstr(steps, "lift") ||
	       strstr(steps, "unmount");
}

static bool ends_with_drop(const char *steps)
{
	size_t len = strlen(steps);

	return len >= 4 && !strcmp(steps + len - 4, "drop");
}

static void test_a_record_is_undone_as_the_table_says(void **state)
{
	for (size_t i = 0; i < undo_rows_nr; i++) {
		const struct row *row = &undo_rows[i];
		struct err e = { "" };
		int r;

		print_message("  %s\n", row->what);
		life_begin(row);
		life_disturb();
		r = life_undo(row, &e);
		if (r != row->r || strcmp(undo_fake_steps(), row->steps) || (r < 0 && !*e.text))
			fail_msg("%s: %d (%s), %s", row->what, r, e.text, undo_fake_steps());
		assert_order(undo_fake_steps());
		assert_true(r < 0 || ends_with_drop(undo_fake_steps()));
		if (r == 0 && life.rec.major && !(row->flags & WIRE_CLAIMED))
			assert_true(life.recorded.generation && !life.recorded.major);
		if (row->device == OTHERS)
			assert_int_equal(ublk_fake_devices(), 1);
		if (row->worker == REUSED)
			assert_false(process_ended(life.worker_fd));
		else if (!r && life.worker)
			assert_true(process_ended(life.worker_fd));
		life_end();
	}
}

/* The next try, with nothing in its way, finishes what the first one began. */
static void test_what_failed_is_finished_by_the_next_try(void **state)
{
	for (size_t i = 0; i < undo_rows_nr; i++) {
		const struct row *row = &undo_rows[i];
		struct err e = { "" };
		bool gone;

		if (!row->r)
			continue;
		life_begin(row);
		life_disturb();
		assert_int_equal(life_undo(row, &e), row->r);

		gone = life.recorded.generation;
		if (gone)
			life.rec = life.recorded;
		life_connect();
		ublk_fake_fail(row->ublk_fails, 0);
		if (life_undo(row, &e) < 0 || !ends_with_drop(undo_fake_steps()))
			fail_msg("%s: %s, %s", row->what, e.text, undo_fake_steps());
		/* When the driver had let the device go its number was another's by then. */
		if (gone && touches_number(undo_fake_steps()))
			fail_msg("%s: again: %s", row->what, undo_fake_steps());
		assert_order(undo_fake_steps());
		assert_int_equal(ublk_fake_devices(), row->flags & WIRE_CLAIMED ? 1 : 0);
		assert_true(!life.worker || process_ended(life.worker_fd));
		life_end();
	}
}

static void test_what_is_on_no_record_is_undone_too(void **state)
{
	const struct row *row = &undo_rows[0];
	struct err e = { "" };

	while (row->r || row->device != STARTED || row->flags)
		row++;
	life_begin(row);
	life_disturb();
	life.orphan = true;
	assert_int_equal(life_undo(row, &e), 0);
	assert_true(ends_with_drop(undo_fake_steps()));
	life_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_on_no_record_is_undone_too),
		cmocka_unit_test(test_a_record_is_undone_as_the_table_says),
		cmocka_unit_test(test_what_failed_is_finished_by_the_next_try),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
