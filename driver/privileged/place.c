/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/place.h"

#include <errno.h>
#include <string.h>

#include "driver/privileged/filesystem.h"
#include "driver/privileged/host_file.h"
#include "driver/privileged/iolimit.h"
#include "driver/privileged/node.h"
#include "driver/privileged/undo.h"

#define PLACE_LOOK_MS 5000
#define PLACE_NODE_MS 5000
#define PLACE_LIMIT_MS 2000
#define PLACE_MOUNT_MS 20000 /* with what a file system does first after a power cut */

int place_look(const struct op *op, struct container *c, struct record *rec, int pidfd,
	       struct err *e)
{
	int r;

	r = container_identify(c, pidfd, e);
	if (r < 0)
		return r;
	rec->container_pid = c->pid;
	rec->container_start = c->start_ticks;
	rec->mount_ns_inode = c->mount_ns_inode;
	rec->cgroup_inode = c->cgroup_inode;
	rec->container_uid = c->owner_uid;
	memcpy(rec->container_cgroup, c->cgroup, sizeof(rec->container_cgroup));
	return container_check_peer(c, op->uid, op->helper->hook_uid, e);
}

/* Whose a place of ours is says what is mounted there; what comes of it the registry decides. */
static bool place_is_mounted(const struct op *op, const struct record *rec)
{
	for (size_t i = 0; i < op->registry->nr_devices; i++) {
		if (registry_same_place(&op->registry->devices[i]->rec, rec))
			return true;
	}
	return false;
}

int place_look_host(const struct op *op, struct container *c, struct record *rec, int fd,
		    struct err *e)
{
	enum host_kind kind = rec->filesystem ? HOST_DIRECTORY : HOST_FILE;
	struct host_place found;
	int r;

	r = container_host(c, e);
	if (r == 0)
		r = host_dir_look(&found, kind, fd, c->mount_ns_fd, op_left_ms(op, PLACE_LOOK_MS),
				  e);
	if (r < 0)
		return r;
	/* The caller's own word for it was for people. */
	memcpy(rec->path, found.path, sizeof(rec->path));
	rec->dir = found.dir;
	return place_is_mounted(op, rec)
		       ? 0
		       : host_dir_check_owner(rec->path, found.owner_uid, op->uid, e);
}

int place_allow(const struct op *op, const struct container *c, const struct record *rec,
		struct err *e)
{
	if (container_filter_fd(c) < 0 || rec->filesystem)
		return 0;
	return devfilter_allow(op->helper->filter_dir, container_filter_fd(c), rec->major,
			       rec->minor, place_filter_how(rec), e);
}

/* Before it can be opened. Never silently without: a rule that limits gives no other device. */
int place_limit(const struct op *op, const struct container *c, const struct record *rec,
		struct err *e)
{
	int r;

	if (!(rec->grants & RECORD_IO_LIMITS))
		return 0;
	if (c->cgroup_fd < 0)
		return err_set(e, ENOTSUP,
			       "rule %s limits I/O, and the container has no cgroup of its own "
			       "that could be limited",
			       rec->rule);
	r = iolimit_set(c->cgroup_fd, rec->major, rec->minor, &rec->io,
			op_left_ms(op, PLACE_LIMIT_MS), e);
	return r < 0 ? err_prefix(e, r, "rule %s limits I/O", rec->rule) : 0;
}

/* In place of the node: the container's filter never hears of the device. */
static int place_mount(const struct op *op, const struct container *c, struct record *rec,
		       struct err *e)
{
	struct node_place place = container_place(c, op_left_ms(op, PLACE_MOUNT_MS));
	struct filesystem_spec spec = undo_filesystem(op, rec);
	int r;

	r = filesystem_insert(&place, &spec, &rec->mounted_dev, e);
	return r < 0 ? r : op_update(op, rec, e);
}

/* A container that may mount may have unmounted it. */
static int place_mount_again(const struct op *op, const struct container *c, struct record *rec,
			     struct err *e)
{
	struct node_place place = container_place(c, op_left_ms(op, PLACE_NODE_MS));
	struct filesystem_spec spec = undo_filesystem(op, rec);
	int r;

	r = filesystem_look(&place, &spec, e);
	return r == -ENOENT ? place_mount(op, c, rec, e) : r;
}

static int place_on_file(const struct op *op, const struct container *c, const struct record *rec,
			 struct err *e)
{
	struct node_place place = container_place(c, op_left_ms(op, PLACE_NODE_MS));
	struct host_file_spec spec = undo_host_file(rec);

	return host_file_insert(&place, op->helper->node_store, &spec, e);
}

/* Likewise. */
static int place_on_file_again(const struct op *op, const struct container *c,
			       const struct record *rec, struct err *e)
{
	struct node_place place = container_place(c, op_left_ms(op, PLACE_NODE_MS));
	struct host_file_spec spec = undo_host_file(rec);
	int r;

	r = host_file_look(&place, &spec, e);
	return r == -ENOENT ? place_on_file(op, c, rec, e) : r;
}

int place_again(const struct op *op, const struct container *c, struct record *rec, struct err *e)
{
	int r;

	r = place_limit(op, c, rec, e);
	if (r < 0)
		return r;
	if (record_is_host_file(rec))
		return place_on_file_again(op, c, rec, e);
	return rec->filesystem ? place_mount_again(op, c, rec, e) : place_allow(op, c, rec, e);
}

int place_run(const struct op *op, const struct container *c, struct record *rec, struct err *e)
{
	struct node_place place = container_place(c, op_left_ms(op, PLACE_NODE_MS));
	struct node_spec node = place_node(rec);
	int r;

	r = place_limit(op, c, rec, e);
	if (r < 0)
		return r;
	if (record_is_host_file(rec))
		return place_on_file(op, c, rec, e);
	if (rec->filesystem)
		return place_mount(op, c, rec, e);
	r = place_allow(op, c, rec, e);
	if (r < 0)
		return r;
	r = node_insert(&place, op->helper->node_store, &node, &rec->made_dirs, e);
	if (r < 0)
		return r;
	r = op_update(op, rec, e);
	if (r < 0)
		return r;
	place.timeout_ms = op_left_ms(op, PLACE_NODE_MS);
	return node_try(&place, &node, e);
}
