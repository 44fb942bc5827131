/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"

ssize_t process_read(int dir_fd, const char *name, char *buf, size_t size)
{
	auto_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	size_t got = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		n = read(fd, buf + got, size - got);
		if (n < 0)
			return -errno;
		got += (size_t)n;
	} while (n && got < size);
	if (got == size)
		return -E2BIG;
	buf[got] = '\0';
	return (ssize_t)got;
}

int process_of_pidfd(int pidfd, pid_t *ret_pid)
{
	char path[64], text[1024];
	const char *line;
	ssize_t n;
	int pid;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	n = process_read(AT_FDCWD, path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	line = strstr(text, "\nPid:");
	if (!line)
		return -EINVAL;
	if (sscanf(line, "\nPid:\t%d", &pid) != 1 || pid <= 0)
		return -ESRCH;
	*ret_pid = pid;
	return 0;
}

int process_parse_stat(const char *text, uint64_t *ret_ticks)
{
	const char *p = strrchr(text, ')'); /* the name before it may hold anything */

	/* Behind ")" come a space and field 3; the start time is field 22. */
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (!p || p[1] < '0' || p[1] > '9')
		return -EINVAL;
	return sscanf(p, " %" SCNu64, ret_ticks) == 1 ? 0 : -EINVAL;
}

int process_start_time(int proc_fd, uint64_t *ret_ticks)
{
	char text[2048];
	ssize_t n = process_read(proc_fd, "stat", text, sizeof(text));

	return n < 0 ? (int)n : process_parse_stat(text, ret_ticks);
}

char *process_parse_cgroup(char *text)
{
	char *path = strncmp(text, "0::/", 4) ? strstr(text, "\n0::/") : text;

	if (!path)
		return NULL;
	path = strchr(path, '/');
	*strchrnul(path, '\n') = '\0';
	return path;
}

int process_proc_open(pid_t pid)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return fd;
}

bool process_stopped(pid_t pid)
{
	auto_close int proc_fd = process_proc_open(pid);
	char text[512];
	const char *end;

	if (proc_fd < 0 || process_read(proc_fd, "stat", text, sizeof(text)) < 0)
		return false;
	/* Behind its name, which may have any characters. */
	end = strrchr(text, ')');
	return end && end[1] == ' ' && (end[2] == 'T' || end[2] == 't');
}

int process_wait_end(int pidfd, int timeout_ms)
{
	struct pollfd pfd = { .fd = pidfd, .events = POLLIN };
	int64_t deadline = clock_deadline_ms(timeout_ms);
	int r;

	do {
		r = poll(&pfd, 1, clock_left_ms(deadline));
	} while (r < 0 && errno == EINTR);
	return r > 0 ? 0 : r < 0 ? -errno : -ETIMEDOUT;
}

bool process_ended(int pidfd)
{
	return process_wait_end(pidfd, 0) == 0;
}

int process_pin(pid_t pid, uint64_t start_ticks)
{
	auto_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	auto_close int proc_fd = -1;
	uint64_t ticks;

	if (pidfd < 0)
		return errno == EINVAL ? -ESRCH : -errno;
	proc_fd = process_proc_open(pid);
	if (proc_fd < 0)
		return proc_fd;
	if (process_start_time(proc_fd, &ticks) < 0 || ticks != start_ticks || process_ended(pidfd))
		return -ESRCH;
	return fd_take(&pidfd);
}
