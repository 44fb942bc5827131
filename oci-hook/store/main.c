/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ublk-oci-store: owns the volumes, and serves what is asked about them. It has a uid of its own
 * and nothing else: no capability, no way to the driver but to ask the helper.
 *
 * The main process accepts, and forks for each connection; it never reads what a caller sent.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/log.h"
#include "driver/base/text.h"
#include "driver/wire/store.h"
#include "oci-hook/listen.h"
#include "oci-hook/options.h"
#include "oci-hook/store/pools.h"
#include "oci-hook/store/serve.h"

#define MAIN_NAME "ublk-oci-store"
#define MAIN_GROUP "ublk-oci" /* who may ask */
#define MAIN_BACKLOG 64
#define MAIN_CHILDREN_MAX 64
#define MAIN_CHILDREN_OF_USER_MAX 8

struct child {
	pid_t pid;
	uid_t uid;
};

struct main {
	const char *policy_file;
	const char *socket_path;
	int listen_fd;
	int signal_fd;
	struct child children[MAIN_CHILDREN_MAX];
	size_t nr_children;
};

/* Is somebody listening at this address already? */
static bool main_answered(const struct sockaddr_un *address)
{
	auto_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	return fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
}

/* A socket that members of the group may write to. */
static int main_listen_own(struct main *m, struct err *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct group *group = getgrnam(MAIN_GROUP);
	const char *path = address.sun_path;

	if (text_copy(address.sun_path, sizeof(address.sun_path), m->socket_path) < 0)
		return err_set(e, ENAMETOOLONG, "the socket's path is too long: %s",
			       m->socket_path);
	if (main_answered(&address))
		return err_set(e, EADDRINUSE, "another store listens at %s", path);
	m->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_sys(e, errno, "cannot remove the old socket %s", path);
	if (m->listen_fd < 0 ||
	    bind(m->listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_sys(e, errno, "cannot make the socket %s", path);
	if (!group || chown(path, (uid_t)-1, group->gr_gid) < 0)
		log_warning("%s is for root and this user only: cannot give it to group %s", path,
			    MAIN_GROUP);
	if (chmod(path, 0660) < 0 || listen(m->listen_fd, MAIN_BACKLOG) < 0)
		return err_sys(e, errno, "cannot listen at %s", path);
	return 0;
}

static int main_signals(struct main *m, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	m->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return m->signal_fd < 0 ? err_sys(e, errno, "cannot watch signals") : 0;
}

/* 0 in the child, which has nothing of the main process but what it is given. */
static pid_t main_fork(struct main *m)
{
	sigset_t none;
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	close_fdp(&m->listen_fd);
	close_fdp(&m->signal_fd);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	return 0;
}

/* What killed processes left, by a process: to wipe may take long. */
static void main_sweep(struct main *m)
{
	auto_policy struct policy *policy = NULL;
	auto_pools struct pools pools = { 0 };
	struct err e;

	if (main_fork(m) != 0)
		return;
	if (policy_load(&policy, m->policy_file, 0, &policy_names_system, &e) < 0 ||
	    pools_open(&pools, policy, &e) < 0) {
		log_warning("%s", e.text);
		_exit(EXIT_FAILURE);
	}
	pools_sweep(&pools);
	_exit(EXIT_SUCCESS);
}

static void main_reap(struct main *m)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		for (size_t i = 0; i < m->nr_children; i++) {
			if (m->children[i].pid != pid)
				continue;
			m->children[i] = m->children[--m->nr_children];
			break;
		}
	}
}

static bool main_full(const struct main *m, uid_t uid)
{
	size_t nr = 0;

	for (size_t i = 0; i < m->nr_children; i++)
		nr += m->children[i].uid == uid;
	return m->nr_children == MAIN_CHILDREN_MAX || nr >= MAIN_CHILDREN_OF_USER_MAX;
}

static void main_accept(struct main *m)
{
	auto_close int fd = accept4(m->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	struct ucred who;
	socklen_t size = sizeof(who);
	pid_t pid;

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0)
		return;
	if (main_full(m, who.uid)) {
		serve_refuse_busy(fd);
		return;
	}
	pid = main_fork(m);
	if (pid == 0) {
		serve_run(fd, m->policy_file);
		_exit(EXIT_SUCCESS);
	}
	if (pid > 0)
		m->children[m->nr_children++] = (struct child){ pid, who.uid };
	else
		log_error("cannot make a process: %s", strerror(errno));
}

/* Until a signal ends it. Requests that are served go on; who stops the unit ends them too. */
static int main_loop(struct main *m)
{
	struct signalfd_siginfo info;

	for (;;) {
		struct pollfd fds[] = {
			{ .fd = m->listen_fd, .events = POLLIN },
			{ .fd = m->signal_fd, .events = POLLIN },
		};

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			return -errno;
		while (read(m->signal_fd, &info, sizeof(info)) == sizeof(info)) {
			if (info.ssi_signo != SIGCHLD)
				return 0;
		}
		main_reap(m);
		if (fds[0].revents)
			main_accept(m);
	}
}

static const char main_usage[] =
	"usage: " MAIN_NAME " [--policy FILE] [--socket PATH]\n"
	"Keeps volumes, and serves what is asked about them. To be started as the user\n" MAIN_NAME
	", not as root. See " MAIN_NAME "(8).\n";

/* -1: go on; else the exit status. */
static int main_options(struct main *m, int argc, char **argv)
{
	static const struct option table[] = {
		{ "policy", required_argument, NULL, 'p' },
		{ "socket", required_argument, NULL, 's' },
		OPTIONS_LAST,
	};
	static const struct options options = {
		.version = MAIN_NAME " " UBLK_OCI_VERSION,
		.usage = main_usage,
		.table = table,
	};
	int c, status;

	while ((c = options_next(&options, argc, argv, &status)) > 0) {
		if (c == 'p')
			m->policy_file = optarg;
		else
			m->socket_path = optarg;
	}
	if (c < 0)
		return status;
	return optind < argc ? options_misuse(&options) : -1;
}

static int main_begin(struct main *m, struct err *e)
{
	const struct rlimit none = { 0, 0 };
	int r;

	if (geteuid() == 0 || getuid() == 0)
		return err_set(e, EPERM,
			       "it does not run as root; start it as the user " MAIN_NAME);
	umask(0077);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(e, errno, "cannot limit this process");
	signal(SIGPIPE, SIG_IGN);
	r = main_signals(m, e);
	if (r == 0)
		r = listen_passed(SOCK_SEQPACKET, &m->listen_fd, e);
	return r == -ENOENT ? main_listen_own(m, e) : r;
}

int main(int argc, char **argv)
{
	struct main m = {
		.policy_file = POLICY_FILE,
		.socket_path = STORE_SOCKET,
		.listen_fd = -1,
		.signal_fd = -1,
	};
	struct err e;
	int r;

	r = main_options(&m, argc, argv);
	if (r >= 0)
		return r;
	log_open(MAIN_NAME, LOG_LEVEL_INFO);
	if (main_begin(&m, &e) < 0) {
		log_error("%s", e.text);
		return EXIT_FAILURE;
	}
	main_sweep(&m);
	return main_loop(&m) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
