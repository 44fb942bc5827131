/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/base/service.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"

#define SERVICE_PASSED_FD 3 /* where sd_listen_fds(3) says it is */

int service_not_root(const char *user, struct err *e)
{
	if (geteuid() && getuid())
		return 0;
	return err_set(e, EPERM, "it does not run as root; start it as the user %s", user);
}

int service_become(const char *user, uid_t uid, gid_t gid, struct err *e)
{
	if (initgroups(user, gid) < 0 || setresgid(gid, gid, gid) < 0 ||
	    setresuid(uid, uid, uid) < 0)
		return err_sys(e, errno, "cannot become user %s", user);
	return 0;
}

int service_limit(struct err *e)
{
	const struct rlimit none = { 0, 0 };

	umask(0077);
	signal(SIGPIPE, SIG_IGN);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(e, errno, "cannot limit this process");
	return 0;
}

int service_passed(int type, int *ret_fd, struct err *e)
{
	const char *pid = getenv("LISTEN_PID"), *nr = getenv("LISTEN_FDS");
	int is = 0, listening = 0;
	socklen_t size = sizeof(int);
	uint64_t n = 0;

	if (!pid || !nr || num_parse_u64(pid, INT32_MAX, &n) < 0 || n != (uint64_t)getpid())
		return 0;
	if (strcmp(nr, "1") || getsockopt(SERVICE_PASSED_FD, SOL_SOCKET, SO_TYPE, &is, &size) < 0 ||
	    getsockopt(SERVICE_PASSED_FD, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 ||
	    is != type || !listening)
		return err_set(e, EINVAL, "expected one listening %s socket of the service manager",
			       type == SOCK_SEQPACKET ? "SEQPACKET" : "stream");
	fcntl(SERVICE_PASSED_FD, F_SETFD, FD_CLOEXEC);
	fcntl(SERVICE_PASSED_FD, F_SETFL, O_NONBLOCK);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	*ret_fd = SERVICE_PASSED_FD;
	return 1;
}

int service_signals(int *ret_fd, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	*ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return *ret_fd < 0 ? err_sys(e, errno, "cannot watch signals") : 0;
}

bool service_ends(int signal_fd)
{
	struct signalfd_siginfo info;

	while (read(signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo != SIGCHLD)
			return true;
	}
	return false;
}

int service_wait(int listen_fd, int signal_fd, int timeout_ms)
{
	struct pollfd fds[] = {
		{ .fd = listen_fd, .events = POLLIN },
		{ .fd = signal_fd, .events = POLLIN },
	};

	if (poll(fds, ARRAY_SIZE(fds), timeout_ms) < 0)
		return errno == EINTR ? 0 : -errno;
	if (service_ends(signal_fd))
		return -ECANCELED;
	return fds[0].revents != 0;
}

int service_accept(int listen_fd, struct ucred *ret_who)
{
	auto_close int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	socklen_t size = sizeof(*ret_who);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret_who, &size) < 0)
		return -errno;
	return fd_take(&fd);
}

void service_child(int *listen_fd, int *signal_fd)
{
	sigset_t none;

	close_fdp(listen_fd);
	close_fdp(signal_fd);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}
