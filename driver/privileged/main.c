/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ublk-ocid, the helper: the only program of ublk-oci that runs as root. It
 * prepares everything that needs rights it will not keep, drops them, and
 * serves.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/log.h"
#include "driver/base/text.h"
#include "driver/privileged/audit.h"
#include "driver/privileged/audit_file.h"
#include "driver/privileged/caps.h"
#include "driver/privileged/cdi.h"
#include "driver/privileged/devfilter.h"
#include "driver/privileged/helper.h"
#include "driver/privileged/journal.h"
#include "driver/privileged/keep.h"
#include "driver/privileged/node.h"
#include "driver/privileged/notice.h"
#include "driver/privileged/registry.h"
#include "driver/privileged/remake.h"
#include "driver/privileged/sd.h"
#include "driver/privileged/server.h"
#include "driver/privileged/stats_file.h"

#define MAIN_STATE_DIR "/run/ublk-oci"
#define MAIN_FILTER_DIR "/sys/fs/bpf/ublk-oci"
#define MAIN_GROUP "ublk-oci"
#define MAIN_HOOK_USER "ublk-oci-hook"
#define MAIN_KEEPER_USER "ublk-oci-keeper"

struct main_options {
	const char *policy;
	const char *socket;
	const char *worker;
	enum log_level log_level;
};

static const struct option main_long_options[] = {
	{ "policy", required_argument, NULL, 'p' },
	{ "socket", required_argument, NULL, 's' },
	{ "worker", required_argument, NULL, 'w' },
	{ "debug", no_argument, NULL, 'd' },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const char main_usage[] =
	"Usage: ublk-ocid [--policy FILE] [--socket PATH] [--worker PROGRAM] [--debug]\n"
	"Serves ublk devices to containers under a policy; see ublk-ocid(8).\n";

/* 0: go on; else the exit status is *ret_status. */
static int main_parse(struct main_options *o, int argc, char **argv, int *ret_status)
{
	int c;

	while ((c = getopt_long(argc, argv, "", main_long_options, NULL)) != -1) {
		switch (c) {
		case 'p':
			o->policy = optarg;
			break;
		case 's':
			o->socket = optarg;
			break;
		case 'w':
			o->worker = optarg;
			break;
		case 'd':
			o->log_level = LOG_LEVEL_DEBUG;
			break;
		case 'V':
			puts("ublk-ocid " PROJECT_VERSION);
			*ret_status = EXIT_SUCCESS;
			return -1;
		case 'h':
			fputs(main_usage, stdout);
			*ret_status = EXIT_SUCCESS;
			return -1;
		default:
			fputs(main_usage, stderr);
			*ret_status = 2;
			return -1;
		}
	}
	if (optind == argc)
		return 0;
	fputs(main_usage, stderr);
	*ret_status = 2;
	return -1;
}

/* One helper per host. The lock lives as long as this process; its children do not inherit it. */
static int main_lock(int *ret_fd, struct err *e)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd;

	if (mkdir(MAIN_STATE_DIR, 0755) == 0)
		chmod(MAIN_STATE_DIR, 0755); /* whatever the umask: callers pass through it */
	else if (errno != EEXIST)
		return err_sys(e, errno, "cannot make " MAIN_STATE_DIR);
	fd = open(MAIN_STATE_DIR "/lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, errno, "cannot open " MAIN_STATE_DIR "/lock");
	*ret_fd = fd;
	if (fcntl(fd, F_SETLK, &lock) < 0)
		return err_set(e, errno, "another ublk-ocid is running (" MAIN_STATE_DIR "/lock)");
	return 0;
}

/* The socket of the service manager, or one of our own: 0660, group ublk-oci. */
static int main_listen(const char *path, int *ret_fd, struct err *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct group *group = getgrnam(MAIN_GROUP);
	auto_close int fd = -1;
	int r;

	r = sd_listen_fd(ret_fd, e);
	if (r != -ENOENT)
		return r;
	if (text_copy(address.sun_path, sizeof(address.sun_path), path) < 0)
		return err_set(e, ENAMETOOLONG, "the socket's path is too long");
	if (!group)
		log_warning("there is no group " MAIN_GROUP ": only root can connect");
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, errno, "cannot make the socket");
	unlink(path); /* we hold the lock, so nobody listens on it */
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chown(path, 0, group ? group->gr_gid : 0) < 0 || chmod(path, 0660) < 0 ||
	    listen(fd, 128) < 0)
		return err_sys(e, errno, "cannot listen on %s", path);
	*ret_fd = fd_take(&fd);
	return 0;
}

static int main_prepare(struct helper *h, const struct main_options *o, struct err *e)
{
	const struct passwd *hook;
	struct err why;
	int r;

	strcpy(h->node_store, MAIN_STATE_DIR "/nodes");
	strcpy(h->filter_dir, MAIN_FILTER_DIR);
	r = journal_open(MAIN_STATE_DIR, &h->journal_fd, e);
	if (r == 0)
		r = stats_file_dir(MAIN_STATE_DIR, &h->stats_fd, e);
	if (r == 0)
		r = node_store_mount(h->node_store, e);
	if (r == 0)
		r = devfilter_open(h->filter_dir, e);
	if (r == 0)
		r = cgroup_base(h->cgroup_base, e);
	if (r == 0)
		r = spawn_room_make(&h->room, e);
	if (r == 0)
		r = spawn_filter_make(SPAWN_WORKER, h->filter, &h->nr_filter, e);
	if (r < 0)
		return r;
	/* Without it the helper still takes devices away; it gives none. */
	if (audit_file_prepare(AUDIT_DIR, &why) < 0)
		log_warning("%s", why.text);
	h->program_fd = open(o->worker, O_PATH | O_CLOEXEC);
	if (h->program_fd < 0)
		return err_sys(e, errno, "cannot open the worker program %s", o->worker);
	/* Without it there are no images, and no programs of rules. */
	h->backend_fd = open(BACKEND_PROGRAM, O_PATH | O_CLOEXEC);
	hook = getpwnam(MAIN_HOOK_USER);
	if (!hook)
		log_warning("there is no user " MAIN_HOOK_USER ": the OCI hook will not work");
	h->hook_uid = hook ? hook->pw_uid : (uid_t)-1;
	return 0;
}

/* The keeper the last helper left, or one of our own. We can do without. */
static void main_keeper(struct helper *h, struct keep *keep)
{
	const struct passwd *user = getpwnam(MAIN_KEEPER_USER);
	struct err e;

	h->keeper_uid = user ? user->pw_uid : (uid_t)-1;
	h->keeper_gid = user ? user->pw_gid : (gid_t)-1;
	h->keeper_fd = open(KEEPER_PROGRAM, O_PATH | O_CLOEXEC);
	if (!user)
		log_warning("there is no user " MAIN_KEEPER_USER);
	if (h->keeper_fd < 0)
		log_warning("cannot open " KEEPER_PROGRAM ": %s", strerror(errno));
	if (keep_begin(keep, &h->room, h->keeper_fd, h->cgroup_base, h->keeper_uid, h->keeper_gid,
		       &e) < 0)
		log_warning("%s: a device whose worker dies will be lost", e.text);
}

static int main_adopt(void *arg, const struct record *rec)
{
	return registry_adopt(arg, rec);
}

static void main_registry_fini(struct registry *reg)
{
	registry_fini(reg);
	close_fdp(&reg->cdi_fd);
	policy_free(reg->policy);
}

static int main_serve(const struct main_options *o, struct err *e)
{
	__attribute__((cleanup(main_registry_fini))) struct registry registry = { .cdi_fd = -1 };
	__attribute__((cleanup(keep_fini))) struct keep keep = KEEP_INIT;
	auto_close int lock_fd = -1, listen_fd = -1;
	struct helper helper = {
		.journal_fd = -1,
		.stats_fd = -1,
		.remake_fd = -1,
		.program_fd = -1,
		.notices_fd = -1,
		.keeper_fd = -1,
		.backend_fd = -1,
		.room = SPAWN_ROOM_INIT,
	};
	int r;

	r = policy_load(&registry.policy, o->policy, 0, &policy_names_system, e);
	if (r < 0)
		return r;
	r = policy_check_ids(registry.policy, "/etc", e);
	if (r < 0)
		return err_prefix(e, r, "%s", o->policy);
	r = main_lock(&lock_fd, e);
	if (r < 0)
		return r;
	helper.policy_path = o->policy;
	r = main_prepare(&helper, o, e);
	if (r < 0)
		return r;
	main_keeper(&helper, &keep);
	if (notice_open(&helper.notices_fd, e) < 0)
		log_warning("%s", e->text);
	if (cdi_open(CDI_DIR, &registry.cdi_fd, e) < 0)
		log_warning("%s: engines do not find devices made ahead", e->text);
	if (remake_open(REMAKE_DIR, &helper.remake_fd, e) < 0)
		log_warning(
			"%s: devices made ahead do not come back after a restart of the machine",
			e->text);
	r = main_listen(o->socket, &listen_fd, e);
	if (r < 0)
		return r;
	r = caps_keep(e);
	if (r < 0)
		return r;
	registry.journal_fd = helper.journal_fd;
	registry.cgroup_base = helper.cgroup_base;
	registry.hook_uid = helper.hook_uid;
	r = journal_load(helper.journal_fd, main_adopt, &registry, e);
	if (r == 0) {
		registry.cdi_stale = true; /* whatever another helper has left there */
		cdi_refresh(&registry);
	}
	if (r == 0)
		r = server_run(&helper, &registry, fd_take(&listen_fd), &keep, e);
	return r;
}

int main(int argc, char **argv)
{
	struct main_options o = {
		.policy = POLICY_FILE,
		.socket = WIRE_SOCKET,
		.worker = WORKER_PROGRAM,
		.log_level = LOG_LEVEL_INFO,
	};
	struct rlimit files = { 65536, 65536 };
	struct err e = { "" };
	int status;

	if (main_parse(&o, argc, argv, &status) < 0)
		return status;
	log_open("ublk-ocid", o.log_level);
	if (geteuid() != 0) {
		log_error("must be started as root");
		return EXIT_FAILURE;
	}
	umask(0077);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);	  /* whatever who started us ignores; workers inherit it */
	signal(SIGPIPE, SIG_IGN);	  /* a log that nobody reads any more */
	setrlimit(RLIMIT_NOFILE, &files); /* as many as we may have; fewer is fine */
	if (main_serve(&o, &e) < 0) {
		log_error("%s", e.text);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
