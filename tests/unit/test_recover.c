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

#define DEV_ID 7
#define LEFT_MS 1500
#define SIZE 4096
#define GENERATION UINT64_C(0x75626f6300000007)

enum step { NONE, GET, SERVER, BACKEND, KEEP, CGROUP, SPAWN, PREPARE, HAND_OVER, FAIL, ENLARGE };

struct row {
	const char *what;
	enum wire_state state; /* 0: live */
	bool old;	       /* Linux before 6.16 */
	bool handed_over;
	bool alive;    /* its worker is */
	bool not_kept; /* there was no keeper at the attach */
	bool other_file;
	bool server;	   /* it is target nbd's */
	bool image;	   /* it is an image's, of which we start the server */
	bool other_device; /* the number is somebody else's device by now */
	uint32_t kernel;   /* UBLK_S_DEV_*; 0: held (DEAD: see stopped) */
	bool stopped;
	enum ublk_fake_call ublk_fails;
	enum step fails;
	int code;
	unsigned int busy; /* so often the driver says EBUSY */
	bool ends;	   /* the worker does, just before END_USER_RECOVERY */
	bool other_lives;  /* a worker in the second cgroup */
	bool quiesces;	   /* the device can be */
	bool stays;	   /* a worker whose device was quiesced */
	bool stays_small;  /* and is not larger in the end */
	bool large;	   /* the image was larger than the device */
	int grows;	   /* it is to be larger: 1, or what comes of asking for that */
	/* What comes of it. */
	int r;
	enum wire_state then;
	const char *steps; /* NULL: as many as fit */
};

/* Each update says what the record was then: state, and "!" where handed over. */
#define MADE "get cgroup spawn +recovering prepare begin "
#define BORN "get other cgroup-b spawn prepare "

static const struct row rows[] = {
	{ .what = "a worker died",
	  .then = WIRE_STATE_LIVE,
	  .steps = "kill other " MADE "hand end +live " },
	{ .what = "a worker died, Linux before 6.16",
	  .old = true,
	  .then = WIRE_STATE_LIVE,
	  .steps = "kill other " MADE "+recovering! hand end +live " },
	{ .what = "a helper died half way",
	  .state = WIRE_STATE_RECOVERING,
	  .then = WIRE_STATE_LIVE,
	  .steps = "kill other " MADE "hand end +live " },
	{ .what = "the driver has not seen it yet",
	  .kernel = UBLK_S_DEV_LIVE,
	  .busy = 3,
	  .then = WIRE_STATE_LIVE,
	  .steps = "kill other " MADE "begin begin begin hand end +live " },
	{ .what = "it was begun before, Linux before 6.16",
	  .old = true,
	  .ublk_fails = UBLK_FAKE_RECOVER_BEGIN,
	  .code = EINVAL,
	  .then = WIRE_STATE_LIVE,
	  .steps = "kill other " MADE "+recovering! hand end +live " },

	{ .what = "its worker serves after all",
	  .alive = true,
	  .kernel = UBLK_S_DEV_LIVE,
	  .then = WIRE_STATE_LIVE,
	  .steps = "+live " },
	{ .what = "somebody takes it away", .state = WIRE_STATE_DETACHING, .steps = "" },
	{ .what = "it has failed", .state = WIRE_STATE_FAILED, .steps = "" },
	{ .what = "the number is another device's",
	  .other_device = true,
	  .then = WIRE_STATE_DETACHING,
	  .steps = "undo " },
	{ .what = "the driver does not know it",
	  .ublk_fails = UBLK_FAKE_INFO,
	  .code = ENODEV,
	  .then = WIRE_STATE_DETACHING,
	  .steps = "undo " },
	{ .what = "somebody stopped it",
	  .stopped = true,
	  .then = WIRE_STATE_FAILED,
	  .steps = "fail +failed " },

	/* --- what it served from --- */
	{ .what = "nobody kept it",
	  .not_kept = true,
	  .then = WIRE_STATE_FAILED,
	  .steps = "kill other kill fail +failed " },
	{ .what = "the keeper forgot it",
	  .fails = GET,
	  .code = ENOENT,
	  .then = WIRE_STATE_FAILED,
	  .steps = "kill other get kill fail +failed " },
	{ .what = "the keeper gives another file",
	  .other_file = true,
	  .then = WIRE_STATE_FAILED,
	  .steps = "kill other get kill fail +failed " },
	{ .what = "the keeper does not answer",
	  .fails = GET,
	  .code = ETIMEDOUT,
	  .r = -ETIMEDOUT,
	  .steps = "kill other get kill " },

	/* --- a server --- */
	{ .what = "its server is there",
	  .server = true,
	  .then = WIRE_STATE_LIVE,
	  .steps = "kill other +recovering server cgroup spawn +recovering keep +recovering "
		   "prepare begin hand end +live " },
	{ .what = "its server is not there",
	  .server = true,
	  .fails = SERVER,
	  .code = EREMOTEIO,
	  .r = -EREMOTEIO,
	  .then = WIRE_STATE_RECOVERING,
	  .steps = "kill other +recovering server +recovering kill " },
	{ .what = "nobody knows what its server still does",
	  .server = true,
	  .fails = SERVER,
	  .code = ENOENT,
	  .then = WIRE_STATE_FAILED,
	  .steps = "kill other +recovering server +recovering kill fail +failed " },
	{ .what = "there is no keeper for what its server was found by",
	  .server = true,
	  .fails = KEEP,
	  .code = ENOTCONN,
	  .then = WIRE_STATE_LIVE,
	  .steps = "kill other +recovering server cgroup spawn +recovering keep +recovering "
		   "prepare begin hand end +live " },

	/* --- a server that is a back end: another one first, and nothing of it is kept --- */
	{ .what = "its back end starts",
	  .image = true,
	  .then = WIRE_STATE_LIVE,
	  .steps = "kill other +recovering back-end cgroup spawn +recovering +recovering "
		   "prepare begin hand end +live " },
	{ .what = "its back end does not start",
	  .image = true,
	  .fails = BACKEND,
	  .code = EREMOTEIO,
	  .r = -EREMOTEIO,
	  .then = WIRE_STATE_RECOVERING,
	  .steps = "kill other +recovering back-end +recovering kill " },
	{ .what = "its image is another file by now",
	  .image = true,
	  .fails = BACKEND,
	  .code = ESTALE,
	  .then = WIRE_STATE_FAILED,
	  .steps = "kill other +recovering back-end +recovering kill fail +failed " },

	/* --- what may go better the next time --- */
	{ .what = "no memory for a worker",
	  .fails = SPAWN,
	  .code = ENOMEM,
	  .r = -ENOMEM,
	  .steps = "kill other get cgroup spawn kill " },
	{ .what = "the worker cannot prepare",
	  .fails = PREPARE,
	  .code = EPROTO,
	  .r = -EPROTO,
	  .then = WIRE_STATE_RECOVERING,
	  .steps = "kill other get cgroup spawn +recovering prepare kill " },
	{ .what = "the driver refuses",
	  .ublk_fails = UBLK_FAKE_RECOVER_BEGIN,
	  .code = EINVAL,
	  .r = -EINVAL,
	  .then = WIRE_STATE_RECOVERING,
	  .steps = "kill other " MADE "kill " },
	{ .what = "the worker dies with the char device",
	  .fails = HAND_OVER,
	  .code = ECONNRESET,
	  .r = -ECONNRESET,
	  .then = WIRE_STATE_RECOVERING,
	  .steps = "kill other " MADE "hand kill " },
	{ .what = "and at the very end",
	  .ublk_fails = UBLK_FAKE_RECOVER_END,
	  .code = ETIMEDOUT,
	  .r = -ETIMEDOUT,
	  .then = WIRE_STATE_RECOVERING,
	  .steps = "kill other " MADE "hand end kill " },

	/* --- and what may not --- */
	{ .what = "the worker dies with the char device, Linux before 6.16",
	  .old = true,
	  .fails = HAND_OVER,
	  .code = ECONNRESET,
	  .then = WIRE_STATE_FAILED,
	  .steps = "kill other " MADE "+recovering! hand kill fail +failed! " },
	{ .what = "and at the very end, Linux before 6.16, whose driver does not see that",
	  .old = true,
	  .ends = true,
	  .then = WIRE_STATE_FAILED,
	  .steps = "kill other " MADE "+recovering! hand end kill fail +failed! " },
	{ .what = "the driver never sees the end of the one before, Linux before 6.16",
	  .old = true,
	  .ublk_fails = UBLK_FAKE_RECOVER_BEGIN,
	  .code = EBUSY,
	  .then = WIRE_STATE_FAILED,
	  .steps = NULL },
	{ .what = "the driver has not seen the end of the one before yet",
	  .ublk_fails = UBLK_FAKE_RECOVER_BEGIN,
	  .code = EBUSY,
	  .r = -EBUSY,
	  .then = WIRE_STATE_RECOVERING,
	  .steps = NULL },
	{ .what = "a helper died when it had handed over, and so did the worker",
	  .old = true,
	  .state = WIRE_STATE_RECOVERING,
	  .handed_over = true,
	  .then = WIRE_STATE_FAILED,
	  .steps = "fail +failed! " },
	{ .what = "a helper died when it had handed over, the worker goes on",
	  .old = true,
	  .state = WIRE_STATE_RECOVERING,
	  .handed_over = true,
	  .alive = true,
	  .then = WIRE_STATE_LIVE,
	  .steps = "end +live " },
	{ .what = "it does not",
	  .old = true,
	  .state = WIRE_STATE_RECOVERING,
	  .handed_over = true,
	  .alive = true,
	  .ublk_fails = UBLK_FAKE_RECOVER_END,
	  .code = ETIMEDOUT,
	  .then = WIRE_STATE_FAILED,
	  .steps = "end fail +failed! " },
	{ .what = "an upgrade was cut off: the driver may give the old worker no more",
	  .state = WIRE_STATE_RECOVERING,
	  .alive = true,
	  .kernel = UBLK_S_DEV_LIVE,
	  .other_lives = true,
	  .then = WIRE_STATE_LIVE,
	  .steps = "kill other " MADE "hand end +live " },
	{ .what = "an upgrade was cut off when the new worker served, Linux before 6.16",
	  .old = true,
	  .state = WIRE_STATE_RECOVERING,
	  .handed_over = true,
	  .alive = true,
	  .kernel = UBLK_S_DEV_LIVE,
	  .other_lives = true,
	  .then = WIRE_STATE_LIVE,
	  .steps = "+live " },
	{ .what = "it cannot even be stopped",
	  .stopped = true,
	  .fails = FAIL,
	  .code = ETIMEDOUT,
	  .r = -ETIMEDOUT,
	  .steps = "fail " },
};

/* --- a live device's worker is replaced --- */

#define IMAGE_MADE                                                                                 \
	"+recovering back-end cgroup spawn +recovering +recovering prepare begin hand end size "   \
	"+live "
#define REPLACED "begin hand end other-b +live "

static const struct row upgrades[] = {
	{ .what = "its image is not there any more",
	  .image = true,
	  .other_file = true,
	  .r = -ESTALE,
	  .steps = "" },
	{ .what = "nobody will know what becomes of its connections",
	  .server = true,
	  .not_kept = true,
	  .r = -ENOENT,
	  .steps = "" },
	{ .what = "the driver is told",
	  .quiesces = true,
	  .then = WIRE_STATE_LIVE,
	  .steps = BORN "+recovering quiesce wait " REPLACED },
	{ .what = "it cannot be told",
	  .then = WIRE_STATE_LIVE,
	  .steps = BORN "+recovering kill " REPLACED },
	{ .what = "it cannot be told, Linux before 6.16",
	  .old = true,
	  .then = WIRE_STATE_LIVE,
	  .steps = BORN "+recovering kill begin +recovering! hand end other-b +live " },
	{ .what = "it is told too late, which it remembers",
	  .quiesces = true,
	  .ublk_fails = UBLK_FAKE_QUIESCE,
	  .code = EBUSY,
	  .then = WIRE_STATE_LIVE,
	  .steps = BORN "+recovering quiesce kill " REPLACED },
	{ .what = "the old worker does not leave",
	  .quiesces = true,
	  .stays = true,
	  .then = WIRE_STATE_LIVE,
	  .steps = BORN "+recovering quiesce wait kill " REPLACED },

	/* --- the old one goes on --- */
	{ .what = "nobody kept what it serves from", .not_kept = true, .r = -ENOENT, .steps = "" },
	{ .what = "no memory for a worker",
	  .fails = SPAWN,
	  .code = ENOMEM,
	  .r = -ENOMEM,
	  .steps = "get other cgroup-b spawn other " },
	{ .what = "the worker cannot prepare",
	  .fails = PREPARE,
	  .code = EPROTO,
	  .r = -EPROTO,
	  .steps = BORN "other " },
	{ .what = "it has failed", .state = WIRE_STATE_FAILED, .r = -ENODEV, .steps = "" },
	{ .what = "it gets another one anyway",
	  .state = WIRE_STATE_RECOVERING,
	  .r = -EBUSY,
	  .steps = "" },
	{ .what = "it just died", .kernel = UBLK_S_DEV_QUIESCED, .r = -EBUSY, .steps = "" },
	{ .what = "the number is another device's",
	  .other_device = true,
	  .r = -ENODEV,
	  .steps = "" },

	/* --- it becomes larger --- */
	{ .what = "an image",
	  .image = true,
	  .grows = 1,
	  .then = WIRE_STATE_LIVE,
	  .steps = "kill enlarge kill other " IMAGE_MADE },
	{ .what = "an image that was as large",
	  .image = true,
	  .large = true,
	  .fails = ENLARGE,
	  .code = EPROTO,
	  .grows = 1,
	  .then = WIRE_STATE_LIVE,
	  .steps = "kill enlarge back-end kill other " IMAGE_MADE },
	{ .what = "an image that cannot: it is served as it was",
	  .image = true,
	  .fails = ENLARGE,
	  .code = EPROTO,
	  .grows = 1,
	  .stays_small = true,
	  .r = -EPROTO,
	  .then = WIRE_STATE_LIVE,
	  .steps = "kill enlarge back-end kill other " IMAGE_MADE },
	{ .what = "an image that no rule lets grow",
	  .image = true,
	  .grows = -EPERM,
	  .r = -EPERM,
	  .steps = "" },
	{ .what = "it grows, and then the driver hears of it",
	  .quiesces = true,
	  .grows = 1,
	  .then = WIRE_STATE_LIVE,
	  .steps = BORN "+recovering quiesce wait begin hand end other-b size +live " },
	{ .what = "it has that size", .grows = -EALREADY, .steps = "get size " },
	{ .what = "it may not grow", .grows = -EPERM, .r = -EPERM, .steps = "get " },
	{ .what = "it grows, and the driver does not take it",
	  .grows = 1,
	  .ublk_fails = UBLK_FAKE_RESIZE,
	  .code = ETIMEDOUT,
	  .r = -ETIMEDOUT,
	  .then = WIRE_STATE_LIVE,
	  .steps = BORN "+recovering kill begin hand end other-b size +live " },

	/* --- there is no way back --- */
	{ .what = "the new worker dies with the char device",
	  .quiesces = true,
	  .fails = HAND_OVER,
	  .code = ECONNRESET,
	  .r = -ECONNRESET,
	  .then = WIRE_STATE_RECOVERING,
	  .steps = BORN "+recovering quiesce wait begin hand kill-b " },
	{ .what = "the new worker dies with the char device, Linux before 6.16",
	  .old = true,
	  .fails = HAND_OVER,
	  .code = ECONNRESET,
	  .r = -ECONNRESET,
	  .then = WIRE_STATE_FAILED,
	  .steps = BORN "+recovering kill begin +recovering! hand kill-b fail +failed! " },
};

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

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];
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
		if (then == WIRE_STATE_FAILED && row->state != WIRE_STATE_FAILED)
			assert_true(*life.rec.failure);
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

	for (size_t i = 0; i < ARRAY_SIZE(upgrades); i++) {
		struct row row = upgrades[i];
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
