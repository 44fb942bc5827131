/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What recover_run() makes of a device, by what the record, the driver, the keeper and the
 * worker say. The driver is played by tests/fake, all else by this file.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/base/ublk_abi.h"
#include "driver/privileged/backend_device.h"
#include "driver/privileged/birth.h"
#include "driver/privileged/cgroup.h"
#include "driver/privileged/keep.h"
#include "driver/privileged/nbd.h"
#include "driver/privileged/process.h"
#include "driver/privileged/recover.h"
#include "driver/privileged/undo.h"
#include "targets/catalog.h"
#include "tests/fake/ublk_ctl_fake.h"
#include "tests/unit/recover_rows.h"

#define DEV_ID 7
#define LEFT_MS 1500
#define SIZE 4096
#define GENERATION UINT64_C(0x75626f6300000007)

/* --- a live device's worker is replaced --- */

static struct {
	const struct row *row;
	struct record rec;
	char steps[256];
	unsigned int busy;
	int file_fd;
} life;

static void note(const char *step)
{
	size_t n = strlen(life.steps);

	snprintf(life.steps + n, sizeof(life.steps) - n, "%s ", step);
}

static int step_done(enum step step, const char *name, struct err *e)
{
	note(name);
	return life.row->fails == step ? err_sys(e, life.row->code, "as the test wants") : 0;
}

/* --- what recover.c calls --- */

int op_left_ms(const struct op *op, int at_most_ms)
{
	return at_most_ms < LEFT_MS ? at_most_ms : LEFT_MS;
}

int op_take(const struct op *op, uint64_t generation, struct record *ret, struct err *e)
{
	assert_int_equal(generation, GENERATION);
	*ret = life.rec;
	return 0;
}

int op_update(const struct op *op, const struct record *rec, struct err *e)
{
	static const char *const names[] = {
		[WIRE_STATE_LIVE] = "+live",
		[WIRE_STATE_RECOVERING] = "+recovering",
		[WIRE_STATE_FAILED] = "+failed",
	};
	char text[32];

	snprintf(text, sizeof(text), "%s%s", names[rec->state], rec->handed_over ? "!" : "");
	note(text);
	life.rec = *rec;
	return 0;
}

void op_begin_undo(const struct op *op, struct record *rec)
{
	life.rec.state = rec->state = WIRE_STATE_DETACHING;
}

int undo_run(const struct op *op, const struct record *rec, bool orderly, struct err *e)
{
	note("undo");
	return 0;
}

int undo_fail(const struct op *op, const struct record *rec, struct err *e)
{
	return step_done(FAIL, "fail", e);
}

int undo_kill_worker(const struct record *rec, struct err *e)
{
	note(*rec->cgroup == 'b' ? "kill-b" : "kill");
	return 0;
}

int undo_other_worker(const struct record *rec, struct err *e)
{
	note(*rec->cgroup == 'b' ? "other-b" : "other");
	return 0;
}

bool undo_other_lives(const struct record *rec)
{
	return life.row->other_lives;
}

void cgroup_other(char path[CGROUP_PATH_SIZE])
{
	strcpy(path, *path == 'b' ? "a" : "b");
}

int process_pin(pid_t pid, uint64_t start_ticks)
{
	return life.row->alive ? dup(life.file_fd) : -ESRCH;
}

int process_wait_end(int pidfd, int timeout_ms)
{
	note("wait");
	return life.row->stays ? -ETIMEDOUT : 0;
}

bool process_ended(int pidfd)
{
	return life.row->ends;
}

int keep_get_files(uint64_t generation, int *ret_fds, unsigned int nr, struct err *e)
{
	int r = step_done(GET, "get", e);

	if (r == 0)
		*ret_fds = dup(life.file_fd);
	return r;
}

void birth_fini(struct birth *b)
{
}

void nbd_server_fini(struct nbd_server *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(s->fds); i++)
		close_fdp(&s->fds[i]);
}

int backend_device_may_leave(const struct op *op, const struct record *rec, struct err *e)
{
	return life.row->other_file ? err_set(e, ESTALE, "as the test wants") : 0;
}

int nbd_may_leave(const struct record *rec, struct err *e)
{
	return rec->kept_dev ? 0 : err_set(e, ENOENT, "there was no keeper");
}

int nbd_reconnect(struct nbd_server *ret, const struct record *rec, int timeout_ms, struct err *e)
{
	int r = step_done(SERVER, "server", e);

	assert_int_equal(rec->nbd.state, RECORD_NBD_LOST);
	if (r == 0)
		*ret = (struct nbd_server){ .fds = { dup(life.file_fd), -1, -1, -1 }, .nr = 1 };
	return r;
}

/* Before there is another one. */
void backend_device_last_words(const struct record *rec)
{
	assert_int_equal(rec->nbd.state, RECORD_NBD_LOST);
}

int backend_device_start(const struct op *op, const struct record *rec, struct nbd_server *ret,
			 pid_t *ret_pid, struct err *e)
{
	int r = step_done(BACKEND, "back-end", e);

	/* Else it is only asked how large it is. */
	assert_true(rec->nbd.state == RECORD_NBD_LOST || life.row->fails == ENLARGE);
	if (r == 0)
		*ret = (struct nbd_server){ .fds = { dup(life.file_fd), -1, -1, -1 },
					    .nr = 1,
					    .bytes = life.row->large ? 2 * SIZE : SIZE };
	return r;
}

int backend_device_grow(const struct op *op, const struct record *rec, int timeout_ms,
			struct err *e)
{
	assert_int_equal(rec->size_bytes, 2 * SIZE);
	/* Until it is larger that is on record nowhere. */
	assert_int_equal(life.rec.size_bytes, SIZE);
	return step_done(ENLARGE, "enlarge", e);
}

int nbd_note(struct record *rec, const struct nbd_server *s, struct err *e)
{
	return 0;
}

int nbd_check_same(const struct record *rec, const struct nbd_server *s, struct err *e)
{
	assert_int_equal(s->nr, 1);
	return life.row->fails == SAME ? err_set(e, life.row->code, "as the test wants") : 0;
}

int nbd_note_sockets(struct record *rec, const int *fds, unsigned int nr, struct err *e)
{
	return 0;
}

int keep_put_files(uint64_t generation, const int *fds, unsigned int nr, struct err *e)
{
	assert_int_equal(life.rec.nbd.state, RECORD_NBD_FRESH);
	return step_done(KEEP, "keep", e);
}

int birth_cgroup(struct birth *b, struct err *e)
{
	return step_done(CGROUP, *b->rec->cgroup == 'b' ? "cgroup-b" : "cgroup", e);
}

int birth_spawn(struct birth *b, struct err *e)
{
	return step_done(SPAWN, "spawn", e);
}

int birth_prepare(struct birth *b, struct err *e)
{
	assert_true(b->nr_files == 1 && b->files[0] >= 0 && b->ctl);
	return step_done(PREPARE, "prepare", e);
}

int birth_hand_over(struct birth *b, struct err *e)
{
	return step_done(HAND_OVER, "hand", e);
}

static void at_ublk_call(enum ublk_fake_call call)
{
	if (call == UBLK_FAKE_RECOVER_END)
		note("end");
	if (call == UBLK_FAKE_QUIESCE)
		note("quiesce");
	if (call == UBLK_FAKE_RESIZE)
		note("size");
	if (call != UBLK_FAKE_RECOVER_BEGIN)
		return;
	note("begin");
	if (life.row->busy)
		ublk_fake_fail(call, life.busy++ < life.row->busy ? EBUSY : 0);
}

/* --- */

static void begin(const struct row *row)
{
	struct ublk_spec spec = {
		.dev_id = DEV_ID,
		.cookie = GENERATION + row->other_device,
	};
	struct stat st;

	life.row = row;
	*life.steps = '\0';
	life.busy = 0;
	assert_int_equal(fstat(life.file_fd, &st), 0);
	life.rec = (struct record){
		.state = row->state ? row->state : WIRE_STATE_LIVE,
		.generation = GENERATION,
		.dev_id = DEV_ID,
		.major = 259,
		.kernel_features = (row->old ? 0 : UBLK_F_PER_IO_DAEMON) |
				   (row->grows ? UBLK_F_UPDATE_SIZE : 0),
		.size_bytes = SIZE,
		.kernel_flags = UBLK_F_USER_RECOVERY | (row->quiesces ? UBLK_F_QUIESCE : 0),
		.cgroup = "a",
		.handed_over = row->handed_over,
		.kept_dev = row->not_kept ? 0 : st.st_dev,
		.kept_inode = st.st_ino + row->other_file,
		.target = row->image	? TARGET_IMAGE
			  : row->server ? TARGET_NBD
					: TARGET_FILE,
		.nbd.state = row->server || row->image ? RECORD_NBD_USED : RECORD_NBD_NONE,
	};
	ublk_fake_reset();
	assert_int_equal(ublk_add(NULL, &spec, NULL), 0);
	ublk_fake_state(DEV_ID, row->stopped  ? UBLK_S_DEV_DEAD
				: row->kernel ? row->kernel
					      : UBLK_S_DEV_QUIESCED);
	ublk_fake_watch(at_ublk_call);
	if (row->ublk_fails)
		ublk_fake_fail(row->ublk_fails, row->code);
}

static void test_rows(void **state)
{
	struct err e;
	int r;

	for (size_t i = 0; i < recover_rows_nr; i++) {
		const struct row *row = &recover_rows[i];
		enum wire_state then = row->then;

		begin(row);
		if (!then)
			then = (enum wire_state)life.rec.state;
		e = (struct err){ "" };
		r = recover_run(&(struct op){ 0 }, GENERATION, &e);
		if (r != row->r || life.rec.state != then ||
		    (row->steps && strcmp(life.steps, row->steps)))
			fail_msg("%s: %d (%s), state %u, steps: %s", row->what, r, e.text,
				 life.rec.state, life.steps);
		/* Of one that failed the number is another device's next. */
		if (then == WIRE_STATE_FAILED && row->state != WIRE_STATE_FAILED)
			assert_true(*life.rec.failure && !life.rec.major);
		/* What says that no worker is to blame. */
		if (r == -EBUSY || r == -ENOMEM)
			assert_true(*life.rec.failure);
		if (then == WIRE_STATE_LIVE)
			assert_false(*life.rec.failure);
	}
}

static int grow(const struct op *op, void *arg, struct record *rec, int backing_fd, struct err *e)
{
	const struct row *row = arg;

	assert_true(row->image ? backing_fd < 0 : backing_fd >= 0);
	if (row->grows < 0)
		return err_set(e, -row->grows, "as the test wants");
	rec->size_bytes = 2 * SIZE;
	return 0;
}

static void test_upgrades(void **state)
{
	struct recover_upgraded done;
	struct err e;
	int r;

	for (size_t i = 0; i < recover_upgrades_nr; i++) {
		struct row row = recover_upgrades[i];
		enum wire_state then = row.then;

		row.alive = true;
		row.kernel = row.kernel ? row.kernel : UBLK_S_DEV_LIVE;
		begin(&row);
		if (!then)
			then = (enum wire_state)life.rec.state;
		e = (struct err){ "" };
		r = recover_upgrade(&(struct op){ 0 }, GENERATION, row.grows ? grow : NULL, &row,
				    &done, &e);
		if (r != row.r || life.rec.state != then || strcmp(life.steps, row.steps) ||
		    (r < 0 && !*e.text))
			fail_msg("%s: %d (%s), state %u, steps: %s", row.what, r, e.text,
				 life.rec.state, life.steps);
		assert_string_equal(life.rec.cgroup,
				    !row.image && strstr(row.steps, "+rec") ? "b" : "a");
		assert_int_equal(life.rec.size_bytes,
				 row.grows > 0 && !row.stays_small ? 2 * SIZE : SIZE);
		assert_int_equal(ublk_fake_bytes(DEV_ID), (r < 0 && !row.stays_small) || !row.grows
								  ? 0
								  : life.rec.size_bytes);
	}
}

static void test_giving_up_says_why(void **state)
{
	static const struct row row = { .what = "nine died" };
	struct err e;

	begin(&row);
	assert_int_equal(recover_give_up(&(struct op){ 0 }, GENERATION, "nine died", &e), 0);
	assert_int_equal(life.rec.state, WIRE_STATE_FAILED);
	assert_string_equal(life.rec.failure, "nine died");
	assert_string_equal(life.steps, "fail +failed ");
}

static int setup(void **state)
{
	life.file_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return life.file_fd < 0;
}

static int teardown(void **state)
{
	close(life.file_fd);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_upgrades),
		cmocka_unit_test(test_giving_up_says_why),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
