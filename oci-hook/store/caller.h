/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks, as the kernel says, and what the policy says to it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "driver/base/err.h"
#include "oci-hook/store/pools.h"
#include "policy/policy.h"

#define CALLER_GROUPS_MAX 64
#define CALLER_HOOK_USER "ublk-oci-hook"

struct caller {
	uint32_t uid;
	uint32_t gids[CALLER_GROUPS_MAX + 1]; /* the primary one first */
	size_t nr_gids;
	bool hook; /* the user of the OCI hook */
};

int caller_of_socket(struct caller *ret, int fd, struct err *e);

/* Of a volume of somebody else's nothing is said, unless root asks. */
bool caller_owns(const struct caller *c, const struct volume *v);

struct caller_act {
	const char *request; /* for the audit line */
	enum policy_act act;
	const char *volume;
	const char *pool;
	uint64_t size_bytes;
	bool read_only;
	unsigned int nr_queues; /* 0: does not matter */
	unsigned int depth;
	unsigned int volumes; /* there already */
	uint64_t bytes;
};

/* -EPERM with the rule that came nearest. Either way one line in the log. */
int caller_decide(const struct caller *c, const struct policy *policy, const struct caller_act *act,
		  struct err *e);

/* The largest size with which that would be allowed; 0: with none. Nothing is logged. */
uint64_t caller_largest(const struct caller *c, const struct policy *policy,
			const struct caller_act *act);
