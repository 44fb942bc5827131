/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/strange.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "tests/hostile/ask.h"

static int make_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

static int make_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 0);
}

static int make_pipe(void)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	close(fds[1]);
	return fds[0];
}

static int make_epoll(void)
{
	return epoll_create1(0);
}

static int make_memfd(void)
{
	int fd = memfd_create("x", 0);

	return fd < 0 || ftruncate(fd, 1 << 20) < 0 ? -1 : fd;
}

static int make_eventfd(void)
{
	return eventfd(0, 0);
}

static int make_timerfd(void)
{
	return timerfd_create(CLOCK_MONOTONIC, 0);
}

static int make_signalfd(void)
{
	sigset_t none;

	sigemptyset(&none);
	return signalfd(-1, &none, 0);
}

static int make_inotify(void)
{
	return inotify_init1(0);
}

static int make_uring(void)
{
	char parameters[120] = { 0 };

	return (int)syscall(SYS_io_uring_setup, 4, parameters);
}

static int make_path(void)
{
	return open("/etc/passwd", O_PATH);
}

static int make_directory(void)
{
	return open("/", O_RDONLY | O_DIRECTORY);
}

int strange_null(void)
{
	return open("/dev/null", O_RDWR);
}

static int make_control(void)
{
	return open("/dev/ublk-control", O_RDWR);
}

static int make_memory(void)
{
	return open("/proc/self/mem", O_RDWR);
}

static int make_proc(void)
{
	return open("/proc/self", O_RDONLY | O_DIRECTORY);
}

static int make_namespace(void)
{
	return open("/proc/self/ns/mnt", O_RDONLY);
}

static int make_own_socket(void)
{
	return ask_connect(0);
}

int strange_pidfd(void)
{
	return (int)syscall(SYS_pidfd_open, getpid(), 0);
}

static int make_pidfd_init(void)
{
	return (int)syscall(SYS_pidfd_open, 1, 0);
}

/* Of a process that is gone. */
static int make_pidfd_dead(void)
{
	pid_t pid = fork();
	int fd;

	if (!pid)
		_exit(0);
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	waitpid(pid, NULL, 0);
	return fd;
}

/* Of a process that has ended, and that nobody has waited for. */
static int make_pidfd_zombie(void)
{
	pid_t pid = fork();
	int fd;

	if (!pid)
		_exit(0);
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 1000);
	return fd;
}

static int make_deleted(void)
{
	char path[] = "deleted.XXXXXX";
	int fd = mkstemp(path);

	unlink(path);
	return fd < 0 || ftruncate(fd, 1 << 20) < 0 ? -1 : fd;
}

static int make_read_only(void)
{
	return open("/etc/passwd", O_RDONLY);
}

/* A socket with a socket with a socket ... queued in it, the first one in the last. */
static int make_recursion(void)
{
	int outer[2], inner[2], first;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, outer) < 0)
		return -1;
	first = outer[0];
	for (int i = 0; i < 8; i++) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, inner) < 0)
			return -1;
		ask_send(inner[1], "x", 1, outer, 2);
		close(outer[1]);
		if (outer[0] != first)
			close(outer[0]);
		memcpy(outer, inner, sizeof(outer));
	}
	ask_send(outer[1], "x", 1, &first, 1);
	close(first);
	close(outer[1]);
	return outer[0];
}

const struct strange strange[STRANGE_COUNT] = {
	{ "TCP socket", make_socket },
	{ "netlink socket", make_netlink },
	{ "pipe", make_pipe },
	{ "epoll", make_epoll },
	{ "memfd", make_memfd },
	{ "eventfd", make_eventfd },
	{ "timerfd", make_timerfd },
	{ "signalfd", make_signalfd },
	{ "inotify", make_inotify },
	{ "io_uring", make_uring },
	{ "O_PATH", make_path },
	{ "directory", make_directory },
	{ "/dev/null", strange_null },
	{ "/dev/ublk-control", make_control },
	{ "/proc/PID/mem", make_memory },
	{ "/proc/PID", make_proc },
	{ "namespace", make_namespace },
	{ "the helper's own socket", make_own_socket },
	{ "pidfd of a process of the host", strange_pidfd },
	{ "pidfd of init", make_pidfd_init },
	{ "pidfd of a dead process", make_pidfd_dead },
	{ "pidfd of a zombie", make_pidfd_zombie },
	{ "deleted file", make_deleted },
	{ "read-only file", make_read_only },
	{ "sockets in flight", make_recursion },
};
