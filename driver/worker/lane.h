/* SPDX-License-Identifier: Apache-2.0 */
/* A ring, and the queues that are served on it by one thread. */
#pragma once

#include <liburing.h>

#include "driver/worker/queue.h"

struct lane {
	struct io_uring uring;
	struct queue *queues;
	uint16_t nr_queues;
	uint64_t wake_ns; /* stats.h */
};

/* The ring, disabled; queues first to first + nr_queues - 1 of spec with their buffers. */
int lane_open(struct lane *l, struct queue *queues, uint16_t first, uint16_t nr_queues,
	      const struct start_spec *spec, struct target *target, struct err *e);

/* Its ring works on these files from now on, and is restricted to what the device needs. */
int lane_bind(struct lane *l, const int *files, unsigned int nr_files,
	      const struct start_spec *spec, struct err *e);

/* The calling thread is the lane's from now on, and the only one its ring answers. */
int lane_enable(struct lane *l, struct err *e);

/* Gives every tag to the driver. */
int lane_fetch(struct lane *l);

/* Serves until the kernel has taken back every tag: 0, or -errno when that cannot go on. */
int lane_run(struct lane *l);
