/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/capability.h>
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
#include "driver/privileged/spawn_clone.h"
#include "driver/privileged/spawn_report.h"
#include "driver/wire/keep.h"
#include "driver/wire/packet.h"

/*
 * One child, from clone3() to execveat(). What takes root's rights its parent
 * does: to itself, for the child to inherit, or to the child.
 *
 *   parent                                  child
 *   no groups, shared namespaces, ...
 *   clone3(new user and pid namespace)
 *   back to its own mounts
 *   id maps, limits, "go"              ->   signals, session
 *                                           ids, capabilities, no_new_privs, exec
 *   OOM score                         <-    (the report socket closes on exec)
 *
 * Until it executes the child shares the parent's memory (spawn_clone.h), and
 * each of them is asleep in a system call while the other one works. The
 * parent has a pidfd from clone3() itself, so whatever fails, there is
 * something to kill; and it waits until the child's memory is its own, or the
 * child is dead.
 */

#define SPAWN_TIMEOUT_MS 10000
#define SPAWN_FD_FREE 16 /* descriptors from here on do not collide with those of the worker */
#define SPAWN_NPROC 4096
#define SPAWN_OOM_SCORE "-999"
#define SPAWN_STACK_BYTES (32 * 1024) /* all of it is locked into memory */
#define SPAWN_BACKEND_STACK_BYTES (8 << 20)
#define SPAWN_BACKEND_FILES 256
#define SPAWN_BACKEND_NPROC 256 /* qemu-storage-daemon reads and writes by up to 64 threads */

#define SPAWN_SECUREBITS                                                                           \
	(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |                           \
	 SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |   \
	 SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

static const struct {
	const char *name;
	const char *step; /* of its exec */
	rlim_t nr_files;
	rlim_t stack_bytes;
	/* Processes and threads, counted per uid and user namespace, so for each one alone. */
	rlim_t nr_tasks;
} spawn_programs[SPAWN_PROGRAMS] = {
	[SPAWN_WORKER] = { "ublk-oci-worker", "execute the worker program", 64, SPAWN_STACK_BYTES,
			   SPAWN_NPROC },
	/* As many again: by this limit it may pass on what it holds. */
	[SPAWN_KEEPER] = { "ublk-oci-keeper", "execute the keeper program", 2 * KEEP_ENTRIES_MAX,
			   SPAWN_STACK_BYTES, SPAWN_NPROC },
	[SPAWN_BACKEND] = { "ublk-oci-backend", "execute the back end's first program",
			    SPAWN_BACKEND_FILES, SPAWN_BACKEND_STACK_BYTES, SPAWN_BACKEND_NPROC },
};

/* --- in the child: system calls only, no memory from the heap --------------------- */

struct spawn_plan {
	const struct spawn_spec *spec;
	int program_fd;
	int channel_fd; /* the worker's end */
	int report_fd;	/* the child's end */
	int null_fd;
	int parent_fds[2]; /* the parent's ends, to be closed */
	unsigned long last_cap;
};

/* Each step: NULL, or its name with errno set. */
typedef const char *spawn_step(const struct spawn_plan *plan);

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

/* By the kernel's calls: the C library's concern all threads of who shares its memory. */
static const char *spawn_ids(const struct spawn_plan *plan)
{
	uid_t uid = plan->spec->uid;
	gid_t gid = plan->spec->gid;

	if (syscall(SYS_setresgid, gid, gid, gid) < 0 || syscall(SYS_setresuid, uid, uid, uid) < 0)
		return "change ids";
	/* The memory is the helper's: whatever fs.suid_dumpable says, not its new uid's to trace.
	 */
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? "become undumpable" : NULL;
}

static const char *spawn_no_capabilities(const struct spawn_plan *plan)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	/* A new user namespace has them all. */
	for (unsigned long cap = 0; cap <= plan->last_cap; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return "drop the bounding set";
	}
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
	spawn_quiet, spawn_ids, spawn_no_capabilities, spawn_descriptors, spawn_exec,
};

static void spawn_child_main(const void *arg)
{
	const struct spawn_plan *plan = arg;
	struct spawn_report m;
	char go;

	for (size_t i = 0; i < ARRAY_SIZE(plan->parent_fds); i++)
		close(plan->parent_fds[i]);
	if (recv(plan->report_fd, &go, 1, 0) != 1)
		_exit(1); /* the parent is gone */
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

static unsigned long spawn_last_cap(void)
{
	unsigned long cap = CAP_LAST_CAP;

	while (cap && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) < 0)
		cap--;
	while (prctl(PR_CAPBSET_READ, cap + 1, 0, 0, 0) >= 0)
		cap++;
	return cap;
}

/* What the child inherits, and could not take as the root of a user namespace only. */
static int spawn_enter_room(const struct spawn_room *room, struct err *e)
{
	const struct rlimit locked = { RLIM_INFINITY, RLIM_INFINITY };

	/* A user namespace may not be allowed to change its groups. */
	if (setgroups(0, NULL) < 0)
		return err_sys(e, errno, "cannot drop groups");
	/* All of a user namespace together may lock what its maker may. */
	if (setrlimit(RLIMIT_MEMLOCK, &locked) < 0)
		return err_sys(e, errno, "cannot set limits");
	/* The kernel's allocations for a worker must not wait for the disk it serves. */
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "cannot become an I/O flusher");
	/* Threads of a ring have the same root; mounts are entered by who has one alone. */
	if (unshare(CLONE_FS) < 0)
		return err_sys(e, errno, "cannot have a root of its own");
	if (setns(room->net_fd, CLONE_NEWNET) < 0 || setns(room->ipc_fd, CLONE_NEWIPC) < 0 ||
	    setns(room->uts_fd, CLONE_NEWUTS) < 0 || setns(room->mount_fd, CLONE_NEWNS) < 0)
		return err_sys(e, errno, "cannot enter the workers' namespaces");
	return 0;
}

static int spawn_leave_room(int mount_fd, struct err *e)
{
	if (setns(mount_fd, CLONE_NEWNS) < 0 || prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0) < 0)
		return err_sys(e, errno, "cannot leave the workers' namespaces");
	return 0;
}

static int spawn_write_proc(int proc_fd, const char *file, const char *text, struct err *e)
{
	auto_close int fd = openat(proc_fd, file, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return err_sys(e, errno, "cannot write %s of the worker", file);
	return 0;
}

/* Its own id and no other exists in the worker's user namespace. */
static int spawn_map_ids(int proc_fd, const struct spawn_spec *spec, struct err *e)
{
	char uid_map[64], gid_map[64];
	const struct {
		const char *file, *text;
	} files[] = {
		{ "setgroups", "deny" },
		{ "gid_map", gid_map },
		{ "uid_map", uid_map },
	};
	int r;

	snprintf(uid_map, sizeof(uid_map), "%u %u 1", spec->uid, spec->uid);
	snprintf(gid_map, sizeof(gid_map), "%u %u 1", spec->gid, spec->gid);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		r = spawn_write_proc(proc_fd, files[i].file, files[i].text, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int spawn_limits(pid_t pid, const struct spawn_spec *spec, struct err *e)
{
	const struct {
		int what;
		rlim_t most;
	} limits[] = {
		{ RLIMIT_FSIZE, spec->file_size_limit },
		{ RLIMIT_CORE, 0 },
		{ RLIMIT_NOFILE, spawn_programs[spec->program].nr_files },
		/* Too low, and a ring's own threads are refused. */
		{ RLIMIT_NPROC, spawn_programs[spec->program].nr_tasks },
		{ RLIMIT_MEMLOCK, RLIM_INFINITY },
		{ RLIMIT_STACK, spawn_programs[spec->program].stack_bytes },
	};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		const struct rlimit limit = { limits[i].most, limits[i].most };

		if (prlimit(pid, (__rlimit_resource_t)limits[i].what, &limit, NULL) < 0)
			return err_sys(e, errno, "cannot set limits");
	}
	return 0;
}

/* From the child's birth to its exec. */
static int spawn_guide(pid_t pid, int report_fd, const struct spawn_spec *spec, struct err *e)
{
	auto_packet struct packet end = PACKET_INIT;
	auto_close int proc_fd = -1;
	char path[32];
	int r;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc_fd < 0)
		return err_sys(e, errno, "cannot open %s", path);
	r = spawn_map_ids(proc_fd, spec, e);
	if (r == 0)
		r = spawn_limits(pid, spec, e);
	if (r < 0)
		return r;
	r = packet_send(report_fd, "", 1, NULL, 0, SPAWN_TIMEOUT_MS);
	if (r < 0)
		return err_sys(e, -r, "cannot let the worker go on");
	r = spawn_report_receive(report_fd, &end, SPAWN_TIMEOUT_MS, e);
	if (r != -ECONNRESET)
		return r;
	/* Not before: it is set for all who share the memory. */
	return spawn_write_proc(proc_fd, "oom_score_adj", SPAWN_OOM_SCORE, e);
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

/* In the workers' namespaces; whoever calls this stays in the network, ipc and uts ones. */
static int spawn_child(pid_t *ret, int *ret_pidfd, struct spawn_clone_stack *stack,
		       const struct spawn_plan *plan, struct err *e)
{
	const struct spawn_spec *spec = plan->spec;
	auto_close int mount_fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_NEWUSER | CLONE_NEWPID | CLONE_CLEAR_SIGHAND,
		.pidfd = (uintptr_t)ret_pidfd,
		.exit_signal = SIGCHLD,
	};
	int r;

	if (mount_fd < 0)
		return err_sys(e, errno, "cannot open the helper's mount namespace");
	if (spec->cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)spec->cgroup_fd;
	}
	r = spawn_enter_room(spec->room, e);
	if (r < 0)
		return r;
	*ret = spawn_clone(&args, stack, spawn_child_main, plan);
	r = spawn_leave_room(mount_fd, e);
	return *ret < 0 ? err_sys(e, -*ret, "cannot start a process") : r;
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
	struct spawn_clone_stack stack;
	struct spawn_plan plan;
	pid_t pid = 0;
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
	plan = (struct spawn_plan){
		.spec = spec,
		.program_fd = high_program,
		.channel_fd = high_worker,
		.report_fd = high_child,
		.null_fd = null_fd,
		.parent_fds = { channel_fd, report_fd },
		.last_cap = spawn_last_cap(),
	};
	r = spawn_child(&pid, &pidfd, &stack, &plan, e);
	close_fdp(&child_fd);
	close_fdp(&high_child);
	if (r == 0)
		r = spawn_guide(pid, report_fd, spec, e);
	if (r < 0) {
		if (pid > 0)
			spawn_kill(spec, pidfd);
		return r;
	}
	*ret = (struct spawn_child){ pid, fd_take(&pidfd), fd_take(&channel_fd) };
	return 0;
}
