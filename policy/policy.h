/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may have which device. The first rule that allows everything a claim
 * asks for decides; when none does, the answer is no.
 *
 * Deciding is pure: facts go in, verdict, rule id and reason come out. The
 * helper and `ublk-oci policy` run the same code.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/base/err.h"

#define POLICY_FILE "/etc/ublk-oci/policy.json"
#define POLICY_ID_MAX 63	     /* characters of a rule's id */
#define POLICY_SIZE_MAX (256 * 1024) /* bytes of a policy's text */

struct policy;

/*
 * What a principal asks for, completed with facts the helper established.
 * Complete means complete: a zero size, depth or number of queues, or a missing
 * backing path, is refused, never taken for "no limit".
 */
struct policy_claim {
	uint32_t uid;
	const uint32_t *gids; /* primary and supplementary groups */
	size_t nr_gids;
	bool host;	     /* a device for the host itself */
	unsigned int target; /* enum target_id */
	bool read_only;
	uint64_t size_bytes;
	const char *backing; /* as the helper itself resolved it; NULL: the target has none */
	unsigned int nr_queues;
	unsigned int depth;
	/* what is there already, this claim not counted, whichever rule gave it */
	unsigned int devices_in_container;
	unsigned int devices_in_all;
};

struct policy_verdict {
	bool allowed;
	char rule[POLICY_ID_MAX + 1]; /* the rule that allowed it; "" when none did */
	char reason[ERR_TEXT_SIZE];   /* when refused: the nearest rule and what it lacks; ASCII */
};

void policy_decide(const struct policy *p, const struct policy_claim *claim,
		   struct policy_verdict *ret);

/* User and group names in a policy become numbers through this: 0, -ENOENT or another -errno. */
struct policy_names {
	int (*find_user)(const char *name, uint32_t *ret_uid);
	int (*find_group)(const char *name, uint32_t *ret_gid);
};
extern const struct policy_names policy_names_system; /* getpwnam(3), getgrnam(3) */

/* From text; an error says "line L, column C: rules[0].max_size: ...". */
int policy_parse(struct policy **ret, const char *text, size_t size,
		 const struct policy_names *names, struct err *e);

/*
 * From a file, which must be a regular file, owned by root or owner_uid (the
 * caller's own, for a check of one's own draft; else 0), writable by nobody else.
 */
int policy_load(struct policy **ret, const char *path, uint32_t owner_uid,
		const struct policy_names *names, struct err *e);

void policy_free(struct policy *p);
void policy_freep(struct policy **p);
#define auto_policy __attribute__((cleanup(policy_freep)))

size_t policy_nr_rules(const struct policy *p);

/* The uids (and gids of the same number) workers run as. */
uint32_t policy_worker_ids_first(const struct policy *p);
uint32_t policy_worker_ids_count(const struct policy *p);

/* Is this filesystem, named as /proc/self/mountinfo does, one a backing file may be on? */
bool policy_filesystem_ok(const struct policy *p, const char *name);
