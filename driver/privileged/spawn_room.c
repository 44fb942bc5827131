/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/spawn_report.h"
#include "driver/wire/packet.h"

#define ROOM_TIMEOUT_MS 10000
#define ROOM_NR_FDS 4

/* In the order of struct spawn_room. */
static const char *const room_files[ROOM_NR_FDS] = {
	"/proc/self/ns/mnt",
	"/proc/self/ns/net",
	"/proc/self/ns/ipc",
	"/proc/self/ns/uts",
};

struct room_plan {
	const char *(*fill)(void *arg); /* NULL: it stays empty */
	void *arg;
};

/* Puts in what is wanted, and lets nobody write there from then on. */
static const char *room_fill(const struct room_plan *plan)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	const char *step = plan->fill(plan->arg);

	if (step)
		return step;
	return mount_setattr(AT_FDCWD, ".", 0, &attr, sizeof(attr)) < 0 ? "make the root read-only"
									: NULL;
}

/*
 * The root becomes a tmpfs that cannot be written, empty where nothing is wanted in it; what was
 * there is unmounted. It is put over /proc because that is sure to exist.
 */
static const char *room_root(const struct room_plan *plan)
{
	unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | (plan->fill ? 0 : MS_RDONLY);
	const char *step = NULL;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return "make mounts private";
	if (mount("ublk-oci", "/proc", "tmpfs", flags,
		  plan->fill ? "size=64k,nr_inodes=64,mode=0555"
			     : "size=4k,nr_inodes=2,mode=0555") < 0)
		return "mount a tmpfs";
	if (chdir("/proc") < 0)
		return "enter the tmpfs";
	if (plan->fill)
		step = room_fill(plan);
	if (step)
		return step;
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return "change the root";
	if (umount2(".", MNT_DETACH) < 0)
		return "unmount the old root";
	return NULL;
}

/* Runs in a child: answers with the namespaces as fds, or the step that failed. Never returns. */
static void room_child(const struct room_plan *plan, int report_fd)
{
	struct spawn_report m = { 0 };
	int fds[ROOM_NR_FDS];
	const char *step = NULL;

	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		step = "make namespaces";
	for (size_t i = 0; !step && i < ROOM_NR_FDS; i++) {
		fds[i] = open(room_files[i], O_RDONLY | O_CLOEXEC);
		if (fds[i] < 0)
			step = "open a namespace";
	}
	if (!step)
		step = room_root(plan);
	if (step)
		m = spawn_report_failure(errno, step);
	packet_send(report_fd, &m, sizeof(m), fds, step ? 0 : ROOM_NR_FDS, ROOM_TIMEOUT_MS);
	_exit(0);
}

static int room_receive(struct spawn_room *room, int report_fd, struct err *e)
{
	auto_packet struct packet p = PACKET_INIT;
	int r;

	r = spawn_report_receive(report_fd, &p, ROOM_TIMEOUT_MS, e);
	if (r < 0)
		return r;
	if (p.nr_fds != ROOM_NR_FDS)
		return err_set(e, EPROTO, "namespaces are missing");
	*room = (struct spawn_room){
		.mount_fd = fd_take(&p.fds[0]),
		.net_fd = fd_take(&p.fds[1]),
		.ipc_fd = fd_take(&p.fds[2]),
		.uts_fd = fd_take(&p.fds[3]),
	};
	return 0;
}

static int room_make(struct spawn_room *room, const struct room_plan *plan, struct err *e)
{
	auto_close int report_fd = -1, child_fd = -1;
	int pair[2];
	pid_t pid;
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, errno, "cannot make a socket pair");
	report_fd = pair[0];
	child_fd = pair[1];
	pid = fork();
	if (pid < 0)
		return err_sys(e, errno, "cannot fork");
	if (!pid)
		room_child(plan, child_fd);
	close_fdp(&child_fd);
	r = room_receive(room, report_fd, e);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return r;
}

int spawn_room_make(struct spawn_room *room, struct err *e)
{
	const struct room_plan plan = { NULL, NULL };
	int r = room_make(room, &plan, e);

	return r < 0 ? err_prefix(e, r, "cannot make the workers' namespaces") : 0;
}

int spawn_room_make_filled(struct spawn_room *room, const char *(*fill)(void *arg), void *arg,
			   struct err *e)
{
	const struct room_plan plan = { fill, arg };
	int r = room_make(room, &plan, e);

	return r < 0 ? err_prefix(e, r, "cannot make a back end's namespaces") : 0;
}

void spawn_room_fini(struct spawn_room *room)
{
	close_fdp(&room->mount_fd);
	close_fdp(&room->net_fd);
	close_fdp(&room->ipc_fd);
	close_fdp(&room->uts_fd);
}
