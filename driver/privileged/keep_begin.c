/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/keep.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/log.h"
#include "driver/privileged/cgroup.h"
#include "driver/privileged/child.h"
#include "driver/wire/keep.h"
#include "driver/wire/packet.h"

/* Has its name when somebody listens on it, so that nobody finds a name without. */
#define KEEP_SOCKET_NEW KEEP_SOCKET ".new"
#define KEEP_MEMORY_BYTES "16777216" /* locked are less than 200 KiB, the rest is the kernel's */
#define KEEP_START_MS 5000
#define KEEP_END_MS 5000

static int keep_cgroup(char path[CGROUP_PATH_SIZE], const char *base, struct err *e)
{
	if (snprintf(path, CGROUP_PATH_SIZE, "%s/keeper", base) >= CGROUP_PATH_SIZE)
		return err_set(e, ENAMETOOLONG, "the path of the keeper's cgroup is too long");
	return 0;
}

/* It is not worth being without a keeper. */
static void keep_limit(const char *cgroup)
{
	int r = cgroup_limit_memory(cgroup, KEEP_MEMORY_BYTES);

	if (r < 0)
		log_warning("cannot limit the memory of the keeper: %s", strerror(-r));
}

/* For root only; it is the keeper that listens. */
static int keep_socket(int *ret_fd, struct err *e)
{
	const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = KEEP_SOCKET_NEW };
	auto_close int fd = -1;

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, errno, "cannot make the keeper's socket");
	unlink(KEEP_SOCKET_NEW);
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(KEEP_SOCKET_NEW, 0600) < 0)
		return err_sys(e, errno, "cannot make " KEEP_SOCKET_NEW);
	*ret_fd = fd_take(&fd);
	return 0;
}

static int keep_hand_over(const struct spawn_child *child, struct err *e)
{
	struct keep_start m = {
		.head = { START_MAGIC, START_VERSION, START_KEEP, sizeof(m), 1 },
	};
	auto_close int fd = -1;
	int r;

	r = spawn_filter_make(SPAWN_KEEPER, m.filter, &m.nr_filter, e);
	if (r == 0)
		r = keep_socket(&fd, e);
	if (r < 0)
		return r;
	r = packet_send(child->channel_fd, &m, sizeof(m), &fd, 1, KEEP_START_MS);
	if (r < 0)
		return err_sys(e, -r, "cannot send to the keeper");
	r = spawn_wait_ready(child, KEEP_START_MS, e);
	if (r < 0)
		return r;
	if (rename(KEEP_SOCKET_NEW, KEEP_SOCKET) < 0)
		return err_sys(e, errno, "cannot make " KEEP_SOCKET);
	return 0;
}

static int keep_spawn(const struct spawn_spec *spec, struct err *e)
{
	struct spawn_child child;
	int r;

	r = spawn_worker(&child, spec, e);
	if (r < 0)
		return r;
	r = keep_hand_over(&child, e);
	close(child.pidfd);
	close(child.channel_fd);
	return r;
}

struct keep_plan {
	char cgroup[CGROUP_PATH_SIZE];
	struct spawn_spec spec;
};

/*
 * Ends whatever is in the cgroup, and starts anew. In a child: who calls spawn_worker() is
 * in the workers' namespaces from then on.
 */
static int keep_start(void *arg, struct err *e)
{
	struct keep_plan *plan = arg;
	const char *cgroup = plan->cgroup;
	auto_close int cgroup_fd = -1;
	int r;

	r = cgroup_remove(cgroup, KEEP_END_MS, e);
	if (r == 0)
		r = cgroup_make(cgroup, &cgroup_fd, e);
	if (r < 0)
		return r;
	keep_limit(cgroup);
	plan->spec.cgroup_fd = cgroup_fd;
	r = keep_spawn(&plan->spec, e);
	if (r < 0) {
		cgroup_kill(cgroup);
		unlink(KEEP_SOCKET_NEW);
	}
	return r;
}

int keep_begin(struct keep *k, const struct spawn_room *room, int program_fd,
	       const char *cgroup_base, uid_t uid, gid_t gid, struct err *e)
{
	struct keep_plan plan = {
		.spec = {
			.program = SPAWN_KEEPER,
			.room = room,
			.program_fd = program_fd,
			.uid = uid,
			.gid = gid,
		},
	};
	int r;

	r = keep_cgroup(plan.cgroup, cgroup_base, e);
	if (r < 0)
		return r;
	r = keep_find(k, e);
	if (r == 0) {
		keep_limit(plan.cgroup); /* the service manager may have lifted it */
		return 0;
	}
	if (r != -ENOTCONN && r != -ECONNRESET)
		log_error("%s: it is ended, and what it held is lost", e->text);
	if (uid == (uid_t)-1)
		r = err_set(e, ENOTCONN, "there is no user for the keeper");
	else
		r = child_run(keep_start, &plan, KEEP_START_MS + KEEP_END_MS, e);
	if (r < 0) {
		unlink(KEEP_SOCKET); /* nobody is to wait for an answer from there */
		return r;
	}
	return keep_find(k, e);
}

int keep_end(const char *cgroup_base, struct err *e)
{
	char cgroup[CGROUP_PATH_SIZE];
	int r;

	r = keep_cgroup(cgroup, cgroup_base, e);
	if (r < 0)
		return r;
	unlink(KEEP_SOCKET);
	return cgroup_remove(cgroup, KEEP_END_MS, e);
}
