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
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/err.h"
#include "driver/base/log.h"
#include "driver/base/service.h"
#include "driver/connector/serve.h"
#include "driver/wire/connect.h"

#define MAIN_NAME "ublk-oci-nbd"
#define MAIN_BACKLOG 128
#define MAIN_CHILDREN_MAX 256

struct main {
	int listen_fd;
	int signal_fd;
	unsigned int nr_children;
};

static const char main_usage[] = "usage: " MAIN_NAME " [--version] [--help]\n"
				 "Connects to NBD servers for ublk-ocid. Started by the service "
				 "manager, or by root: then it\n"
				 "becomes the user " MAIN_NAME ". See " MAIN_NAME "(8).\n";

/* As root, for root. */
static int main_listen_own(int *ret_fd, struct err *e)
{
	const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = CONNECT_SOCKET };
	auto_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_sys(e, errno, "cannot make a socket");
	unlink(CONNECT_SOCKET);
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(CONNECT_SOCKET, 0600) < 0 || listen(fd, MAIN_BACKLOG) < 0)
		return err_sys(e, errno, "cannot listen at " CONNECT_SOCKET);
	*ret_fd = fd_take(&fd);
	return 0;
}

/* It writes no file either. */
static int main_drop(struct err *e)
{
	const struct passwd *user = geteuid() ? NULL : getpwnam(MAIN_NAME);
	const struct rlimit none = { 0, 0 };
	int r = 0;

	if (!geteuid() && (!user || !user->pw_uid || !user->pw_gid))
		return err_set(e, ENOENT,
			       "there is no user " MAIN_NAME " (systemd-sysusers makes it)");
	if (user)
		r = service_become(MAIN_NAME, user->pw_uid, user->pw_gid, e);
	if (r == 0 && setrlimit(RLIMIT_FSIZE, &none) < 0)
		r = err_sys(e, errno, "cannot limit this process");
	return r;
}

static void main_accept(struct main *m)
{
	struct ucred who;
	auto_close int fd = service_accept(m->listen_fd, &who);
	pid_t pid;

	if (fd < 0 || who.uid)
		return;
	pid = fork();
	if (!pid) {
		service_child(&m->listen_fd, &m->signal_fd);
		serve_run(fd);
		_exit(EXIT_SUCCESS);
	}
	if (pid < 0)
		log_error("cannot make a process: %s", strerror(errno));
	m->nr_children += pid > 0;
}

/* Until a signal ends it; what is being agreed on goes on. */
static int main_loop(struct main *m)
{
	int r;

	for (;;) {
		r = service_wait(m->nr_children < MAIN_CHILDREN_MAX ? m->listen_fd : -1,
				 m->signal_fd, -1);
		if (r < 0)
			return r == -ECANCELED ? 0 : r;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			m->nr_children--;
		if (r)
			main_accept(m);
	}
}

static int main_begin(struct main *m, struct err *e)
{
	int r;

	r = service_limit(e);
	if (r < 0)
		return r;
	r = service_passed(SOCK_SEQPACKET, &m->listen_fd, e);
	if (r == 0)
		r = main_listen_own(&m->listen_fd, e);
	if (r >= 0)
		r = main_drop(e);
	return r < 0 ? r : service_signals(&m->signal_fd, e);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct err e = { "" };
	struct main m = { .listen_fd = -1, .signal_fd = -1 };
	int c;

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
	if (main_begin(&m, &e) < 0) {
		log_error("%s", e.text);
		return EXIT_FAILURE;
	}
	return main_loop(&m) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
