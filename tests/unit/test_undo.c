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

#define DEV_ID 7
#define GENERATION UINT64_C(0x75626f6300000007)

struct row {
	const char *what;
	/* What is there; the first of each is the usual. */
	enum { STARTED, ADDED, RESERVED, DEAD, GONE, OTHERS } device;
	/* SERVES until it stops; LINGERS after; HANGS in it; REUSED is its pid; UNSEEN hangs, and
	 * is not on record */
	enum { SERVES, LINGERS, HANGS, ENDED, REUSED, UNSEEN, NONE } worker;
	enum { HERE, AWAY, ENDING, NO_CGROUP, LEFT_CGROUP, LEFT_MOUNT_NS, HOST } place;
	uint32_t flags; /* WIRE_AHEAD: a container has it; WIRE_CLAIMED: it is what one has */
	bool abrupt;	/* not orderly */
	bool read_only;
	bool limited; /* its container's I/O is */
	bool behind;  /* and that of its worker */
	bool v1;      /* device filters are those of cgroup v1 */
	bool in_unit; /* its container's systemd unit allows it */
	bool mounted; /* the container has its file system, and no node */
	bool shared;  /* the host has it by another claim, too, */
	bool ends;    /* which is being undone */
	/* What fails, and how. */
	enum undo_fake_call fails;
	enum ublk_fake_call ublk_fails;
	int code;
	/* What comes of it. */
	int r;
	const char *steps;
};

static const struct row rows[] = {
	/* --- the stages of an attach --- */
	{ .what = "reserved only", .device = RESERVED, .worker = NONE, .steps = "drop" },
	{ .what = "added, no worker yet", .device = ADDED, .worker = NONE, .steps = "delete drop" },
	{ .what = "never started, with a worker",
	  .device = ADDED,
	  .steps = "delete kill cgroup drop" },
	{ .what = "never started, its worker ended",
	  .device = ADDED,
	  .worker = ENDED,
	  .steps = "delete cgroup drop" },

	{ .what = "never started, its worker not on record",
	  .device = ADDED,
	  .worker = UNSEEN,
	  .steps = "delete cgroup drop" },
	{ .what = "started, and its worker, not on record, holds STOP up until it is killed",
	  .worker = UNSEEN,
	  .place = HOST,
	  .steps = "stop kill stop delete cgroup drop" },
	{ .what = "started, its worker not on record, not orderly",
	  .worker = UNSEEN,
	  .place = HOST,
	  .abrupt = true,
	  .steps = "kill stop delete cgroup drop" },

	/* --- a live device --- */
	{ .what = "live and orderly",
	  .steps = "revoke disarm remove flush stop delete cgroup drop" },
	{ .what = "live, not orderly",
	  .abrupt = true,
	  .steps = "revoke disarm remove kill stop delete cgroup drop" },
	{ .what = "its descriptor stays with the keeper, so it is not forgotten",
	  .fails = UNDO_FAKE_KEEP,
	  .code = ETIMEDOUT,
	  .r = -ETIMEDOUT,
	  .steps = "revoke disarm remove flush stop delete cgroup" },
	{ .what = "its counters cannot be removed, so it is not forgotten",
	  .fails = UNDO_FAKE_STATS,
	  .code = EACCES,
	  .r = -EACCES,
	  .steps = "revoke disarm remove flush stop delete cgroup" },
	{ .what = "read-only",
	  .read_only = true,
	  .steps = "revoke disarm remove stop delete cgroup drop" },
	{ .what = "with I/O limits",
	  .limited = true,
	  .steps = "revoke disarm lift remove flush stop delete cgroup drop" },
	{ .what = "with I/O limits, on the disk behind it too",
	  .limited = true,
	  .behind = true,
	  .steps = "revoke disarm behind lift remove flush stop delete cgroup drop" },
	{ .what = "with I/O limits, on the disk behind it too, which stays limited",
	  .limited = true,
	  .behind = true,
	  .fails = UNDO_FAKE_BEHIND,
	  .code = EACCES,
	  .steps = "revoke disarm behind lift remove flush stop delete cgroup drop" },
	{ .what = "on cgroup v1",
	  .v1 = true,
	  .steps = "revoke disarm remove flush stop delete cgroup drop" },
	{ .what = "on cgroup v1 its container has ended, and its cgroup has not",
	  .v1 = true,
	  .place = AWAY,
	  .steps = "revoke disarm flush stop delete cgroup drop" },
	{ .what = "on cgroup v1 its container's cgroup is gone",
	  .v1 = true,
	  .place = NO_CGROUP,
	  .steps = "disarm remove flush stop delete cgroup drop" },
	{ .what = "allowed by its container's unit",
	  .in_unit = true,
	  .steps = "revoke unit disarm remove flush stop delete cgroup drop" },
	{ .what = "its container's unit still allows it, so its number is not given away",
	  .in_unit = true,
	  .fails = UNDO_FAKE_UNIT,
	  .code = ETIMEDOUT,
	  .r = -ETIMEDOUT,
	  .steps = "revoke unit" },
	{ .what = "its container has ended, and its unit with it",
	  .in_unit = true,
	  .place = AWAY,
	  .fails = UNDO_FAKE_UNIT,
	  .code = EIO,
	  .steps = "forget unit disarm flush stop delete cgroup drop" },
	{ .what = "with I/O limits, its container has ended",
	  .limited = true,
	  .place = AWAY,
	  .steps = "forget disarm lift flush stop delete cgroup drop" },
	{ .what = "with I/O limits, never started",
	  .limited = true,
	  .device = ADDED,
	  .worker = NONE,
	  .steps = "delete drop" },
	{ .what = "the limits cannot be lifted, and end with the disk",
	  .limited = true,
	  .fails = UNDO_FAKE_LIFT,
	  .code = EACCES,
	  .steps = "revoke disarm lift remove flush stop delete cgroup drop" },
	{ .what = "for the host", .place = HOST, .steps = "flush stop delete cgroup drop" },
	{ .what = "its container has no cgroup of its own",
	  .place = NO_CGROUP,
	  .steps = "disarm remove flush stop delete cgroup drop" },
	{ .what = "its container has ended",
	  .place = AWAY,
	  .steps = "forget disarm flush stop delete cgroup drop" },
	{ .what = "its container had no cgroup of its own and has ended",
	  .place = NO_CGROUP,
	  .fails = UNDO_FAKE_LOOK,
	  .code = ESRCH,
	  .steps = "disarm flush stop delete cgroup drop" },
	{ .what = "its container ends while the node is removed",
	  .place = ENDING,
	  .fails = UNDO_FAKE_REMOVE,
	  .code = ESRCH,
	  .steps = "revoke disarm remove flush stop delete cgroup drop" },
	{ .what = "its container's process went to another cgroup",
	  .place = LEFT_CGROUP,
	  .steps = "forget disarm remove flush stop delete cgroup drop" },
	{ .what = "its container's process went to another mount namespace",
	  .place = LEFT_MOUNT_NS,
	  .steps = "revoke disarm flush stop delete cgroup drop" },
	{ .what = "its worker ended, so it is live but served by nobody",
	  .worker = ENDED,
	  .steps = "revoke disarm remove stop delete cgroup drop" },
	{ .what = "its worker ended and the driver stopped it",
	  .device = DEAD,
	  .worker = ENDED,
	  .steps = "revoke disarm remove delete cgroup drop" },
	{ .what = "the worker's pid is another process's by now",
	  .worker = REUSED,
	  .abrupt = true,
	  .steps = "revoke disarm remove stop delete cgroup drop" },

	/* --- a mounted file system --- */
	{ .what = "mounted and orderly",
	  .mounted = true,
	  .steps = "sync unmount gone flush stop delete cgroup drop" },
	{ .what = "mounted, not orderly",
	  .mounted = true,
	  .abrupt = true,
	  .steps = "unmount kill stop delete cgroup drop" },
	{ .what = "mounted, with I/O limits",
	  .mounted = true,
	  .limited = true,
	  .steps = "sync unmount gone lift flush stop delete cgroup drop" },
	{ .what = "mounted, its container has ended",
	  .mounted = true,
	  .place = AWAY,
	  .steps = "gone flush stop delete cgroup drop" },
	{ .what = "mounted, its container's process went to another mount namespace",
	  .mounted = true,
	  .place = LEFT_MOUNT_NS,
	  .steps = "gone flush stop delete cgroup drop" },
	{ .what = "it cannot be unmounted",
	  .mounted = true,
	  .fails = UNDO_FAKE_UNMOUNT,
	  .code = ETIMEDOUT,
	  .steps = "sync unmount gone flush stop delete cgroup drop" },
	{ .what = "somebody keeps it",
	  .mounted = true,
	  .fails = UNDO_FAKE_GONE,
	  .code = ETIMEDOUT,
	  .steps = "sync unmount gone flush stop delete cgroup drop" },
	{ .what = "to be mounted, and never started",
	  .mounted = true,
	  .device = ADDED,
	  .worker = NONE,
	  .steps = "delete drop" },

	/* --- one that the host has mounted --- */
	{ .what = "mounted on the host and orderly",
	  .mounted = true,
	  .place = HOST,
	  .steps = "sync unmount gone flush stop delete cgroup drop" },
	{ .what = "mounted on the host, not orderly",
	  .mounted = true,
	  .place = HOST,
	  .abrupt = true,
	  .steps = "unmount kill stop delete cgroup drop" },
	{ .what = "somebody keeps what the host had mounted",
	  .mounted = true,
	  .place = HOST,
	  .fails = UNDO_FAKE_GONE,
	  .code = ETIMEDOUT,
	  .steps = "sync unmount gone flush stop delete cgroup drop" },
	{ .what = "the host cannot be looked at",
	  .mounted = true,
	  .place = HOST,
	  .fails = UNDO_FAKE_LOOK,
	  .code = EPERM,
	  .steps = "gone flush stop delete cgroup drop" },
	{ .what = "to be mounted on the host, and never started",
	  .mounted = true,
	  .place = HOST,
	  .device = ADDED,
	  .worker = NONE,
	  .steps = "delete drop" },

	/* --- the number is not ours --- */
	{ .what = "the number is another device's",
	  .device = OTHERS,
	  .worker = ENDED,
	  .steps = "revoke disarm remove cgroup drop" },
	{ .what = "the number is another device's, the worker still runs",
	  .device = OTHERS,
	  .steps = "revoke disarm remove kill cgroup drop" },
	{ .what = "the device is gone",
	  .device = GONE,
	  .worker = ENDED,
	  .steps = "revoke disarm remove cgroup drop" },
	{ .what = "the driver is gone",
	  .ublk_fails = UBLK_FAKE_OPEN,
	  .code = ENOENT,
	  .worker = ENDED,
	  .steps = "revoke disarm remove cgroup drop" },
	{ .what = "the device goes before STOP",
	  .worker = ENDED,
	  .ublk_fails = UBLK_FAKE_STOP,
	  .code = ENODEV,
	  .steps = "revoke disarm remove stop delete cgroup drop" },
	{ .what = "the device goes before DELETE",
	  .ublk_fails = UBLK_FAKE_DELETE,
	  .code = ENODEV,
	  .steps = "revoke disarm remove flush stop delete cgroup drop" },

	/* --- a worker that does not keep up --- */
	{ .what = "the flush fails",
	  .fails = UNDO_FAKE_FLUSH,
	  .code = EIO,
	  .steps = "revoke disarm remove flush stop delete cgroup drop" },
	{ .what = "the flush times out",
	  .fails = UNDO_FAKE_FLUSH,
	  .code = ETIMEDOUT,
	  .steps = "revoke disarm remove flush kill stop delete cgroup drop" },
	{ .what = "STOP times out until the worker is killed",
	  .worker = HANGS,
	  .steps = "revoke disarm remove flush stop kill stop delete cgroup drop" },
	{ .what = "the worker stays when its device has stopped",
	  .worker = LINGERS,
	  .steps = "revoke disarm remove flush stop delete kill cgroup drop" },

	/* --- what fails leaves the record, and all that was not done yet --- */
	{ .what = "the filter cannot be revoked",
	  .fails = UNDO_FAKE_REVOKE,
	  .code = EBUSY,
	  .r = -EBUSY,
	  .steps = "revoke" },
	{ .what = "the node cannot be closed",
	  .fails = UNDO_FAKE_DISARM,
	  .code = EIO,
	  .r = -EIO,
	  .steps = "revoke disarm" },
	{ .what = "the container keeps us from its node, which is closed already",
	  .fails = UNDO_FAKE_REMOVE,
	  .code = ETIMEDOUT,
	  .steps = "revoke disarm remove flush stop delete cgroup drop" },
	{ .what = "the container cannot be looked at",
	  .fails = UNDO_FAKE_LOOK,
	  .code = EACCES,
	  .r = -EACCES,
	  .steps = "" },
	{ .what = "the filter's pins of an ended container cannot be removed",
	  .place = AWAY,
	  .fails = UNDO_FAKE_FORGET,
	  .code = EIO,
	  .r = -EIO,
	  .steps = "forget" },
	{ .what = "the driver does not open",
	  .ublk_fails = UBLK_FAKE_OPEN,
	  .code = EACCES,
	  .r = -EACCES,
	  .steps = "revoke disarm remove" },
	{ .what = "the driver does not say whose the number is",
	  .ublk_fails = UBLK_FAKE_INFO,
	  .code = EIO,
	  .r = -EIO,
	  .steps = "revoke disarm remove" },
	{ .what = "STOP times out, and again when the worker is killed",
	  .ublk_fails = UBLK_FAKE_STOP,
	  .code = ETIMEDOUT,
	  .r = -ETIMEDOUT,
	  .steps = "revoke disarm remove flush stop kill stop" },
	{ .what = "STOP times out and there is no worker to kill",
	  .worker = ENDED,
	  .ublk_fails = UBLK_FAKE_STOP,
	  .code = ETIMEDOUT,
	  .r = -ETIMEDOUT,
	  .steps = "revoke disarm remove stop" },
	{ .what = "DELETE fails",
	  .ublk_fails = UBLK_FAKE_DELETE,
	  .code = EBUSY,
	  .r = -EBUSY,
	  .steps = "revoke disarm remove flush stop delete" },
	{ .what = "the worker cannot be killed",
	  .device = ADDED,
	  .fails = UNDO_FAKE_KILL,
	  .code = ETIMEDOUT,
	  .r = -ETIMEDOUT,
	  .steps = "delete kill" },
	{ .what = "the worker's cgroup stays",
	  .fails = UNDO_FAKE_CGROUP,
	  .code = ETIMEDOUT,
	  .r = -ETIMEDOUT,
	  .steps = "revoke disarm remove flush stop delete cgroup" },
	/* --- made ahead --- */
	{ .what = "made ahead, and a container has it",
	  .flags = WIRE_AHEAD,
	  .steps = "take revoke disarm remove end flush stop delete cgroup drop" },
	{ .what = "made ahead, and it cannot be taken from the container",
	  .flags = WIRE_AHEAD,
	  .fails = UNDO_FAKE_REVOKE,
	  .code = EACCES,
	  .r = -EACCES,
	  .steps = "take revoke" },
	{ .what = "made ahead, and somebody works on the claim",
	  .flags = WIRE_AHEAD,
	  .fails = UNDO_FAKE_TAKE,
	  .code = EBUSY,
	  .r = -EBUSY,
	  .steps = "take" },
	{ .what = "what a container has of it: the device goes on",
	  .flags = WIRE_CLAIMED,
	  .worker = NONE,
	  .steps = "revoke disarm remove unused drop" },
	{ .what = "what the host has of it, mounted",
	  .flags = WIRE_CLAIMED,
	  .worker = NONE,
	  .place = HOST,
	  .mounted = true,
	  .steps = "sync unmount gone unused drop" },
	{ .what = "the same, and it has it elsewhere, too",
	  .flags = WIRE_CLAIMED,
	  .worker = NONE,
	  .place = HOST,
	  .mounted = true,
	  .shared = true,
	  .steps = "sync unmount drop" },
	{ .what = "the same, and it ends there at the same time",
	  .flags = WIRE_CLAIMED,
	  .worker = NONE,
	  .place = HOST,
	  .mounted = true,
	  .shared = true,
	  .ends = true,
	  .steps = "sync unmount gone unused drop" },
	{ .what = "what the host has of it, on a file",
	  .flags = WIRE_CLAIMED,
	  .worker = NONE,
	  .place = HOST,
	  .steps = "file unused drop" },
	{ .what = "the same, and it has it elsewhere, too",
	  .flags = WIRE_CLAIMED,
	  .worker = NONE,
	  .place = HOST,
	  .shared = true,
	  .steps = "file drop" },
	{ .what = "the same, and it cannot be taken from there",
	  .flags = WIRE_CLAIMED,
	  .worker = NONE,
	  .place = HOST,
	  .fails = UNDO_FAKE_FILE,
	  .code = EACCES,
	  .r = -EACCES,
	  .steps = "file" },
	{ .what = "the same, with I/O limits",
	  .flags = WIRE_CLAIMED,
	  .worker = NONE,
	  .limited = true,
	  .steps = "revoke disarm lift remove unused drop" },
	{ .what = "the same, and others may have it open: it is read-only",
	  .flags = WIRE_CLAIMED,
	  .worker = NONE,
	  .read_only = true,
	  .steps = "revoke disarm remove drop" },
	{ .what = "the same, and somebody still has it open",
	  .flags = WIRE_CLAIMED,
	  .worker = NONE,
	  .place = AWAY,
	  .fails = UNDO_FAKE_UNUSED,
	  .code = EACCES,
	  .r = -EACCES,
	  .steps = "forget disarm unused" },
	{ .what = "the record cannot be dropped",
	  .fails = UNDO_FAKE_DROP,
	  .code = EIO,
	  .r = -EIO,
	  .steps = "revoke disarm remove flush stop delete cgroup drop" },
};

/* The fakes call back without an argument. */
static struct life {
	const struct row *row;
	struct record rec;
	pid_t worker; /* not reaped yet; 0: there is none */
	int worker_fd;
	int container_fd;
	struct record claim; /* to the device, when it is one made ahead */
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

static bool ends_with_drop(const char *steps)
{
	size_t len = strlen(steps);

	return len >= 4 && !strcmp(steps + len - 4, "drop");
}

static void test_a_record_is_undone_as_the_table_says(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];
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
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];
		struct err e = { "" };

		if (!row->r)
			continue;
		life_begin(row);
		life_disturb();
		assert_int_equal(life_undo(row, &e), row->r);

		life_connect();
		ublk_fake_fail(row->ublk_fails, 0);
		if (life_undo(row, &e) < 0 || !ends_with_drop(undo_fake_steps()))
			fail_msg("%s: %s, %s", row->what, e.text, undo_fake_steps());
		assert_order(undo_fake_steps());
		assert_int_equal(ublk_fake_devices(), row->flags & WIRE_CLAIMED ? 1 : 0);
		assert_true(!life.worker || process_ended(life.worker_fd));
		life_end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_record_is_undone_as_the_table_says),
		cmocka_unit_test(test_what_failed_is_finished_by_the_next_try),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
