/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/undo_fake.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/backend_device.h"
#include "driver/privileged/child.h"
#include "driver/privileged/container.h"
#include "driver/privileged/devfilter.h"
#include "driver/privileged/filesystem.h"
#include "driver/privileged/host_file.h"
#include "driver/privileged/hierarchy.h"
#include "driver/privileged/iolimit.h"
#include "driver/privileged/keep.h"
#include "driver/privileged/loss.h"
#include "driver/privileged/op.h"
#include "driver/privileged/process.h"
#include "driver/privileged/stats_file.h"
#include "driver/privileged/unit.h"

#define OTHER_CGROUP "the other"

static struct {
	const struct record *rec;
	const struct record *claim;
	int pidfd;
	bool in_cgroup;
	bool in_mount_ns;
	bool v1;
	int codes[UNDO_FAKE_END];
	char steps[160];
} fake;

void undo_fake_reset(const struct record *rec, int pidfd, bool in_cgroup, bool in_mount_ns)
{
	memset(&fake, 0, sizeof(fake));
	fake.rec = rec;
	fake.pidfd = pidfd;
	fake.in_cgroup = in_cgroup;
	fake.in_mount_ns = in_mount_ns;
}

void undo_fake_fail(enum undo_fake_call call, int code)
{
	fake.codes[call] = code;
}

void undo_fake_claim(const struct record *claim)
{
	fake.claim = claim;
}

void undo_fake_v1(void)
{
	fake.v1 = true;
}

void undo_fake_note(const char *step)
{
	assert_true(strlen(fake.steps) + strlen(step) + 2 <= sizeof(fake.steps));
	if (*fake.steps)
		strcat(fake.steps, " ");
	strcat(fake.steps, step);
}

const char *undo_fake_steps(void)
{
	return fake.steps;
}

static int fake_call(enum undo_fake_call call, const char *step, struct err *e)
{
	if (step)
		undo_fake_note(step);
	return fake.codes[call] ? err_sys(e, fake.codes[call], "as the test wants") : 0;
}

int container_find(struct container *c, pid_t pid, uint64_t start_ticks, uint64_t mount_ns_inode,
		   uint64_t cgroup_inode, struct err *e)
{
	int r = fake_call(UNDO_FAKE_LOOK, NULL, e);

	assert_int_equal(pid, fake.rec->container_pid);
	assert_int_equal(start_ticks, fake.rec->container_start);
	assert_int_equal(mount_ns_inode, fake.rec->mount_ns_inode);
	assert_int_equal(cgroup_inode, fake.rec->cgroup_inode);
	if (r < 0)
		return r;
	c->mount_ns_fd = fake.in_mount_ns ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	c->pidfd = dup(fake.pidfd);
	c->cgroup_fd = fake.in_cgroup ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	return 0;
}

int container_host(struct container *c, struct err *e)
{
	int r = fake_call(UNDO_FAKE_LOOK, NULL, e);

	assert_true(record_on_host(fake.rec));
	if (r < 0)
		return r;
	c->mount_ns_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	c->pidfd = dup(fake.pidfd);
	return 0;
}

void container_fini(struct container *c)
{
	close_fdp(&c->pidfd);
	close_fdp(&c->mount_ns_fd);
	close_fdp(&c->cgroup_fd);
}

struct node_place container_place(const struct container *c, int timeout_ms)
{
	return (struct node_place){ .pidfd = c->pidfd,
				    .mount_ns_fd = c->mount_ns_fd,
				    .proc_fd = -1,
				    .cgroup_fd = c->cgroup_fd,
				    .devices_fd = -1,
				    .timeout_ms = timeout_ms };
}

int devfilter_revoke(const char *dir, int cgroup_fd, uint32_t major, uint32_t minor, struct err *e)
{
	assert_true(cgroup_fd >= 0);
	assert_int_equal(major, fake.rec->major);
	assert_int_equal(minor, fake.rec->minor);
	return fake_call(UNDO_FAKE_REVOKE, "revoke", e);
}

int devfilter_forget(const char *dir, uint64_t cgroup_inode, uint32_t major, uint32_t minor,
		     struct err *e)
{
	assert_int_equal(major, fake.rec->major);
	assert_int_equal(minor, fake.rec->minor);
	assert_int_equal(cgroup_inode, fake.rec->cgroup_inode);
	return fake_call(UNDO_FAKE_FORGET, "forget", e);
}

int node_disarm(const char *store_dir, const struct node_id *id, struct err *e)
{
	assert_int_equal(id->major, fake.rec->major);
	assert_int_equal(id->minor, fake.rec->minor);
	assert_int_equal(id->claim, fake.claim ? (uint32_t)fake.claim->generation
				    : fake.rec->flags & WIRE_CLAIMED
					    ? (uint32_t)fake.rec->generation
					    : 0);
	return fake_call(UNDO_FAKE_DISARM, "disarm", e);
}

int iolimit_lift(const char *cgroup, uint32_t major, uint32_t minor, int timeout_ms, struct err *e)
{
	assert_string_equal(cgroup, fake.rec->container_cgroup);
	assert_int_equal(major, fake.rec->major);
	assert_int_equal(minor, fake.rec->minor);
	return fake_call(UNDO_FAKE_LIFT, "lift", e);
}

int iolimit_set_behind(const char *cgroup, dev_t dev, const struct wire_io *io, int timeout_ms,
		       struct err *e)
{
	static const struct wire_io none = { 0 };

	assert_string_equal(cgroup, fake.rec->cgroup);
	assert_int_equal(dev, fake.rec->backing_dev);
	assert_memory_equal(io, &none, sizeof(none));
	return fake_call(UNDO_FAKE_BEHIND, "behind", e);
}

int node_remove(const struct node_place *place, const struct node_spec *spec,
		unsigned int made_dirs, struct err *e)
{
	assert_string_equal(spec->path, fake.rec->path);
	assert_int_equal(spec->id.major, fake.rec->major);
	assert_int_equal(spec->id.minor, fake.rec->minor);
	assert_int_equal(made_dirs, fake.rec->made_dirs);
	return fake_call(UNDO_FAKE_REMOVE, "remove", e);
}

bool hierarchy_has_devices(void)
{
	return fake.v1;
}

int hierarchy_open_devices(const char *cgroup)
{
	assert_true(fake.v1);
	assert_string_equal(cgroup, fake.rec->container_cgroup);
	return fake.in_cgroup ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : -ENOENT;
}

bool unit_of_cgroup(const char *cgroup, char ret[UNIT_NAME_SIZE])
{
	assert_string_equal(cgroup, fake.rec->container_cgroup);
	strcpy(ret, "one.scope");
	return true;
}

int unit_deny(const char *unit, uint32_t major, uint32_t minor, int timeout_ms, struct err *e)
{
	assert_string_equal(unit, "one.scope");
	assert_int_equal(major, fake.rec->major);
	assert_int_equal(minor, fake.rec->minor);
	assert_true(timeout_ms > 0);
	return fake_call(UNDO_FAKE_UNIT, "unit", e);
}

static void fake_check_filesystem(const struct filesystem_spec *spec)
{
	assert_string_equal(spec->path, fake.rec->path);
	assert_int_equal(spec->filesystem, fake.rec->filesystem);
	assert_int_equal(spec->dev_id, fake.rec->dev_id);
	assert_int_equal(spec->major, fake.rec->major);
	assert_int_equal(spec->minor, fake.rec->minor);
	if (fake.rec->flags & WIRE_HOST)
		assert_memory_equal(spec->host_dir, &fake.rec->dir, sizeof(fake.rec->dir));
	else
		assert_null(spec->host_dir);
}

int filesystem_remove(const struct node_place *place, const struct filesystem_spec *spec,
		      enum filesystem_way way, struct err *e)
{
	assert_true(place->mount_ns_fd >= 0);
	assert_true(way == FILESYSTEM_SYNCED || way == FILESYSTEM_AT_ONCE);
	fake_check_filesystem(spec);
	if (way == FILESYSTEM_SYNCED)
		undo_fake_note("sync");
	return fake_call(UNDO_FAKE_UNMOUNT, "unmount", e);
}

int host_file_remove(const struct node_place *place, const char *store_dir,
		     const struct host_file_spec *spec, struct err *e)
{
	assert_true(place->mount_ns_fd >= 0);
	assert_ptr_equal(spec->path, fake.rec->path);
	assert_int_equal(spec->id.major, fake.rec->major);
	assert_int_equal(spec->id.claim, (uint32_t)fake.rec->generation);
	assert_ptr_equal(spec->file, &fake.rec->dir);
	return fake_call(UNDO_FAKE_FILE, "file", e);
}

int filesystem_wait_gone(const struct filesystem_spec *spec, int timeout_ms, struct err *e)
{
	assert_true(timeout_ms > 0);
	fake_check_filesystem(spec);
	return fake_call(UNDO_FAKE_GONE, "gone", e);
}

/* The only work undo gives to a child is its flush; it is not done here. */
int child_run(int (*work)(void *arg, struct err *e), void *arg, int timeout_ms, struct err *e)
{
	assert_ptr_equal(arg, fake.rec);
	assert_true(timeout_ms > 0);
	return fake_call(UNDO_FAKE_FLUSH, "flush", e);
}

/* The test's workers are in no cgroup of their own. */
int cgroup_kill(const char *path)
{
	int r = fake_call(UNDO_FAKE_KILL, "kill", NULL);

	assert_string_equal(path, fake.rec->cgroup);
	if (!r && fake.rec->worker_pid)
		kill(fake.rec->worker_pid, SIGKILL);
	return r;
}

int spawn_wait_end(int pidfd, int timeout_ms)
{
	pid_t pid;

	assert_int_equal(process_of_pidfd(pidfd, &pid), 0);
	assert_int_equal(pid, fake.rec->worker_pid);
	return process_wait_end(pidfd, timeout_ms);
}

int cgroup_remove(const char *path, int timeout_ms, struct err *e)
{
	if (!strcmp(path, OTHER_CGROUP))
		return 0;
	assert_string_equal(path, fake.rec->cgroup);
	return fake_call(UNDO_FAKE_CGROUP, "cgroup", e);
}

void cgroup_other(char path[CGROUP_PATH_SIZE])
{
	assert_string_equal(path, fake.rec->cgroup);
	strcpy(path, OTHER_CGROUP);
}

int cgroup_event(const char *path, const char *word)
{
	return 0;
}

int keep_drop(uint64_t generation, struct err *e)
{
	assert_int_equal(generation, fake.rec->generation);
	return fake_call(UNDO_FAKE_KEEP, NULL, e);
}

int stats_file_remove(int dir_fd, uint64_t generation, struct err *e)
{
	assert_int_equal(generation, fake.rec->generation);
	return fake_call(UNDO_FAKE_STATS, NULL, e);
}

int op_left_ms(const struct op *op, int at_most_ms)
{
	return at_most_ms;
}

int op_find_claim(const struct op *op, const struct record *device, struct record *ret,
		  struct err *e)
{
	assert_ptr_equal(device, fake.rec);
	if (!fake.claim)
		return err_set(e, ENOENT, "no container has it");
	*ret = *fake.claim;
	return 0;
}

int op_take(const struct op *op, uint64_t generation, struct record *ret, struct err *e)
{
	assert_int_equal(generation, fake.claim->generation);
	*ret = *fake.claim;
	return fake_call(UNDO_FAKE_TAKE, "take", e);
}

void op_begin_undo(const struct op *op, struct record *rec)
{
	assert_int_equal(rec->generation, fake.claim->generation);
}

int loss_in_use(const struct op *op, const struct record *rec, int timeout_ms, struct err *e)
{
	assert_ptr_equal(rec, fake.rec);
	return fake_call(UNDO_FAKE_UNUSED, "unused", e);
}

int op_drop(const struct op *op, uint64_t generation, struct err *e)
{
	if (fake.claim && fake.rec->flags & WIRE_AHEAD) {
		assert_int_equal(generation, fake.claim->generation);
		fake.claim = NULL;
		return fake_call(UNDO_FAKE_NONE, "end", e);
	}
	assert_int_equal(generation, fake.rec->generation);
	return fake_call(UNDO_FAKE_DROP, "drop", e);
}

void backend_device_cgroup(const struct record *rec, char path[CGROUP_PATH_SIZE])
{
	memcpy(path, rec->cgroup, CGROUP_PATH_SIZE);
}

/* None of the devices here has one. */
int backend_device_end(const struct record *rec, struct err *e)
{
	return 0;
}
