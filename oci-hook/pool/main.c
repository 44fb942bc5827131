/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ublk-oci-pool: makes and serves the images of one back end, by a program of the administrator's.
 * It has the network and what the program needs of it, a uid of its own, and no device.
 *
 * The store asks, nobody else. What takes long is done by a process for each request; the servers
 * are this one's.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/log.h"
#include "driver/base/service.h"
#include "driver/base/text.h"
#include "oci-hook/options.h"
#include "oci-hook/pool/ask.h"
#include "oci-hook/pool/jobs.h"
#include "oci-hook/pool/program.h"

#define MAIN_NAME "ublk-oci-pool"
#define MAIN_CONNECTOR_GROUP "ublk-oci-nbd" /* who may connect to servers */
#define MAIN_STORE_USER "ublk-oci-store"    /* who may ask */
#define MAIN_PROGRAMS "/etc/ublk-oci/backends"
#define MAIN_BACKLOG 64
#define MAIN_ASK_MS 1000
#define MAIN_ANSWER_MS 5000

struct main {
	const char *backend;
	char program[128];
	uid_t store_uid;
	int listen_fd;
	int signal_fd;
	struct jobs jobs;
	struct servers servers;
};

static void main_answer(int fd, int status, const struct err *e)
{
	struct pool_reply reply = {
		.head = { POOL_MAGIC, POOL_VERSION, POOL_REPLY, sizeof(reply), 0 },
		.status = status,
	};

	if (status < 0)
		snprintf(reply.reason, sizeof(reply.reason), "%s", e->text);
	packet_send(fd, &reply, sizeof(reply), NULL, 0, MAIN_ANSWER_MS);
}

/* By a process of its own. */
static int main_work(struct main *m, int fd, const char *verb, const char *image,
		     uint64_t size_bytes, struct err *e)
{
	pid_t parent = getpid(), pid;
	auto_close int job_fd = -1;
	int r = jobs_begin(&m->jobs, image, &job_fd, e);

	if (r < 0)
		return r;
	pid = fork();
	if (pid < 0)
		return err_sys(e, errno, "cannot make a process");
	if (pid)
		return 1;
	/* It ends with the main process, and nobody waits at a socket that only it has. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	service_child(&m->listen_fd, &m->signal_fd);
	for (size_t i = 0; i < m->servers.nr; i++)
		close_fdp(&m->servers.all[i].listen_fd);
	r = program_run(m->program, verb, image, size_bytes, e);
	close_fdp(&job_fd); /* who is answered may ask the next thing at once */
	main_answer(fd, r, e);
	_exit(EXIT_SUCCESS);
}

static int main_create(struct main *m, int fd, const struct pool_ask *ask, const char *image,
		       struct err *e)
{
	return main_work(m, fd, "create", image, ask->size_bytes, e);
}

static int main_resize(struct main *m, int fd, const struct pool_ask *ask, const char *image,
		       struct err *e)
{
	return main_work(m, fd, "resize", image, ask->size_bytes, e);
}

static int main_remove(struct main *m, int fd, const struct pool_ask *ask, const char *image,
		       struct err *e)
{
	int r = jobs_check(&m->jobs, image, e);

	if (r == 0)
		r = servers_remove(&m->servers, image, e);
	return r < 0 ? r : main_work(m, fd, "remove", image, 0, e);
}

static int main_serve(struct main *m, int fd, const struct pool_ask *ask, const char *image,
		      struct err *e)
{
	return servers_add(&m->servers, image, e);
}

static int main_stop(struct main *m, int fd, const struct pool_ask *ask, const char *image,
		     struct err *e)
{
	return servers_remove(&m->servers, image, e);
}

/* 1: it is answered when it is done. */
static int (*const verbs[POOL_END])(struct main *m, int fd, const struct pool_ask *ask,
				    const char *image, struct err *e) = {
	[POOL_CREATE] = main_create, [POOL_REMOVE] = main_remove, [POOL_RESIZE] = main_resize,
	[POOL_SERVE] = main_serve,   [POOL_STOP] = main_stop,
};

static void main_accept(struct main *m)
{
	struct ucred who;
	auto_close int fd = service_accept(m->listen_fd, &who);
	auto_packet struct packet p = PACKET_INIT;
	char image[SERVER_IMAGE_SIZE];
	struct err e = { "" };
	struct pool_ask ask;
	int r;

	if (fd < 0 || (who.uid && who.uid != m->store_uid))
		return;
	if (packet_receive(fd, &p, MAIN_ASK_MS) < 0 || ask_admit(&p, &ask, image) < 0)
		return;
	r = verbs[ask.head.type](m, fd, &ask, image, &e);
	if (r < 0)
		log_warning("image %s: %s", image, e.text);
	if (r != 1)
		main_answer(fd, r, &e);
}

static void main_reap(struct main *m)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		servers_ended(&m->servers, pid);
}

static int main_loop(struct main *m)
{
	int r;

	while ((r = service_wait(m->listen_fd, m->signal_fd, servers_start(&m->servers))) >= 0) {
		main_reap(m);
		if (r)
			main_accept(m);
	}
	return r == -ECANCELED ? 0 : r;
}

/* As root: a socket for the store, and a directory of this user's that the connector may enter. */
static int main_prepare(struct main *m, const struct passwd *own, gid_t connectors, struct err *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = address.sun_path;
	char dir[sizeof(address.sun_path)];
	int n;

	snprintf(dir, sizeof(dir), POOL_DIR "/%s", m->backend);
	n = snprintf(address.sun_path, sizeof(address.sun_path), POOL_DIR "/%s.sock", m->backend);
	if (n >= (int)sizeof(address.sun_path))
		return err_set(e, ENAMETOOLONG, "the name of the back end is too long");
	if ((mkdir(POOL_DIR, 0755) < 0 && errno != EEXIST) || chmod(POOL_DIR, 0755) < 0 ||
	    (mkdir(dir, 0700) < 0 && errno != EEXIST) || chown(dir, own->pw_uid, connectors) < 0 ||
	    chmod(dir, 0750) < 0)
		return err_sys(e, errno, "cannot make %s", dir);
	m->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (m->listen_fd < 0 || (unlink(path) < 0 && errno != ENOENT) ||
	    bind(m->listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(path, 0600) < 0 || chown(path, m->store_uid, (gid_t)-1) < 0 ||
	    listen(m->listen_fd, MAIN_BACKLOG) < 0)
		return err_sys(e, errno, "cannot listen at %s", path);
	return 0;
}

/* The connector's group is the one of what it makes: its sockets. */
static int main_drop(struct main *m, struct err *e)
{
	const struct group *group = getgrnam(MAIN_CONNECTOR_GROUP);
	gid_t connectors = group ? group->gr_gid : 0;
	const struct passwd *own = getpwnam(MAIN_NAME);
	int r = 0;

	if (!own || !own->pw_uid || !connectors)
		return err_set(e, ENOENT,
			       "there is no user " MAIN_NAME " or no group " MAIN_CONNECTOR_GROUP
			       " (systemd-sysusers makes them)");
	if (m->listen_fd < 0)
		r = main_prepare(m, own, connectors, e);
	return r < 0 ? r : service_become(MAIN_NAME, own->pw_uid, connectors, e);
}

static int main_open_dir(struct main *m, struct err *e)
{
	char dir[128];

	snprintf(dir, sizeof(dir), POOL_DIR "/%s", m->backend);
	m->servers.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (m->servers.dir_fd < 0 || fchdir(m->servers.dir_fd) < 0)
		return err_sys(e, errno, "cannot open %s", dir);
	return 0;
}

static int main_begin(struct main *m, const char *programs, struct err *e)
{
	const struct passwd *store = getpwnam(MAIN_STORE_USER);
	int r;

	if (!text_name_ok(m->backend, POOL_NAME_SIZE - 1))
		return err_set(e, EINVAL, "this is no name of a back end: %s", m->backend);
	if (snprintf(m->program, sizeof(m->program), "%s/%s", programs, m->backend) >=
	    (int)sizeof(m->program))
		return err_set(e, ENAMETOOLONG, "the path of its program is too long");
	if (!store || !store->pw_uid)
		return err_set(e, ENOENT, "there is no user " MAIN_STORE_USER);
	m->store_uid = store->pw_uid;
	m->servers.program = m->program;
	r = service_limit(e);
	if (r == 0)
		r = program_check(m->program, e);
	if (r < 0)
		return r;
	r = service_passed(SOCK_SEQPACKET, &m->listen_fd, e);
	if (r == 0 && geteuid())
		return err_set(e, EPERM, "it is to be started by the service manager, or by root");
	if (r >= 0 && !geteuid())
		r = main_drop(m, e);
	if (r >= 0)
		r = service_signals(&m->signal_fd, e);
	if (r == 0)
		r = main_open_dir(m, e);
	return r < 0 ? r : servers_begin(&m->servers, e);
}

static const char main_usage[] =
	"usage: " MAIN_NAME " [--programs DIR] BACKEND\n"
	"Makes and serves images of volumes by the program DIR/BACKEND. Started by the service\n"
	"manager, or by root: then it becomes the user " MAIN_NAME ". See " MAIN_NAME "(8).\n";

int main(int argc, char **argv)
{
	static const struct option table[] = {
		{ "programs", required_argument, NULL, 'p' },
		OPTIONS_LAST,
	};
	static const struct options options = {
		.version = MAIN_NAME " " UBLK_OCI_VERSION,
		.usage = main_usage,
		.table = table,
	};
	auto_free struct main *m = calloc(1, sizeof(*m));
	const char *programs = MAIN_PROGRAMS;
	struct err e = { "" };
	int c, status;

	while ((c = options_next(&options, argc, argv, &status)) > 0)
		programs = optarg;
	if (c < 0)
		return status;
	if (optind + 1 != argc)
		return options_misuse(&options);
	log_open(MAIN_NAME, LOG_LEVEL_INFO);
	if (!m)
		return EXIT_FAILURE;
	m->backend = argv[optind];
	m->listen_fd = m->signal_fd = m->servers.dir_fd = -1;
	if (main_begin(m, programs, &e) < 0) {
		log_error("%s", e.text);
		return EXIT_FAILURE;
	}
	return main_loop(m) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
