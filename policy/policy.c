/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "policy/rule.h"
#include "policy/policy_shown.h"
#include "targets/catalog.h"

#define WHY_SIZE 256

bool rule_path_clean(const char *path)
{
	const char *end;
	size_t n;

	if (path[0] != '/')
		return false;
	for (const char *p = path + 1; *p; p = *end ? end + 1 : end) {
		end = strchrnul(p, '/');
		n = (size_t)(end - p);
		if (!n || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return false;
	}
	return true;
}

/*
 * Each check says whether the rule allows one thing the claim asks for, and if
 * not, writes what the rule lacks.
 */

static bool check_principal(const struct rule *rule, const struct policy_claim *claim, char *why)
{
	switch (rule->principal) {
	case RULE_PRINCIPAL_UID:
		return claim->uid == rule->principal_id;
	case RULE_PRINCIPAL_GID:
		for (size_t i = 0; i < claim->nr_gids; i++) {
			if (claim->gids[i] == rule->principal_id)
				return true;
		}
		return false;
	case RULE_PRINCIPAL_ANY:
		return true;
	case RULE_PRINCIPAL_NONE:
		break;
	}
	return false;
}

static bool check_host(const struct rule *rule, const struct policy_claim *claim, char *why)
{
	if (claim->host == rule->host)
		return true;
	snprintf(why, WHY_SIZE, "it is for devices of %s",
		 rule->host ? "the host, not of containers" : "containers, not of the host");
	return false;
}

static bool check_target(const struct rule *rule, const struct policy_claim *claim, char *why)
{
	if (rule->targets & 1u << claim->target)
		return true;
	snprintf(why, WHY_SIZE, "target %s is not in its list",
		 catalog_target(claim->target)->name);
	return false;
}

static bool check_access(const struct rule *rule, const struct policy_claim *claim, char *why)
{
	if (claim->read_only || !rule->read_only)
		return true;
	snprintf(why, WHY_SIZE, "access rw is asked for, and it gives ro");
	return false;
}

/* A prefix that ends with '/' ends a component, so "/srv/a/" is no prefix of "/srv/ab". */
static bool backing_below(const char *backing, const char *prefix)
{
	size_t n = strlen(prefix);

	if (prefix[n - 1] != '/')
		return !strcmp(backing, prefix);
	return !strncmp(backing, prefix, n) && backing[n];
}

static bool check_backing(const struct rule *rule, const struct policy_claim *claim, char *why)
{
	char shown[POLICY_SHOWN_SIZE];

	if (!claim->backing)
		return true;
	for (size_t i = 0; rule_path_clean(claim->backing) && i < rule->nr_backing; i++) {
		if (backing_below(claim->backing, rule->backing[i]))
			return true;
	}
	snprintf(why, WHY_SIZE, "backing %s is not in its list",
		 policy_shown(claim->backing, shown));
	return false;
}

static bool check_size(const struct rule *rule, const struct policy_claim *claim, char *why)
{
	char asked[NUM_SIZE_TEXT], most[NUM_SIZE_TEXT];

	if (claim->size_bytes <= rule->max_size_bytes)
		return true;
	snprintf(why, WHY_SIZE, "size %s is over its %s", num_format_size(claim->size_bytes, asked),
		 num_format_size(rule->max_size_bytes, most));
	return false;
}

static bool check_queues(const struct rule *rule, const struct policy_claim *claim, char *why)
{
	if (claim->nr_queues <= rule->max_queues)
		return true;
	snprintf(why, WHY_SIZE, "%u queues are over its %u", claim->nr_queues, rule->max_queues);
	return false;
}

static bool check_depth(const struct rule *rule, const struct policy_claim *claim, char *why)
{
	if (claim->depth <= rule->max_depth)
		return true;
	snprintf(why, WHY_SIZE, "depth %u is over its %u", claim->depth, rule->max_depth);
	return false;
}

static bool check_container(const struct rule *rule, const struct policy_claim *claim, char *why)
{
	if (rule->host || claim->devices_in_container < rule->max_devices_per_container)
		return true;
	snprintf(why, WHY_SIZE, "the container has %u devices already, of its %u",
		 claim->devices_in_container, rule->max_devices_per_container);
	return false;
}

static bool check_all(const struct rule *rule, const struct policy_claim *claim, char *why)
{
	if (claim->devices_in_all < rule->max_devices)
		return true;
	snprintf(why, WHY_SIZE, "there are %u devices already, of its %u", claim->devices_in_all,
		 rule->max_devices);
	return false;
}

typedef bool rule_check(const struct rule *rule, const struct policy_claim *claim, char *why);

/* In the order of the table: the rule that gets furthest is the nearest one. */
static rule_check *const checks[] = {
	check_principal, /* first: a rule that fails here is about somebody else */
	check_host,	 /* container or host */
	check_target,	 /* what it is made of */
	check_access,	 /* whether it may be written */
	check_backing,	 /* which file it shows */
	check_size,	 /* bytes */
	check_queues,	 /* hardware queues */
	check_depth,	 /* requests in flight */
	check_container, /* how many more in this container */
	check_all,	 /* how many more at all */
};

/* How many checks the rule passes; when not all of them, why has the reason. */
static size_t rule_passes(const struct rule *rule, const struct policy_claim *claim, char *why)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(checks); i++) {
		if (!checks[i](rule, claim, why))
			break;
	}
	return i;
}

/* What is missing in a claim that cannot be decided on, or NULL. Zero is never "unlimited". */
static const char *claim_lacks(const struct policy_claim *claim)
{
	const struct catalog_target *target = catalog_target(claim->target);

	if (!target)
		return "the target is unknown";
	if (target->nr_fds && !claim->backing)
		return "the path of the backing file is unknown";
	if (!target->nr_fds && claim->backing)
		return "this target has no backing file";
	if (!claim->size_bytes)
		return "the size is unknown";
	if (!claim->nr_queues)
		return "the number of queues is unknown";
	if (!claim->depth)
		return "the depth is unknown";
	return NULL;
}

static void verdict_refuse(struct policy_verdict *ret, const struct policy_claim *claim,
			   const struct rule *nearest, const char *why)
{
	if (nearest)
		snprintf(ret->reason, sizeof(ret->reason), "rule \"%s\": %s", nearest->id, why);
	else
		snprintf(ret->reason, sizeof(ret->reason), "no rule names uid %u", claim->uid);
}

void policy_decide(const struct policy *p, const struct policy_claim *claim,
		   struct policy_verdict *ret)
{
	char why[WHY_SIZE] = "", furthest_why[WHY_SIZE] = "";
	const struct rule *nearest = NULL;
	const char *lack = claim_lacks(claim);
	size_t passes, furthest = 0;

	*ret = (struct policy_verdict){ 0 };
	if (lack) {
		snprintf(ret->reason, sizeof(ret->reason), "%s", lack);
		return;
	}
	for (size_t i = 0; i < p->nr_rules; i++) {
		passes = rule_passes(&p->rules[i], claim, why);
		if (passes == ARRAY_SIZE(checks)) {
			ret->allowed = true;
			memcpy(ret->rule, p->rules[i].id, sizeof(ret->rule));
			return;
		}
		if (passes > furthest) {
			furthest = passes;
			nearest = &p->rules[i];
			memcpy(furthest_why, why, sizeof(why));
		}
	}
	verdict_refuse(ret, claim, nearest, furthest_why);
}

static void strings_free(char **strings, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		free(strings[i]);
	free(strings);
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->nr_rules; i++)
		strings_free(p->rules[i].backing, p->rules[i].nr_backing);
	free(p->rules);
	strings_free(p->filesystems, p->nr_filesystems);
	free(p);
}

void policy_freep(struct policy **p)
{
	policy_free(*p);
}

uint32_t policy_worker_ids_first(const struct policy *p)
{
	return p->worker_ids_first;
}

uint32_t policy_worker_ids_count(const struct policy *p)
{
	return p->worker_ids_count;
}

size_t policy_nr_rules(const struct policy *p)
{
	return p->nr_rules;
}

bool policy_filesystem_ok(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->nr_filesystems; i++) {
		if (!strcmp(p->filesystems[i], name))
			return true;
	}
	return false;
}
