/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ublk-oci-store: owns the volumes, and serves what is asked about them. It has a uid of its own
 * and nothing else: no capability, no way to the driver but to ask the helper.
 *
 * The main process accepts, and forks for each connection; it never reads what a caller sent.
 */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/log.h"
#include "driver/base/service.h"
#include "driver/base/text.h"
#include "driver/wire/store.h"
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

/* 0 in the child, which has nothing of the main process but what it is given. */
static pid_t main_fork(struct main *m)
{
	pid_t pid = fork();

	if (pid == 0)
		service_child(&m->listen_fd, &m->signal_fd);
	return pid;
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
	struct ucred who;
	auto_close int fd = service_accept(m->listen_fd, &who);
	pid_t pid;

	if (fd < 0)
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
	int r;

	while ((r = service_wait(m->listen_fd, m->signal_fd, -1)) >= 0) {
		main_reap(m);
		if (r)
			main_accept(m);
	}
	return r == -ECANCELED ? 0 : r;
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
	int r;

	r = service_not_root(MAIN_NAME, e);
	if (r == 0)
		r = service_limit(e);
	if (r == 0)
		r = service_signals(&m->signal_fd, e);
	if (r < 0)
		return r;
	r = service_passed(SOCK_SEQPACKET, &m->listen_fd, e);
	return r == 0 ? main_listen_own(m, e) : r;
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
