/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy is once it is read; shared by the files of this folder only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/field.h"
#include "policy/policy.h"

/* All that is there must hold. */
struct rule_principal {
	bool has_uid;
	bool has_gid;
	bool has_owner;
	uint32_t uid;
	uint32_t gid;
	uint32_t owner_uid; /* of the container's user namespace; never in a host rule */
	char *cgroup;	    /* pattern on the container's; NULL: any; never in a host rule */
};

struct rule_mount {
	struct texts under; /* paths, as in backing */
	struct texts filesystems;
	bool trust_raw_writers;
};

struct rule {
	char *id;
	struct rule_principal principal;
	uint32_t acts;	  /* bit mask of 1 << enum policy_act; never 0 */
	uint32_t targets; /* bit mask of 1 << enum target_id; never 0 */
	/* clean absolute paths; ends with '/': everything below */
	struct texts backing;
	bool any_backing_owner; /* else who asks owns the file, or is root */
	struct texts nbd;	/* addresses; empty unless target nbd is there */
	uint32_t formats; /* bit mask of 1 << enum image_format; 0 unless target image is there */
	struct texts image_chain; /* paths, as in backing; empty: an image has no other behind it */
	bool nbd_reissue;
	uint32_t nbd_timeout_seconds;
	struct texts pools;   /* empty: not for volumes */
	bool read_only;	      /* only read-only devices */
	bool share_read_only; /* several containers may have one that was made ahead */
	bool hook_claims;     /* the OCI hook may give containers what others had made */
	bool host_claims;     /* who may mount on the host may have there what others had made */
	bool zero_copy;
	bool discard;
	uint64_t max_size_bytes;
	/* over all devices; 0: no limit */
	uint64_t max_bytes_per_container;
	uint64_t max_bytes;
	uint32_t max_devices_per_container; /* 0 in a host rule, where it says nothing */
	uint32_t max_devices;
	bool host; /* for the host, and not for containers */
	uint32_t max_queues;
	uint32_t max_depth;
	struct rule_mount mount; /* empty unless act mount is there */
	struct policy_io io;
};

/* Into a rule that is all zero; which rule_free() takes apart whatever came of it. */
int rule_read(const struct field_reader *p, const struct document_node *n, struct rule *rule);
void rule_free(struct rule *rule);

/* How policies and messages name an act, NULL where there is none. */
const char *rule_act_name(unsigned int act);

struct policy {
	uint32_t worker_ids_first;
	uint32_t worker_ids_count;
	uint32_t hang_seconds;
	struct texts filesystems;
	struct policy_pool *pools; /* at least one */
	size_t nr_pools;
	struct rule *rules; /* in the order of the file */
	size_t nr_rules;
};
