/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/birth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/log.h"
#include "driver/privileged/backend_device.h"
#include "driver/privileged/cgroup.h"
#include "driver/privileged/datapath.h"
#include "driver/privileged/iolimit.h"
#include "driver/privileged/memlimit.h"
#include "driver/privileged/notice.h"
#include "driver/privileged/process.h"
#include "driver/privileged/stats_file.h"
#include "targets/catalog.h"

#define BIRTH_WORKER_MS 5000
#define BIRTH_LIMIT_MS 2000

void birth_fini(struct birth *b)
{
	close_fdp(&b->worker.pidfd);
	close_fdp(&b->worker.channel_fd);
	close_fdp(&b->cgroup_fd);
	close_fdp(&b->stats_fd);
	close_fdp(&b->notices_fd);
}

/* On top of the device's own limit, so a device is made without it rather than not at all. */
static void birth_limit_behind(const struct birth *b)
{
	const struct record *rec = b->rec;
	char path[CGROUP_PATH_SIZE];
	struct err why;

	backend_device_cgroup(rec, path);
	if (rec->grants & RECORD_IO_BEHIND &&
	    iolimit_set_behind(path, (dev_t)rec->backing_dev, &rec->io,
			       op_left_ms(b->op, BIRTH_LIMIT_MS), &why) < 0)
		log_warning("ublkb%u: the disk behind it is not limited: %s", rec->dev_id,
			    why.text);
}

int birth_cgroup(struct birth *b, struct err *e)
{
	int r;

	r = cgroup_make(b->rec->cgroup, &b->cgroup_fd, e);
	if (r == 0)
		r = memlimit_set(b->rec, e);
	if (r == 0)
		birth_limit_behind(b);
	return r;
}

int birth_spawn(struct birth *b, struct err *e)
{
	const struct helper *h = b->op->helper;
	struct record *rec = b->rec;
	struct spawn_spec spec = {
		.program = SPAWN_WORKER,
		.room = &h->room,
		.program_fd = h->program_fd,
		.cgroup_fd = b->cgroup_fd,
		.uid = rec->worker_uid,
		.gid = rec->worker_uid,
		.file_size_limit = rec->flags & WIRE_READ_ONLY
					   ? 0
					   : catalog_file_bytes(rec->target, rec->size_bytes),
	};
	auto_close int proc_fd = -1;
	int r;

	r = spawn_worker(&b->worker, &spec, e);
	if (r < 0)
		return r;
	proc_fd = process_proc_open(b->worker.pid);
	if (proc_fd < 0 || process_start_time(proc_fd, &rec->worker_start) < 0)
		return err_set(e, ECHILD, "the worker ended at once");
	rec->worker_pid = b->worker.pid;
	return 0;
}

/* Where its threads run best; they serve as well without. */
static void birth_name_cpus(const struct birth *b, struct start_spec *spec)
{
	const struct record *rec = b->rec;
	struct err e;

	if (spec->flags & START_THREADS && ublk_cpu_queues(b->ctl, rec->dev_id, rec->nr_queues,
							   spec->cpu_queue, START_CPUS_MAX, &e) < 0)
		log_warning("ublkb%u: its threads are bound to no processors: %s", rec->dev_id,
			    e.text);
}

int birth_prepare(struct birth *b, struct err *e)
{
	const struct helper *h = b->op->helper;
	const struct record *rec = b->rec;
	struct start_spec spec = {
		/* A worker knows of no images. */
		.target = rec->nbd.format ? TARGET_NBD : rec->target,
		.flags = (rec->flags & WIRE_READ_ONLY ? START_READ_ONLY : 0u) |
			 (rec->direct_io ? START_DIRECT : 0u) |
			 (rec->grants & RECORD_DISCARD ? START_DISCARD : 0u) |
			 datapath_start_flags(rec),
		.dev_bytes = rec->size_bytes,
		.nr_queues = rec->nr_queues,
		.depth = rec->depth,
		.max_io_bytes = rec->max_io_bytes,
		.logical_block_bytes = rec->logical_block_bytes,
		.piece_bytes = rec->piece_bytes,
		.nr_filter = h->nr_filter,
		.fault = { rec->fault.delay_us, rec->fault.error_ppm, rec->fault.error_off,
			   rec->fault.error_len },
		.nbd = { rec->nbd.flags, rec->nbd.timeout_ms },
	};
	int r;

	memcpy(spec.filter, h->filter, sizeof(spec.filter));
	birth_name_cpus(b, &spec);
	r = stats_file_make(h->stats_fd, rec->generation, rec->nr_queues, &b->stats_fd, e);
	if (r == 0)
		r = notice_connect(&b->notices_fd, e);
	if (r < 0)
		return r;
	return spawn_prepare(&b->worker, &spec, b->files, b->nr_files,
			     op_left_ms(b->op, BIRTH_WORKER_MS), e);
}

int birth_hand_over(struct birth *b, struct err *e)
{
	char path[32];
	int fd, r;

	snprintf(path, sizeof(path), "/dev/ublkc%u", b->rec->dev_id);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(e, errno, "cannot open %s", path);
	r = spawn_serve(&b->worker, fd, b->stats_fd, b->notices_fd,
			op_left_ms(b->op, BIRTH_WORKER_MS), e);
	close(fd);
	return r < 0 ? r : spawn_wait_ready(&b->worker, op_left_ms(b->op, BIRTH_WORKER_MS), e);
}
