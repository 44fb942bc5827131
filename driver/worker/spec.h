/* SPDX-License-Identifier: Apache-2.0 */
/* What the helper asked this worker to serve, checked once and whole. */
#pragma once

#include "driver/base/err.h"
#include "driver/wire/packet.h"
#include "driver/wire/start.h"
#include "targets/target.h"

/* A START_SPEC packet becomes *ret and its target, or -EPROTO with the reason. */
int spec_admit(struct start_spec *ret, const struct target_ops **ret_ops, const struct packet *p,
	       struct err *e);

/* Is it a bare message of this type with this many fds? 0 or -EPROTO. */
int spec_admit_step(const struct packet *p, enum start_type type, unsigned int nr_fds,
		    struct err *e);

/* As sched_setaffinity() takes them on a 64-bit machine. */
struct spec_cpus {
	uint64_t words[START_CPUS_MAX / 64];
};

/* The processors whose requests come by this queue; false: they are not known. */
bool spec_cpus(const struct start_spec *spec, uint16_t queue, struct spec_cpus *ret);

/* START_THREADS: how many queues one thread serves. */
static inline uint16_t spec_queues_per_lane(const struct start_spec *spec)
{
	return spec->flags & START_THREADS ? 1 : spec->nr_queues;
}
