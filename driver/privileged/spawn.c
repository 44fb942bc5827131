/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/spawn_report.h"
#include "driver/wire/keep.h"
#include "driver/wire/packet.h"

/*
 * One child, from clone3() to execveat(). It begins as root in the caller's
 * namespaces and steps down:
 *
 *   child                                   parent
 *   shared namespaces, limits, no groups
 *   unshare(user namespace), report   ->
 *                                    <-     id maps, OOM score, "go"
 *   ids, capabilities, no_new_privs, exec
 *   (the report socket closes on exec) ->   end of file: it runs
 *
 * The parent has a pidfd from clone3() itself, so whatever fails, there is
 * something to kill.
 */

#define SPAWN_TIMEOUT_MS 10000
#define SPAWN_FD_FREE 16 /* descriptors from here on do not collide with those of the worker */
#define SPAWN_NPROC 4096
#define SPAWN_OOM_SCORE "-999"
#define SPAWN_STACK_BYTES (32 * 1024) /* all of it is locked into memory */

#define SPAWN_SECUREBITS                                                                           \
	(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |                           \
	 SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |   \
	 SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

static const struct {
	const char *name;
	const char *step; /* of its exec */
	rlim_t nr_files;
} spawn_programs[SPAWN_PROGRAMS] = {
	[SPAWN_WORKER] = { "ublk-oci-worker", "execute the worker program", 64 },
	/* As many again: by this limit it may pass on what it holds. */
	[SPAWN_KEEPER] = { "ublk-oci-keeper", "execute the keeper program", 2 * KEEP_ENTRIES_MAX },
};

/* --- in the child: system calls only, no memory from the heap --------------------- */

struct spawn_plan {
	const struct spawn_spec *spec;
	int program_fd;
	int channel_fd; /* the worker's end */
	int report_fd;	/* the child's end */
	int null_fd;
	int parent_fds[2]; /* the parent's ends, to be closed */
};

/* Each step: NULL, or its name with errno set. */
typedef const char *spawn_step(const struct spawn_plan *plan);

static const char *spawn_enter_room(const struct spawn_plan *plan)
{
	const struct spawn_room *room = plan->spec->room;

	if (setns(room->net_fd, CLONE_NEWNET) < 0 || setns(room->ipc_fd, CLONE_NEWIPC) < 0 ||
	    setns(room->uts_fd, CLONE_NEWUTS) < 0 || setns(room->mount_fd, CLONE_NEWNS) < 0)
		return "enter the workers' namespaces";
	return NULL;
}

/* The kernel's allocations for this process must not wait for the disk it serves. */
static const char *spawn_io_flusher(const struct spawn_plan *plan)
{
	return prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0 ? "become an I/O flusher" : NULL;
}

static const char *spawn_limits(const struct spawn_plan *plan)
{
	const struct {
		int what;
		rlim_t most;
	} limits[] = {
		{ RLIMIT_FSIZE, plan->spec->file_size_limit },
		{ RLIMIT_CORE, 0 },
		{ RLIMIT_NOFILE, spawn_programs[plan->spec->program].nr_files },
		/* Counted per uid; too low, and the ring's own threads are refused. */
		{ RLIMIT_NPROC, SPAWN_NPROC },
		{ RLIMIT_MEMLOCK, RLIM_INFINITY },
		{ RLIMIT_STACK, SPAWN_STACK_BYTES },
	};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		const struct rlimit limit = { limits[i].most, limits[i].most };

		if (setrlimit((__rlimit_resource_t)limits[i].what, &limit) < 0)
			return "set limits";
	}
	return NULL;
}

static const char *spawn_quiet(const struct spawn_plan *plan)
{
	sigset_t none;

	/* What has a handler loses it by clone3(); main.c ignores this one, and no other. */
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		return "reset signals";
	umask(0077);
	return setsid() < 0 ? "begin a session" : NULL;
}

/* The groups go while they can: a user namespace may not be allowed to change them. */
static const char *spawn_user_ns(const struct spawn_plan *plan)
{
	if (setgroups(0, NULL) < 0)
		return "drop groups";
	return unshare(CLONE_NEWUSER) < 0 ? "make a user namespace" : NULL;
}

static const char *spawn_await_maps(const struct spawn_plan *plan)
{
	struct spawn_report m = { 0 };
	char go;

	errno = -packet_send(plan->report_fd, &m, sizeof(m), NULL, 0, SPAWN_TIMEOUT_MS);
	if (errno)
		return "report";
	if (recv(plan->report_fd, &go, 1, 0) != 1)
		_exit(1); /* the parent is gone */
	return NULL;
}

static const char *spawn_ids(const struct spawn_plan *plan)
{
	uid_t uid = plan->spec->uid;
	gid_t gid = plan->spec->gid;

	return setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0 ? "change ids" : NULL;
}

static const char *spawn_no_capabilities(const struct spawn_plan *plan)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };
	unsigned long cap = 0;

	/* A new user namespace has them all; EINVAL is behind the last this kernel knows. */
	while (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
		cap++;
	if (errno != EINVAL)
		return "drop the bounding set";
	if (prctl(PR_SET_SECUREBITS, SPAWN_SECUREBITS, 0, 0, 0) < 0)
		return "set securebits";
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return "drop ambient capabilities";
	if (syscall(SYS_capset, &head, none) < 0)
		return "drop capabilities";
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? "set no_new_privs" : NULL;
}

static const char *spawn_descriptors(const struct spawn_plan *plan)
{
	for (int fd = 0; fd < START_CHANNEL_FD; fd++) {
		if (dup2(plan->null_fd, fd) < 0)
			return "open /dev/null as standard descriptors";
	}
	if (dup2(plan->channel_fd, START_CHANNEL_FD) < 0)
		return "place the channel";
	if (close_range(START_CHANNEL_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return "close descriptors";
	return NULL;
}

static const char *spawn_exec(const struct spawn_plan *plan)
{
	char *const argv[] = { (char *)spawn_programs[plan->spec->program].name, NULL };
	char *const environment[] = { NULL };

	syscall(SYS_execveat, plan->program_fd, "", argv, environment, AT_EMPTY_PATH);
	return spawn_programs[plan->spec->program].step;
}

static spawn_step *const spawn_steps[] = {
	spawn_enter_room, spawn_io_flusher, spawn_limits,	   spawn_quiet,	      spawn_user_ns,
	spawn_await_maps, spawn_ids,	    spawn_no_capabilities, spawn_descriptors, spawn_exec,
};

static void spawn_child_main(const struct spawn_plan *plan)
{
	struct spawn_report m;

	for (size_t i = 0; i < ARRAY_SIZE(plan->parent_fds); i++)
		close(plan->parent_fds[i]);
	for (size_t i = 0; i < ARRAY_SIZE(spawn_steps); i++) {
		const char *step = spawn_steps[i](plan);

		if (step) {
			m = spawn_report_failure(errno, step);
			packet_send(plan->report_fd, &m, sizeof(m), NULL, 0, SPAWN_TIMEOUT_MS);
			break;
		}
	}
	_exit(1);
}

/* --- in the parent ------------------------------------------------------------------ */

static int spawn_write_proc(pid_t pid, const char *file, const char *text, struct err *e)
{
	auto_close int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return err_sys(e, errno, "cannot write %s", path);
	return 0;
}

/* Its own id and no other exists in the worker's user namespace. */
static int spawn_map_ids(pid_t pid, const struct spawn_spec *spec, struct err *e)
{
	char uid_map[64], gid_map[64];
	const struct {
		const char *file, *text;
	} files[] = {
		{ "setgroups", "deny" },
		{ "gid_map", gid_map },
		{ "uid_map", uid_map },
		{ "oom_score_adj", SPAWN_OOM_SCORE },
	};
	int r;

	snprintf(uid_map, sizeof(uid_map), "%u %u 1", spec->uid, spec->uid);
	snprintf(gid_map, sizeof(gid_map), "%u %u 1", spec->gid, spec->gid);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		r = spawn_write_proc(pid, files[i].file, files[i].text, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* From the child's report that it waits, to its exec. */
static int spawn_guide(pid_t pid, int report_fd, const struct spawn_spec *spec, struct err *e)
{
	auto_packet struct packet p = PACKET_INIT, end = PACKET_INIT;
	int r;

	r = spawn_report_receive(report_fd, &p, SPAWN_TIMEOUT_MS, e);
	if (r < 0)
		return r;
	r = spawn_map_ids(pid, spec, e);
	if (r < 0)
		return r;
	r = packet_send(report_fd, "", 1, NULL, 0, SPAWN_TIMEOUT_MS);
	if (r < 0)
		return err_sys(e, -r, "cannot let the worker go on");
	r = spawn_report_receive(report_fd, &end, SPAWN_TIMEOUT_MS, e);
	return r == -ECONNRESET ? 0 : r;
}

int spawn_report_receive(int report_fd, struct packet *p, int timeout_ms, struct err *e)
{
	struct spawn_report m;
	int r;

	r = packet_receive(report_fd, p, timeout_ms);
	if (r < 0)
		return err_sys(e, -r, "no word from the child process");
	if (p->size != sizeof(m))
		return err_set(e, EPROTO, "a strange word from the child process");
	memcpy(&m, p->bytes, sizeof(m));
	return m.code ? err_sys(e, m.code, "cannot %s", m.step) : 0;
}

static int spawn_clone(const struct spawn_spec *spec, int *ret_pidfd)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_NEWPID | CLONE_CLEAR_SIGHAND,
		.pidfd = (uintptr_t)ret_pidfd,
		.exit_signal = SIGCHLD,
	};

	if (spec->cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)spec->cgroup_fd;
	}
	return (int)syscall(SYS_clone3, &args, sizeof(args));
}

static int spawn_pair(int *ret_mine, int *ret_theirs, struct err *e)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, errno, "cannot make a socket pair");
	*ret_mine = pair[0];
	*ret_theirs = pair[1];
	return 0;
}

/* A copy above the numbers that spawn_descriptors() overwrites. */
static int spawn_dup_high(int *ret, int fd, struct err *e)
{
	*ret = fcntl(fd, F_DUPFD_CLOEXEC, SPAWN_FD_FREE);
	return *ret < 0 ? err_sys(e, errno, "cannot copy a descriptor") : 0;
}

/*
 * Through its cgroup: it may have another uid by now, and the helper has no
 * right to signal those. Without a cgroup the caller needs that right.
 */
static void spawn_kill(const struct spawn_spec *spec, int pidfd)
{
	auto_close int fd = openat(spec->cgroup_fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "1", 1) < 0)
		syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	spawn_wait_end(pidfd, SPAWN_TIMEOUT_MS);
}

int spawn_worker(struct spawn_child *ret, const struct spawn_spec *spec, struct err *e)
{
	auto_close int channel_fd = -1, worker_fd = -1, report_fd = -1, child_fd = -1;
	auto_close int null_fd = -1, pidfd = -1;
	auto_close int high_worker = -1, high_child = -1, high_program = -1;
	pid_t pid;
	int r;

	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0)
		return err_sys(e, errno, "cannot open /dev/null");
	r = spawn_pair(&channel_fd, &worker_fd, e);
	if (r >= 0)
		r = spawn_pair(&report_fd, &child_fd, e);
	if (r >= 0)
		r = spawn_dup_high(&high_worker, worker_fd, e);
	if (r >= 0)
		r = spawn_dup_high(&high_child, child_fd, e);
	if (r >= 0)
		r = spawn_dup_high(&high_program, spec->program_fd, e);
	if (r < 0)
		return r;
	pid = spawn_clone(spec, &pidfd);
	if (pid < 0)
		return err_sys(e, errno, "cannot start a process");
	if (!pid)
		spawn_child_main(&(struct spawn_plan){
			.spec = spec,
			.program_fd = high_program,
			.channel_fd = high_worker,
			.report_fd = high_child,
			.null_fd = null_fd,
			.parent_fds = { channel_fd, report_fd },
		});
	close_fdp(&child_fd);
	close_fdp(&high_child);
	r = spawn_guide(pid, report_fd, spec, e);
	if (r < 0) {
		spawn_kill(spec, pidfd);
		return r;
	}
	*ret = (struct spawn_child){ pid, fd_take(&pidfd), fd_take(&channel_fd) };
	return 0;
}
