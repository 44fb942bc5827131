/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Around the calls by which the helper changes something outside of it: linked with
 * --wrap into a second helper, ublk-ocid-steps, that dies where it is told to.
 *
 *   STEPS_DIE=ublk_start        helper and child are killed before this call
 *   STEPS_DIE=ublk_start:2      before it is made the second time
 *   STEPS_WORKER=NAME           the worker is killed before this call; only the first of this boot,
 *                               which STEPS_WORKER_DIED says
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/privileged/cgroup.h"
#include "driver/privileged/devfilter.h"
#include "driver/privileged/filesystem.h"
#include "driver/privileged/keep.h"
#include "driver/privileged/node.h"
#include "driver/privileged/op.h"
#include "driver/privileged/spawn.h"
#include "driver/privileged/stats_file.h"
#include "driver/privileged/ublk_ctl.h"

#define STEPS_WORKER_DIED "/run/ublk-oci-test/steps-worker-died"

static unsigned int steps_count;
static int steps_cgroup_fd = -1; /* of the worker that was spawned last */

static bool steps_is(const char *variable, const char *name)
{
	const char *wanted = getenv(variable);
	size_t n = strlen(name);

	if (!wanted || strncmp(wanted, name, n) || (wanted[n] && wanted[n] != ':'))
		return false;
	return ++steps_count == (wanted[n] ? (unsigned int)atoi(wanted + n + 1) : 1);
}

/* Each child begins anew, so it is written down. */
static bool steps_first(void)
{
	int fd = open(STEPS_WORKER_DIED, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void steps_before(const char *name)
{
	int fd;

	if (steps_is("STEPS_DIE", name)) {
		fprintf(stderr, "steps: dying before %s\n", name);
		kill(getppid(), SIGKILL); /* this one dies with it */
		for (;;)
			pause();
	}
	if (steps_is("STEPS_WORKER", name) && steps_cgroup_fd >= 0 && steps_first()) {
		fd = openat(steps_cgroup_fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
		fprintf(stderr, "steps: the worker dies before %s\n", name);
		if (fd < 0 || write(fd, "1", 1) != 1)
			perror("steps: cgroup.kill");
		usleep(100000);
	}
}

#define STEP(name, parameters, arguments)                                                          \
	int __real_##name parameters;                                                              \
	int __wrap_##name parameters;                                                              \
	int __wrap_##name parameters                                                               \
	{                                                                                          \
		steps_before(#name);                                                               \
		return __real_##name arguments;                                                    \
	}

STEP(ublk_add, (struct ublk_ctl * c, struct ublk_spec *spec, struct err *e), (c, spec, e))
STEP(ublk_start, (struct ublk_ctl * c, uint32_t id, int pid, int ms, struct err *e),
     (c, id, pid, ms, e))
STEP(ublk_recover_begin, (struct ublk_ctl * c, uint32_t id, int ms, struct err *e), (c, id, ms, e))
STEP(ublk_quiesce, (struct ublk_ctl * c, uint32_t id, int ms, struct err *e), (c, id, ms, e))
STEP(cgroup_kill, (const char *path), (path))
STEP(ublk_recover_end, (struct ublk_ctl * c, uint32_t id, int pid, int ms, struct err *e),
     (c, id, pid, ms, e))
STEP(ublk_resize, (struct ublk_ctl * c, uint32_t id, uint64_t bytes, struct err *e),
     (c, id, bytes, e))
STEP(ublk_stop, (struct ublk_ctl * c, uint32_t id, int ms, struct err *e), (c, id, ms, e))
STEP(ublk_delete, (struct ublk_ctl * c, uint32_t id, int ms, struct err *e), (c, id, ms, e))
STEP(keep_put_files, (uint64_t generation, const int *fds, unsigned int nr, struct err *e),
     (generation, fds, nr, e))
STEP(keep_drop, (uint64_t generation, struct err *e), (generation, e))
STEP(stats_file_make,
     (int dir_fd, uint64_t generation, unsigned int nr, int *ret_fd, struct err *e),
     (dir_fd, generation, nr, ret_fd, e))
STEP(stats_file_remove, (int dir_fd, uint64_t generation, struct err *e), (dir_fd, generation, e))
STEP(spawn_prepare,
     (const struct spawn_child *w, const struct start_spec *spec, const int *fds,
      unsigned int nr_fds, int ms, struct err *e),
     (w, spec, fds, nr_fds, ms, e))
STEP(spawn_serve,
     (const struct spawn_child *w, int char_fd, int stats_fd, int notices_fd, int ms,
      struct err *e),
     (w, char_fd, stats_fd, notices_fd, ms, e))
STEP(devfilter_allow,
     (const char *dir, int fd, uint32_t major, uint32_t minor, unsigned int how, struct err *e),
     (dir, fd, major, minor, how, e))
STEP(devfilter_revoke, (const char *dir, int fd, uint32_t major, uint32_t minor, struct err *e),
     (dir, fd, major, minor, e))
STEP(node_insert,
     (const struct node_place *place, const char *dir, const struct node_spec *spec,
      unsigned int *ret_made_dirs, struct err *e),
     (place, dir, spec, ret_made_dirs, e))
STEP(node_try, (const struct node_place *place, const struct node_spec *spec, struct err *e),
     (place, spec, e))
STEP(node_disarm, (const char *dir, const struct node_id *id, struct err *e), (dir, id, e))
STEP(node_remove,
     (const struct node_place *place, const struct node_spec *spec, unsigned int made_dirs,
      struct err *e),
     (place, spec, made_dirs, e))
STEP(filesystem_insert,
     (const struct node_place *place, const struct filesystem_spec *spec, uint64_t *ret_dev,
      struct err *e),
     (place, spec, ret_dev, e))
STEP(filesystem_remove,
     (const struct node_place *place, const struct filesystem_spec *spec, enum filesystem_way way,
      struct err *e),
     (place, spec, way, e))
STEP(filesystem_wait_gone, (const struct filesystem_spec *spec, int ms, struct err *e),
     (spec, ms, e))
STEP(op_update, (const struct op *op, const struct record *rec, struct err *e), (op, rec, e))
STEP(op_drop, (const struct op *op, uint64_t generation, struct err *e), (op, generation, e))

void __real_op_begin_undo(const struct op *op, struct record *rec);
void __wrap_op_begin_undo(const struct op *op, struct record *rec);
void __wrap_op_begin_undo(const struct op *op, struct record *rec)
{
	steps_before("op_begin_undo");
	__real_op_begin_undo(op, rec);
}

/* Of workers; the keeper has one too. */
int __real_cgroup_make(const char *path, int *ret_fd, struct err *e);
int __wrap_cgroup_make(const char *path, int *ret_fd, struct err *e);
int __wrap_cgroup_make(const char *path, int *ret_fd, struct err *e)
{
	if (strstr(path, "/workers/"))
		steps_before("cgroup_make");
	return __real_cgroup_make(path, ret_fd, e);
}

int __real_cgroup_remove(const char *path, int timeout_ms, struct err *e);
int __wrap_cgroup_remove(const char *path, int timeout_ms, struct err *e);
int __wrap_cgroup_remove(const char *path, int timeout_ms, struct err *e)
{
	/* Of the first of a device's two: the other one is looked for often, and seldom there. */
	if (strstr(path, "/workers/") && strcmp(path + strlen(path) - 2, "-b"))
		steps_before("cgroup_remove");
	return __real_cgroup_remove(path, timeout_ms, e);
}

int __real_spawn_wait_ready(const struct spawn_child *w, int timeout_ms, struct err *e);
int __wrap_spawn_wait_ready(const struct spawn_child *w, int timeout_ms, struct err *e);
int __wrap_spawn_wait_ready(const struct spawn_child *w, int timeout_ms, struct err *e)
{
	if (steps_cgroup_fd >= 0)
		steps_before("spawn_wait_ready");
	return __real_spawn_wait_ready(w, timeout_ms, e);
}

int __real_spawn_worker(struct spawn_child *ret, const struct spawn_spec *spec, struct err *e);
int __wrap_spawn_worker(struct spawn_child *ret, const struct spawn_spec *spec, struct err *e);
int __wrap_spawn_worker(struct spawn_child *ret, const struct spawn_spec *spec, struct err *e)
{
	if (spec->program == SPAWN_WORKER) {
		steps_before("spawn_worker");
		steps_cgroup_fd = spec->cgroup_fd;
	}
	return __real_spawn_worker(ret, spec, e);
}
