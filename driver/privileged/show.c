/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/show.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/backend_device.h"
#include "driver/privileged/claims.h"
#include "driver/privileged/datapath.h"
#include "driver/privileged/detach.h"
#include "driver/privileged/request.h"
#include "driver/privileged/stats_file.h"
#include "driver/privileged/ublk_ctl.h"
#include "targets/image_format.h"

#define SHOW_SEND_MS 2000
#define SHOW_SNAPSHOTS_MS 10000

static struct wire_device show_device(const struct device *of)
{
	const struct record *rec = &of->rec;
	struct wire_device d = {
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_DEVICE, sizeof(d), 0 },
		.generation = rec->generation,
		.dev_id = rec->dev_id,
		.major = rec->major,
		.minor = rec->minor,
		.state = rec->state,
		.target = rec->target,
		.flags = rec->flags | (datapath_threads(rec) ? WIRE_THREADS : 0u) |
			 (of->access.lost ? WIRE_NO_ACCESS : 0u),
		.size_bytes = rec->size_bytes,
		.nr_queues = rec->nr_queues,
		.depth = rec->depth,
		.worker_pid = rec->worker_pid,
		.worker_uid = rec->worker_uid,
		.container_pid = rec->container_pid,
		.peer_uid = rec->peer_uid,
		.peer_gid = rec->peer_gid,
		.since = rec->since,
		.filesystem = rec->filesystem,
	};
	memcpy(d.container, rec->container, sizeof(d.container));
	memcpy(d.engine, rec->engine, sizeof(d.engine));
	memcpy(d.path, rec->path, sizeof(d.path));
	memcpy(d.rule, rec->rule, sizeof(d.rule));
	memcpy(d.backing, rec->backing, sizeof(d.backing));
	return d;
}

int show_list(struct op *op, struct packet *p, struct err *e)
{
	struct wire_device device;
	int r;

	for (size_t i = 0; i < op->registry->nr_devices; i++) {
		if (!detach_peer_ok(op, &op->registry->devices[i]->rec))
			continue;
		device = show_device(op->registry->devices[i]);
		r = packet_send(op->peer_fd, &device, sizeof(device), NULL, 0,
				op_left_ms(op, SHOW_SEND_MS));
		if (r < 0)
			return err_sys(e, -r, "the caller does not read the list");
	}
	request_reply(op->peer_fd, 0, NULL, "");
	return 0;
}

int show_inspect(struct op *op, struct packet *p, struct err *e)
{
	auto_ublk_ctl struct ublk_ctl *ctl = NULL;
	struct wire_details details;
	struct ublk_info info = { 0 };
	const struct record *rec;
	const struct device *d;
	struct wire_inspect ask;

	memcpy(&ask, p->bytes, sizeof(ask));
	d = ask.generation ? registry_find(op->registry, ask.generation)
			   : registry_find_number(op->registry, ask.dev_id);
	if (!d || !detach_peer_admit(op, "inspect", &d->rec))
		return err_set(e, ENOENT, "there is no such device");
	rec = &d->rec;
	if (ublk_ctl_open(&ctl, NULL) == 0 &&
	    (ublk_info(ctl, rec->dev_id, &info, NULL) < 0 || info.cookie != rec->generation))
		info = (struct ublk_info){ 0 };
	details = (struct wire_details){
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_DETAILS, sizeof(details), 0 },
		.device = show_device(d),
		.kernel_flags = info.flags,
		.kernel_state = info.state,
		.kernel_features = rec->kernel_features,
		.max_io_bytes = rec->max_io_bytes,
		.logical_block_bytes = rec->logical_block_bytes,
		.physical_block_bytes = rec->physical_block_bytes,
		.direct_io = rec->direct_io,
		.node_uid = rec->node_uid,
		.node_gid = rec->node_gid,
		.node_mode = rec->node_mode,
		.container_cgroup_inode = rec->cgroup_inode,
		.container_mount_ns_inode = rec->mount_ns_inode,
		.backing_dev = rec->backing_dev,
		.backing_inode = rec->backing_inode,
		.discard = !!(rec->grants & RECORD_DISCARD),
		.container_owner_uid = rec->container_uid,
		.io = rec->io,
	};
	memcpy(details.base, rec->base, sizeof(details.base));
	memcpy(details.export_name, rec->nbd.export_name, sizeof(details.export_name));
	details.nr_connections = rec->nbd.nr_connections;
	memcpy(details.failure, rec->failure, sizeof(details.failure));
	packet_send(op->peer_fd, &details, sizeof(details), NULL, 0, SHOW_SEND_MS);
	return 0;
}

/* Of a device that is served and not about to change: its image is looked at beside its back end.
 */
int show_snapshots(struct op *op, struct packet *p, struct err *e)
{
	struct wire_image_says says = {
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_IMAGE_SAYS, sizeof(says), 1 },
	};
	struct wire_snapshots ask;
	const struct device *d;
	auto_close int fd = -1;
	int r;

	memcpy(&ask, p->bytes, sizeof(ask));
	if (ask.pad)
		return err_set(e, EINVAL, "the request has numbers that mean nothing");
	d = registry_find(op->registry, ask.generation);
	if (!d || d->rec.flags & WIRE_CLAIMED || !detach_peer_admit(op, "snapshots", &d->rec))
		return err_set(e, ENOENT, "there is no such device");
	if (!image_format_has_snapshots(d->rec.nbd.format))
		return err_set(e, EOPNOTSUPP, "what ublkb%" PRIu32 " is of can hold no snapshots",
			       d->rec.dev_id);
	if (d->rec.state != WIRE_STATE_LIVE)
		return err_set(e, EAGAIN, "ublkb%" PRIu32 " is not live now; ask again",
			       d->rec.dev_id);
	r = op_shorten(op, ask.timeout_ms, e);
	if (r == 0)
		r = backend_device_snapshots(op, &d->rec, op_left_ms(op, SHOW_SNAPSHOTS_MS), &fd,
					     e);
	if (r < 0)
		return r;
	says.generation = ask.generation;
	packet_send(op->peer_fd, &says, sizeof(says), &fd, 1, SHOW_SEND_MS);
	return 0;
}

int show_stats(struct op *op, struct packet *p, struct err *e)
{
	struct wire_counters counters = {
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_COUNTERS, sizeof(counters), 1 },
	};
	const struct device *d, *of;
	struct wire_stats ask;
	auto_close int fd = -1;
	int r;

	memcpy(&ask, p->bytes, sizeof(ask));
	d = registry_find(op->registry, ask.generation);
	if (!d || !detach_peer_admit(op, "stats", &d->rec))
		return err_set(e, ENOENT, "there is no such device");
	/* What a container has of a device does what the device does. */
	of = d->rec.flags & WIRE_CLAIMED ? claims_device(op->registry, &d->rec) : d;
	if (!of)
		return err_set(e, ENOENT, "there is no such device");
	r = stats_file_open(op->helper->stats_fd, of->rec.generation, &fd, e);
	if (r < 0)
		return r;
	counters.device = show_device(d);
	packet_send(op->peer_fd, &counters, sizeof(counters), &fd, 1, SHOW_SEND_MS);
	return 0;
}
