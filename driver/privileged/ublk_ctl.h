/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only file that issues ublk control commands. Each command goes through
 * an io_uring of the calling process and has a deadline: the kernel runs them
 * in threads that may wait for a worker for ever, so at the deadline the
 * command is cancelled and -ETIMEDOUT returned.
 *
 * Every process of the helper opens its own struct ublk_ctl; a ring must not
 * be shared across fork().
 */
#pragma once

#include <stdint.h>

#include "driver/base/err.h"

struct ublk_ctl;

struct ublk_spec {
	uint32_t dev_id;    /* wanted; the caller looks for a free one (-EEXIST: taken) */
	uint64_t cookie;    /* kept by the driver, returned by ublk_info() */
	uint64_t flags;	    /* UBLK_F_* wanted; the driver clears what it does not know */
	uint16_t nr_queues; /* in: wanted; out: granted (the driver clamps to the CPUs) */
	uint16_t depth;	    /* in: wanted; out: granted */
	uint32_t max_io_bytes;
	uint64_t dev_bytes;
	uint32_t logical_block_bytes;
	uint32_t physical_block_bytes;
	uint32_t io_min_bytes; /* powers of two, or 0: as physical blocks */
	uint32_t io_opt_bytes;
	uint32_t memory_align_bytes; /* of data, for zero copy; 0: the driver's own */
	int rotational;
	int read_only;
	int volatile_cache; /* FLUSH and FUA are sent */
	int discards;	    /* DISCARD and WRITE_ZEROES are sent */
};

struct ublk_info {
	uint32_t dev_id;
	uint32_t state; /* UBLK_S_DEV_* */
	uint64_t flags;
	uint64_t cookie;
	uint16_t nr_queues;
	uint16_t depth;
};

/* Opens /dev/ublk-control and a ring on it. */
int ublk_ctl_open(struct ublk_ctl **ret, struct err *e);
void ublk_ctl_close(struct ublk_ctl *c);
void ublk_ctl_closep(struct ublk_ctl **c);
#define auto_ublk_ctl __attribute__((cleanup(ublk_ctl_closep)))

/* UBLK_F_* the driver knows, as it said when it was opened. */
uint64_t ublk_features(const struct ublk_ctl *c);

/* ADD_DEV and SET_PARAMS; when the second fails the device is deleted again. */
int ublk_add(struct ublk_ctl *c, struct ublk_spec *spec, struct err *e);

/*
 * GET_QUEUE_AFFINITY of each queue: *cpu_queue of nr_cpus processors become 1 + the queue their
 * requests come by. -EINVAL: this machine may have more processors.
 */
int ublk_cpu_queues(struct ublk_ctl *c, uint32_t dev_id, uint16_t nr_queues, uint8_t *cpu_queue,
		    unsigned int nr_cpus, struct err *e);

/* START_DEV; opener_pid is the process that opened /dev/ublkcN (7.3 checks it). */
int ublk_start(struct ublk_ctl *c, uint32_t dev_id, int opener_pid, int timeout_ms, struct err *e);

/*
 * START_USER_RECOVERY: the device waits for another worker. -EBUSY: the driver has not
 * seen the end of the one before yet; -EINVAL: on kernels before 6.16, it was said before.
 */
int ublk_recover_begin(struct ublk_ctl *c, uint32_t dev_id, int timeout_ms, struct err *e);

/*
 * QUIESCE_DEV, for a device made with UBLK_F_QUIESCE: its worker gets no request from now on,
 * and its idle tags back, of each queue at least one. When that took too long (-EBUSY,
 * -EINTR, -ETIMEDOUT) it still gets no request: it has to be replaced in any case.
 */
int ublk_quiesce(struct ublk_ctl *c, uint32_t dev_id, int timeout_ms, struct err *e);

/* END_USER_RECOVERY: every tag is fetched again, requests go on. */
int ublk_recover_end(struct ublk_ctl *c, uint32_t dev_id, int opener_pid, int timeout_ms,
		     struct err *e);

/* UPDATE_SIZE, of a device that was started: what has it open sees the new size at once. */
int ublk_resize(struct ublk_ctl *c, uint32_t dev_id, uint64_t dev_bytes, struct err *e);

int ublk_stop(struct ublk_ctl *c, uint32_t dev_id, int timeout_ms, struct err *e);

/* DEL_DEV_ASYNC: the nodes are gone on return, the number when the last reference is. */
int ublk_delete(struct ublk_ctl *c, uint32_t dev_id, int timeout_ms, struct err *e);

/* -ENODEV: there is no such device. */
int ublk_info(struct ublk_ctl *c, uint32_t dev_id, struct ublk_info *ret, struct err *e);

/* Major and minor of /dev/ublkbN; valid once it is started. */
int ublk_block_number(struct ublk_ctl *c, uint32_t dev_id, uint32_t *ret_major, uint32_t *ret_minor,
		      struct err *e);
