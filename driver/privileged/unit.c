/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/unit.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/process.h"

#define UNIT_BOOTED "/run/systemd/system" /* sd_booted(3) */
#define UNIT_INNER "container"
#define UNIT_NOT_STARTED 127

static const char *const unit_programs[] = { "/usr/bin/systemctl", "/bin/systemctl" };

static bool unit_ends_in(const char *name, size_t n, const char *end)
{
	size_t k = strlen(end);

	return n > k && !memcmp(name + n - k, end, k);
}

/* Of a unit's name; a cgroup whose name would mean something else has another in front ("_"). */
static bool unit_name_ok(const char *name, size_t n)
{
	if (n >= UNIT_NAME_SIZE || !isalnum((unsigned char)*name))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!isalnum((unsigned char)name[i]) && !strchr(":-_.\\@", name[i]))
			return false;
	}
	return true;
}

bool unit_of_cgroup(const char *cgroup, char ret[UNIT_NAME_SIZE])
{
	const char *name = cgroup, *rest;
	size_t n;

	do {
		if (*name++ != '/')
			return false;
		n = strcspn(name, "/");
		rest = name + n;
		if (!unit_name_ok(name, n))
			return false;
		if (unit_ends_in(name, n, ".scope") || unit_ends_in(name, n, ".service"))
			break;
		if (!unit_ends_in(name, n, ".slice"))
			return false;
		name = rest;
	} while (true);
	if (*rest && strcmp(rest, "/" UNIT_INNER))
		return false;
	memcpy(ret, name, n);
	ret[n] = '\0';
	return true;
}

bool unit_here(void)
{
	return access(UNIT_BOOTED, F_OK) == 0;
}

/* What it says goes to the log. */
static _Noreturn void unit_exec(const char *const *argv, pid_t parent)
{
	static const char *const environment[] = { "LC_ALL=C", "SYSTEMD_COLORS=0", NULL };
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 ||
	    dup2(null_fd, STDOUT_FILENO) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		_exit(UNIT_NOT_STARTED);
	/* systemd serves who has its uid. */
	for (int c = 0; prctl(PR_CAPBSET_READ, c) >= 0; c++) {
		if (prctl(PR_CAPBSET_DROP, c) < 0)
			_exit(UNIT_NOT_STARTED);
	}
	for (size_t i = 0; i < ARRAY_SIZE(unit_programs); i++)
		execve(unit_programs[i], (char *const *)argv, (char *const *)environment);
	_exit(UNIT_NOT_STARTED);
}

static int unit_wait(pid_t pid, int timeout_ms, struct err *e)
{
	auto_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int status = 0, r;

	r = pidfd < 0 ? -errno : process_wait_end(pidfd, timeout_ms);
	if (r < 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r == -ETIMEDOUT)
		return err_set(e, ETIMEDOUT, "systemd did not answer within %d ms", timeout_ms);
	if (r < 0)
		return err_sys(e, -r, "cannot wait for systemctl");
	if (WIFEXITED(status) && WEXITSTATUS(status) == UNIT_NOT_STARTED)
		return err_set(e, ENOENT, "systemctl cannot be started");
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return err_set(e, EIO, "systemctl set-property failed");
	return 0;
}

static int unit_set(const char *unit, uint32_t major, uint32_t minor, const char *access,
		    int timeout_ms, struct err *e)
{
	char property[80];
	const char *const argv[] = { "systemctl",    "--runtime", "--no-ask-password",
				     "set-property", "--",	  unit,
				     property,	     NULL };
	pid_t parent = getpid(), pid;

	snprintf(property, sizeof(property), "DeviceAllow=/dev/block/%u:%u %s", major, minor,
		 access);
	pid = fork();
	if (pid == 0)
		unit_exec(argv, parent);
	return pid < 0 ? err_sys(e, errno, "cannot start systemctl")
		       : unit_wait(pid, timeout_ms, e);
}

int unit_allow(const char *unit, uint32_t major, uint32_t minor, bool writable, int timeout_ms,
	       struct err *e)
{
	return unit_set(unit, major, minor, writable ? "rw" : "r", timeout_ms, e);
}

int unit_deny(const char *unit, uint32_t major, uint32_t minor, int timeout_ms, struct err *e)
{
	return unit_set(unit, major, minor, "m", timeout_ms, e);
}
