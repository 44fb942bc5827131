/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ublk-oci-volume: the volume plug-in of Docker and podman. It has a uid of its own and nothing
 * else: no capability. It asks the store for volumes and the helper to mount them, below a
 * directory of its own, where the engine finds them.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/log.h"
#include "driver/base/service.h"
#include "driver/base/text.h"
#include "oci-hook/options.h"
#include "oci-hook/volume-plugin/calls.h"
#include "oci-hook/volume-plugin/http.h"
#include "oci-hook/volume-plugin/works.h"

#define MAIN_NAME "ublk-oci-volume"
#define MAIN_DIR "/run/ublk-oci-volume"
#define MAIN_STATE_DIR "/var/lib/ublk-oci-volume"
#define MAIN_SOCKET MAIN_DIR "/.sock" /* no volume has such a name */
#define MAIN_USES ".uses"
#define MAIN_BACKLOG 64
#define MAIN_UNHEARD_MS 30000

struct main {
	const char *dir;
	const char *state_dir;
	const char *socket_path;
	int listen_fd;
	struct plugin plugin;
};

/* --- its socket --------------------------------------------------------------------------- */

/* For root, who engines run as, and this user: the umask sees to that. */
static int main_listen_own(struct main *m, struct err *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = address.sun_path;
	struct stat st;

	if (text_copy(address.sun_path, sizeof(address.sun_path), m->socket_path) < 0)
		return err_set(e, ENAMETOOLONG, "the socket's path is too long: %s",
			       m->socket_path);
	/* The directory's lock says that no other plug-in serves it. */
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && unlink(path) < 0)
		return err_sys(e, errno, "cannot remove the old socket %s", path);
	m->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (m->listen_fd < 0 ||
	    bind(m->listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(m->listen_fd, MAIN_BACKLOG) < 0)
		return err_sys(e, errno, "cannot make the socket %s", path);
	return 0;
}

/* --- its directories ---------------------------------------------------------------------- */

static int main_open_dir(const char *path, int *ret_fd, struct err *e)
{
	*ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_fd < 0)
		return err_sys(e, errno,
			       "cannot open the directory %s, which user " MAIN_NAME
			       " needs (systemd-tmpfiles makes it)",
			       path);
	return 0;
}

/* One plug-in at a time, whose the volumes and their uses are. */
static int main_open(struct main *m, struct err *e)
{
	struct plugin *p = &m->plugin;
	char real[PATH_MAX];
	int r = main_open_dir(m->dir, &p->dir_fd, e);

	if (r < 0)
		return r;
	if (!realpath(m->dir, real) ||
	    text_copy(p->dir, sizeof(p->dir) - STORE_NAME_SIZE, real) < 0)
		return err_set(e, ENAMETOOLONG, "the directory's path is too long: %s", m->dir);
	if (flock(p->dir_fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(e, EBUSY, "another " MAIN_NAME " has the directory %s", m->dir);
	if (mkdirat(p->dir_fd, MAIN_USES, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "cannot write to the directory %s", m->dir);
	p->uses_fd = openat(p->dir_fd, MAIN_USES, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (p->uses_fd < 0)
		return err_sys(e, errno, "cannot open %s/" MAIN_USES, m->dir);
	return main_open_dir(m->state_dir, &p->kept_fd, e);
}

static const char main_usage[] =
	"usage: " MAIN_NAME " [--socket PATH] [--dir DIR] [--state DIR]\n"
	"The volume plug-in of Docker and podman. To be started as the user\n" MAIN_NAME
	", not as root. See " MAIN_NAME "(8).\n";

/* -1: go on; else the exit status. */
static int main_options(struct main *m, int argc, char **argv)
{
	static const struct option table[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "dir", required_argument, NULL, 'd' },
		{ "state", required_argument, NULL, 'S' },
		OPTIONS_LAST,
	};
	static const struct options options = {
		.version = MAIN_NAME " " UBLK_OCI_VERSION,
		.usage = main_usage,
		.table = table,
	};
	int c, status;

	while ((c = options_next(&options, argc, argv, &status)) > 0) {
		if (c == 's')
			m->socket_path = optarg;
		else if (c == 'd')
			m->dir = optarg;
		else
			m->state_dir = optarg;
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
		r = main_open(m, e);
	if (r < 0)
		return r;
	r = service_passed(SOCK_STREAM, &m->listen_fd, e);
	if (r == 0)
		r = main_listen_own(m, e);
	if (r < 0)
		return r;
	m->plugin.works = works_new();
	return m->plugin.works ? 0 : err_sys(e, ENOMEM, "cannot begin");
}

int main(int argc, char **argv)
{
	struct main m = {
		.dir = MAIN_DIR,
		.state_dir = MAIN_STATE_DIR,
		.socket_path = MAIN_SOCKET,
		.listen_fd = -1,
		.plugin = { .dir_fd = -1,
			    .uses_fd = -1,
			    .kept_fd = -1,
			    .unheard_ms = MAIN_UNHEARD_MS },
	};
	struct MHD_Daemon *http;
	sigset_t ends;
	struct err e;
	int r, signal;

	r = main_options(&m, argc, argv);
	if (r >= 0)
		return r;
	log_open(MAIN_NAME, LOG_LEVEL_INFO);
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL); /* in all threads to come */
	r = main_begin(&m, &e);
	if (r == 0)
		r = http_start(&http, m.listen_fd, &m.plugin, &e);
	if (r < 0) {
		log_error("%s", e.text);
		return EXIT_FAILURE;
	}
	calls_sweep(&m.plugin);
	sigwait(&ends, &signal);
	/* What is under way besides goes on without us, or is undone: by the store and the helper.
	 */
	http_stop(http);
	return EXIT_SUCCESS;
}
