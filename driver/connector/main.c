/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ublk-oci-nbd, the connector: has the network, and nothing else. It talks to NBD servers, whom
 * nobody trusts, so that the helper need not: when an export is agreed on, the sockets go to the
 * helper, and from there to a sealed worker.
 *
 * The main process accepts, and forks for each request, which is the helper's: the socket is
 * root's.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/err.h"
#include "driver/base/log.h"
#include "driver/base/num.h"
#include "driver/connector/serve.h"
#include "driver/wire/connect.h"

#define MAIN_NAME "ublk-oci-nbd"
#define MAIN_LISTEN_FD 3 /* where sd_listen_fds(3) says it is */
#define MAIN_BACKLOG 128
#define MAIN_CHILDREN_MAX 256

static const char main_usage[] = "usage: " MAIN_NAME " [--version] [--help]\n"
				 "Connects to NBD servers for ublk-ocid. Started by the service "
				 "manager, or by root: then it\n"
				 "becomes the user " MAIN_NAME ". See " MAIN_NAME "(8).\n";

/* The service manager's socket, when it passed one. */
static int main_listen_passed(int *ret_fd, struct err *e)
{
	const char *pid = getenv("LISTEN_PID"), *nr = getenv("LISTEN_FDS");
	int type = 0, listening = 0;
	socklen_t size = sizeof(int);
	uint64_t n = 0;

	if (!pid || !nr || num_parse_u64(pid, INT32_MAX, &n) < 0 || n != (uint64_t)getpid())
		return -ENOENT;
	if (strcmp(nr, "1") || getsockopt(MAIN_LISTEN_FD, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
	    getsockopt(MAIN_LISTEN_FD, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 ||
	    type != SOCK_SEQPACKET || !listening)
		return err_set(e, EINVAL,
			       "expected one listening SEQPACKET socket of the service manager");
	fcntl(MAIN_LISTEN_FD, F_SETFD, FD_CLOEXEC);
	*ret_fd = MAIN_LISTEN_FD;
	return 0;
}

/* As root, for root. */
static int main_listen_own(int *ret_fd, struct err *e)
{
	const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = CONNECT_SOCKET };
	auto_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_sys(e, errno, "cannot make a socket");
	unlink(CONNECT_SOCKET);
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(CONNECT_SOCKET, 0600) < 0 || listen(fd, MAIN_BACKLOG) < 0)
		return err_sys(e, errno, "cannot listen at " CONNECT_SOCKET);
	*ret_fd = fd_take(&fd);
	return 0;
}

/* There is no way back. */
static int main_drop(struct err *e)
{
	const struct passwd *user;
	const struct rlimit none = { 0, 0 };

	if (!geteuid()) {
		user = getpwnam(MAIN_NAME);
		if (!user || !user->pw_uid || !user->pw_gid)
			return err_set(e, ENOENT,
				       "there is no user " MAIN_NAME
				       " (systemd-sysusers makes it)");
		if (initgroups(MAIN_NAME, user->pw_gid) < 0 ||
		    setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
		    setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0)
			return err_sys(e, errno, "cannot become user " MAIN_NAME);
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ||
	    setrlimit(RLIMIT_FSIZE, &none) < 0)
		return err_sys(e, errno, "cannot limit this process");
	return 0;
}

static void main_accept(int listen_fd, unsigned int *nr_children)
{
	auto_close int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	struct ucred who;
	socklen_t size = sizeof(who);
	pid_t pid;

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0 || who.uid)
		return;
	pid = fork();
	if (!pid) {
		close(listen_fd);
		serve_run(fd);
		_exit(EXIT_SUCCESS);
	}
	if (pid < 0)
		log_error("cannot make a process: %s", strerror(errno));
	*nr_children += pid > 0;
}

static _Noreturn void main_loop(int listen_fd)
{
	unsigned int nr_children = 0;

	for (;;) {
		bool full = nr_children == MAIN_CHILDREN_MAX;

		while (nr_children && waitpid(-1, NULL, full ? 0 : WNOHANG) > 0) {
			nr_children--;
			full = false;
		}
		main_accept(listen_fd, &nr_children);
	}
}

static int main_begin(int *ret_fd, struct err *e)
{
	int r;

	umask(0077);
	signal(SIGPIPE, SIG_IGN);
	r = main_listen_passed(ret_fd, e);
	if (r == -ENOENT)
		r = main_listen_own(ret_fd, e);
	return r < 0 ? r : main_drop(e);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct err e = { "" };
	int c, fd = -1;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'V')
			puts(MAIN_NAME " " PROJECT_VERSION);
		fputs(c == 'V' ? "" : main_usage, c == '?' ? stderr : stdout);
		return c == '?' ? 2 : EXIT_SUCCESS;
	}
	if (optind < argc) {
		fputs(main_usage, stderr);
		return 2;
	}
	log_open(MAIN_NAME, LOG_LEVEL_INFO);
	if (main_begin(&fd, &e) < 0) {
		log_error("%s", e.text);
		return EXIT_FAILURE;
	}
	main_loop(fd);
}
