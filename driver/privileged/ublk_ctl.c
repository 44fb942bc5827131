/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/ublk_ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/ublk_abi.h"

#define CTL_DEVICE "/dev/ublk-control"
#define CTL_ENTRIES 4
#define CTL_TIMEOUT_MS 5000
#define CTL_CANCEL_MS 1000
#define CTL_CANCEL_ID UINT64_MAX
#define CTL_CPU_WORDS 16

#define SECTOR_SHIFT 9
#define CTL_DISCARD_GRANULARITY 4096u
#define CTL_DISCARD_SECTORS (UINT32_MAX >> SECTOR_SHIFT)

/* What commands read and write; never on a stack, since a lost command may still write to it. */
union ctl_data {
	uint64_t features;
	struct ublksrv_ctrl_dev_info info;
	struct ublk_params params;
	uint64_t cpus[CTL_CPU_WORDS];
};

struct ctl_ring {
	struct io_uring uring;
	union ctl_data data;
	uint64_t last_id;
};

struct ublk_ctl {
	int fd;
	uint64_t features;
	struct ctl_ring *ring; /* NULL: the next command makes one */
};

struct ctl_command {
	const char *name;
	uint32_t op;
	uint32_t dev_id;
	uint16_t size; /* of the data it reads or writes, 0: none */
	uint64_t argument;
	int timeout_ms;
};

/* --- the ring --------------------------------------------------------------- */

static int ctl_ring_ready(struct ublk_ctl *c, struct err *e)
{
	struct ctl_ring *ring;
	int r;

	if (c->ring)
		return 0;
	ring = calloc(1, sizeof(*ring));
	if (!ring)
		return err_sys(e, ENOMEM, "no memory for a control ring");
	r = io_uring_queue_init(CTL_ENTRIES, &ring->uring, IORING_SETUP_SQE128);
	if (r < 0) {
		free(ring);
		return err_sys(e, -r, "cannot make a control ring");
	}
	c->ring = ring;
	return 0;
}

static void ctl_ring_free(struct ctl_ring *ring)
{
	if (!ring)
		return;
	io_uring_queue_exit(&ring->uring);
	free(ring);
}

/* Waits for the completion of one entry; others are dropped. 0 or -ETIME. */
static int ctl_wait(struct ctl_ring *ring, uint64_t id, int timeout_ms, int *ret_result)
{
	int64_t deadline = clock_deadline_ms(timeout_ms);
	struct io_uring_cqe *cqe;
	uint64_t found;
	int left, r;

	for (;;) {
		left = clock_left_ms(deadline);
		if (left < 0)
			left = INT32_MAX;
		struct __kernel_timespec t = { left / 1000, (long long)(left % 1000) * 1000000 };

		r = io_uring_wait_cqe_timeout(&ring->uring, &cqe, &t);
		if (r == -EINTR)
			continue;
		if (r < 0)
			return r;
		found = cqe->user_data;
		*ret_result = cqe->res;
		io_uring_cqe_seen(&ring->uring, cqe);
		if (found == id)
			return 0;
	}
}

/* An entry of 128 bytes of zeroes, or NULL. */
static struct io_uring_sqe *ctl_entry(struct ctl_ring *ring, uint8_t opcode, int fd, uint64_t id)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

	if (!sqe)
		return NULL;
	memset(sqe, 0, 2 * sizeof(*sqe));
	sqe->opcode = opcode;
	sqe->fd = fd;
	sqe->user_data = id;
	return sqe;
}

static int ctl_submit(struct ctl_ring *ring)
{
	int r;

	do {
		r = io_uring_submit(&ring->uring);
	} while (r == -EINTR);
	return r < 0 ? r : 0;
}

/* The command did not come back in time. 0 with its result when it does now, or -ETIME. */
static int ctl_cancel(struct ctl_ring *ring, uint64_t id, int *ret_result)
{
	struct io_uring_sqe *sqe = ctl_entry(ring, IORING_OP_ASYNC_CANCEL, -1, CTL_CANCEL_ID);
	int r;

	if (!sqe)
		return -EBUSY;
	sqe->addr = id;
	r = ctl_submit(ring);
	if (r < 0)
		return r;
	r = ctl_wait(ring, id, CTL_CANCEL_MS, ret_result);
	if (r < 0)
		return r;
	if (*ret_result == -EINTR || *ret_result == -ECANCELED)
		*ret_result = -ETIMEDOUT;
	return 0;
}

static int ctl_issue(struct ublk_ctl *c, const struct ctl_command *command, int *ret_result)
{
	struct ctl_ring *ring = c->ring;
	struct ublksrv_ctrl_cmd cmd = {
		.dev_id = command->dev_id,
		.queue_id = UINT16_MAX,
		.len = command->size,
		.addr = command->size ? (uintptr_t)&ring->data : 0,
		.data = { command->argument },
	};
	uint64_t id = ++ring->last_id;
	struct io_uring_sqe *sqe = ctl_entry(ring, IORING_OP_URING_CMD, c->fd, id);
	int r;

	if (!sqe)
		return -EBUSY;
	sqe->cmd_op = command->op;
	memcpy(sqe->cmd, &cmd, sizeof(cmd));
	r = ctl_submit(ring);
	if (r < 0)
		return r;
	r = ctl_wait(ring, id, command->timeout_ms, ret_result);
	if (r == -ETIME)
		r = ctl_cancel(ring, id, ret_result);
	return r;
}

/* One command from beginning to end; its data is in c->ring->data, before and after. */
static int ctl_run(struct ublk_ctl *c, const struct ctl_command *command, struct err *e)
{
	int result = 0;
	int r;

	r = ctl_issue(c, command, &result);
	if (r < 0) {
		/*
		 * It cannot be interrupted, and its thread belongs to this ring. The ring and
		 * the data are left to it; the next command gets others.
		 */
		c->ring = NULL;
		result = r == -ETIME ? -ETIMEDOUT : r;
	}
	if (result < 0)
		return err_sys(e, -result, "%s of ublk device %u", command->name, command->dev_id);
	return 0;
}

/* --- opening ------------------------------------------------------------------ */

static int ctl_get_features(struct ublk_ctl *c, struct err *e)
{
	const struct ctl_command command = {
		.name = "GET_FEATURES",
		.op = UBLK_U_CMD_GET_FEATURES,
		.dev_id = UINT32_MAX,
		.size = sizeof(c->ring->data.features),
		.timeout_ms = CTL_TIMEOUT_MS,
	};
	int r;

	r = ctl_ring_ready(c, e);
	if (r < 0)
		return r;
	c->ring->data = (union ctl_data){ 0 };
	r = ctl_run(c, &command, NULL);
	if (r < 0)
		return err_sys(e, -r, "this kernel's ublk driver is too old");
	c->features = c->ring->data.features;
	return 0;
}

int ublk_ctl_open(struct ublk_ctl **ret, struct err *e)
{
	auto_ublk_ctl struct ublk_ctl *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_sys(e, ENOMEM, "no memory for the control device");
	c->fd = open(CTL_DEVICE, O_RDWR | O_CLOEXEC);
	if (c->fd < 0)
		return err_sys(e, errno, "cannot open %s%s", CTL_DEVICE,
			       errno == ENOENT ? " (load the driver: modprobe ublk_drv)" : "");
	r = ctl_get_features(c, e);
	if (r < 0)
		return r;
	*ret = ptr_take(c);
	return 0;
}

uint64_t ublk_features(const struct ublk_ctl *c)
{
	return c->features;
}

void ublk_ctl_close(struct ublk_ctl *c)
{
	if (!c)
		return;
	ctl_ring_free(c->ring);
	close_fdp(&c->fd);
	free(c);
}

void ublk_ctl_closep(struct ublk_ctl **c)
{
	ublk_ctl_close(*c);
	*c = NULL;
}

/* --- a device ------------------------------------------------------------------ */

static int ctl_add_dev(struct ublk_ctl *c, struct ublk_spec *spec, struct err *e)
{
	const struct ctl_command command = {
		.name = "ADD_DEV",
		.op = UBLK_U_CMD_ADD_DEV,
		.dev_id = spec->dev_id,
		.size = sizeof(struct ublksrv_ctrl_dev_info),
		.timeout_ms = CTL_TIMEOUT_MS,
	};
	int r;

	c->ring->data.info = (struct ublksrv_ctrl_dev_info){
		.nr_hw_queues = spec->nr_queues,
		.queue_depth = spec->depth,
		.max_io_buf_bytes = spec->max_io_bytes,
		.dev_id = spec->dev_id,
		.ublksrv_pid = -1,
		/* The host never looks for partitions in what a container wrote. */
		.flags = spec->flags | (c->features & UBLK_F_NO_AUTO_PART_SCAN),
		.ublksrv_flags = spec->cookie,
	};
	r = ctl_run(c, &command, e);
	if (r < 0)
		return r;
	spec->dev_id = c->ring->data.info.dev_id;
	spec->flags = c->ring->data.info.flags;
	spec->nr_queues = c->ring->data.info.nr_hw_queues;
	spec->depth = c->ring->data.info.queue_depth;
	return 0;
}

static uint8_t ctl_shift(uint32_t power_of_two)
{
	return power_of_two ? (uint8_t)__builtin_ctz(power_of_two) : 0;
}

/* Not less than a block, whatever a disk says. */
static uint8_t ctl_size_shift(uint32_t bytes, uint32_t block_bytes)
{
	return ctl_shift(bytes > block_bytes ? bytes : block_bytes);
}

static struct ublk_params ctl_params(const struct ublk_spec *spec)
{
	uint32_t physical = spec->physical_block_bytes;
	uint32_t granularity =
		physical > CTL_DISCARD_GRANULARITY ? physical : CTL_DISCARD_GRANULARITY;
	uint32_t most = CTL_DISCARD_SECTORS & ~((granularity >> SECTOR_SHIFT) - 1);
	struct ublk_params p = {
		.len = sizeof(p),
		.types = UBLK_PARAM_TYPE_BASIC,
		.basic = {
			.logical_bs_shift = ctl_shift(spec->logical_block_bytes),
			.physical_bs_shift = ctl_shift(physical),
			.io_min_shift = ctl_size_shift(spec->io_min_bytes, physical),
			.io_opt_shift = ctl_size_shift(spec->io_opt_bytes, physical),
			.max_sectors = spec->max_io_bytes >> SECTOR_SHIFT,
			.dev_sectors = spec->dev_bytes >> SECTOR_SHIFT,
		},
	};

	if (spec->memory_align_bytes) {
		p.types |= UBLK_PARAM_TYPE_DMA_ALIGN;
		p.dma.alignment = spec->memory_align_bytes - 1;
	}
	if (spec->rotational)
		p.basic.attrs |= UBLK_ATTR_ROTATIONAL;
	if (spec->read_only)
		p.basic.attrs |= UBLK_ATTR_READ_ONLY;
	if (spec->volatile_cache && !spec->read_only)
		p.basic.attrs |= UBLK_ATTR_VOLATILE_CACHE | UBLK_ATTR_FUA;
	if (spec->discards && !spec->read_only) {
		p.types |= UBLK_PARAM_TYPE_DISCARD;
		p.discard.discard_granularity = granularity;
		p.discard.max_discard_sectors = most;
		p.discard.max_write_zeroes_sectors = most;
		p.discard.max_discard_segments = 1;
	}
	return p;
}

static int ctl_set_params(struct ublk_ctl *c, const struct ublk_spec *spec, struct err *e)
{
	const struct ctl_command command = {
		.name = "SET_PARAMS",
		.op = UBLK_U_CMD_SET_PARAMS,
		.dev_id = spec->dev_id,
		.size = sizeof(struct ublk_params),
		.timeout_ms = CTL_TIMEOUT_MS,
	};
	int r;

	r = ctl_ring_ready(c, e);
	if (r < 0)
		return r;
	c->ring->data.params = ctl_params(spec);
	return ctl_run(c, &command, e);
}

int ublk_add(struct ublk_ctl *c, struct ublk_spec *spec, struct err *e)
{
	struct ublk_spec added = *spec;
	int r;

	r = ctl_ring_ready(c, e);
	if (r < 0)
		return r;
	r = ctl_add_dev(c, &added, e);
	if (r < 0)
		return r;
	r = ctl_set_params(c, &added, e);
	if (r < 0) {
		ublk_delete(c, added.dev_id, CTL_TIMEOUT_MS, NULL);
		return r;
	}
	*spec = added;
	return 0;
}

/* A command without data. */
static int ctl_simple(struct ublk_ctl *c, const struct ctl_command *command, struct err *e)
{
	int r;

	r = ctl_ring_ready(c, e);
	return r < 0 ? r : ctl_run(c, command, e);
}

static int ctl_queue_cpus(struct ublk_ctl *c, uint32_t dev_id, uint16_t queue, struct err *e)
{
	const struct ctl_command command = {
		.name = "GET_QUEUE_AFFINITY",
		.op = UBLK_U_CMD_GET_QUEUE_AFFINITY,
		.dev_id = dev_id,
		.size = sizeof(c->ring->data.cpus),
		.argument = queue,
		.timeout_ms = CTL_TIMEOUT_MS,
	};
	int r;

	r = ctl_ring_ready(c, e);
	if (r < 0)
		return r;
	c->ring->data = (union ctl_data){ 0 };
	return ctl_run(c, &command, e);
}

int ublk_cpu_queues(struct ublk_ctl *c, uint32_t dev_id, uint16_t nr_queues, uint8_t *cpu_queue,
		    unsigned int nr_cpus, struct err *e)
{
	int r;

	for (uint16_t queue = 0; queue < nr_queues; queue++) {
		r = ctl_queue_cpus(c, dev_id, queue, e);
		if (r < 0)
			return r;
		for (unsigned int cpu = 0; cpu < nr_cpus && cpu / 64 < CTL_CPU_WORDS; cpu++) {
			if (c->ring->data.cpus[cpu / 64] >> cpu % 64 & 1)
				cpu_queue[cpu] = (uint8_t)(queue + 1);
		}
	}
	return 0;
}

int ublk_start(struct ublk_ctl *c, uint32_t dev_id, int opener_pid, int timeout_ms, struct err *e)
{
	return ctl_simple(c,
			  &(struct ctl_command){
				  .name = "START_DEV",
				  .op = UBLK_U_CMD_START_DEV,
				  .dev_id = dev_id,
				  .argument = (uint64_t)opener_pid,
				  .timeout_ms = timeout_ms,
			  },
			  e);
}

int ublk_recover_begin(struct ublk_ctl *c, uint32_t dev_id, int timeout_ms, struct err *e)
{
	return ctl_simple(c,
			  &(struct ctl_command){
				  .name = "START_USER_RECOVERY",
				  .op = UBLK_U_CMD_START_USER_RECOVERY,
				  .dev_id = dev_id,
				  .timeout_ms = timeout_ms,
			  },
			  e);
}

int ublk_quiesce(struct ublk_ctl *c, uint32_t dev_id, int timeout_ms, struct err *e)
{
	return ctl_simple(c,
			  &(struct ctl_command){
				  .name = "QUIESCE_DEV",
				  .op = UBLK_U_CMD_QUIESCE_DEV,
				  .dev_id = dev_id,
				  .argument = (uint64_t)timeout_ms,
				  .timeout_ms = timeout_ms + CTL_TIMEOUT_MS,
			  },
			  e);
}

int ublk_recover_end(struct ublk_ctl *c, uint32_t dev_id, int opener_pid, int timeout_ms,
		     struct err *e)
{
	return ctl_simple(c,
			  &(struct ctl_command){
				  .name = "END_USER_RECOVERY",
				  .op = UBLK_U_CMD_END_USER_RECOVERY,
				  .dev_id = dev_id,
				  .argument = (uint64_t)opener_pid,
				  .timeout_ms = timeout_ms,
			  },
			  e);
}

int ublk_resize(struct ublk_ctl *c, uint32_t dev_id, uint64_t dev_bytes, struct err *e)
{
	return ctl_simple(c,
			  &(struct ctl_command){
				  .name = "UPDATE_SIZE",
				  .op = UBLK_U_CMD_UPDATE_SIZE,
				  .dev_id = dev_id,
				  .argument = dev_bytes >> 9,
				  .timeout_ms = CTL_TIMEOUT_MS,
			  },
			  e);
}

int ublk_stop(struct ublk_ctl *c, uint32_t dev_id, int timeout_ms, struct err *e)
{
	return ctl_simple(c,
			  &(struct ctl_command){
				  .name = "STOP_DEV",
				  .op = UBLK_U_CMD_STOP_DEV,
				  .dev_id = dev_id,
				  .timeout_ms = timeout_ms,
			  },
			  e);
}

int ublk_delete(struct ublk_ctl *c, uint32_t dev_id, int timeout_ms, struct err *e)
{
	return ctl_simple(c,
			  &(struct ctl_command){
				  .name = "DEL_DEV_ASYNC",
				  .op = UBLK_U_CMD_DEL_DEV_ASYNC,
				  .dev_id = dev_id,
				  .timeout_ms = timeout_ms,
			  },
			  e);
}

int ublk_info(struct ublk_ctl *c, uint32_t dev_id, struct ublk_info *ret, struct err *e)
{
	const struct ctl_command command = {
		.name = "GET_DEV_INFO",
		.op = UBLK_U_CMD_GET_DEV_INFO,
		.dev_id = dev_id,
		.size = sizeof(struct ublksrv_ctrl_dev_info),
		.timeout_ms = CTL_TIMEOUT_MS,
	};
	const struct ublksrv_ctrl_dev_info *info;
	int r;

	r = ctl_ring_ready(c, e);
	if (r < 0)
		return r;
	c->ring->data = (union ctl_data){ 0 };
	r = ctl_run(c, &command, e);
	if (r < 0)
		return r;
	info = &c->ring->data.info;
	*ret = (struct ublk_info){
		.dev_id = info->dev_id,
		.state = info->state,
		.flags = info->flags,
		.cookie = info->ublksrv_flags,
		.nr_queues = info->nr_hw_queues,
		.depth = info->queue_depth,
	};
	return 0;
}

int ublk_block_number(struct ublk_ctl *c, uint32_t dev_id, uint32_t *ret_major, uint32_t *ret_minor,
		      struct err *e)
{
	const struct ctl_command command = {
		.name = "GET_PARAMS",
		.op = UBLK_U_CMD_GET_PARAMS,
		.dev_id = dev_id,
		.size = sizeof(struct ublk_params),
		.timeout_ms = CTL_TIMEOUT_MS,
	};
	const struct ublk_params *p;
	int r;

	r = ctl_ring_ready(c, e);
	if (r < 0)
		return r;
	c->ring->data.params = (struct ublk_params){ .len = sizeof(struct ublk_params) };
	r = ctl_run(c, &command, e);
	if (r < 0)
		return r;
	p = &c->ring->data.params;
	if (!(p->types & UBLK_PARAM_TYPE_DEVT) || !p->devt.disk_major)
		return err_set(e, ENODEV, "ublk device %u has no block device", dev_id);
	*ret_major = p->devt.disk_major;
	*ret_minor = p->devt.disk_minor;
	return 0;
}
