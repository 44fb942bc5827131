/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "policy/check.h"
#include "policy/policy.h"
#include "policy/rule.h"

static const struct rule *use_find_rule(const struct policy *p, const char *id)
{
	for (size_t i = 0; i < p->nr_rules; i++) {
		if (!strcmp(p->rules[i].id, id))
			return &p->rules[i];
	}
	return NULL;
}

static bool use_check_who(const struct rule *rule, const struct policy_use *use, char *why)
{
	if (!use->uid || use->uid == use->maker_uid)
		return true;
	/* Whoever starts containers as root, the hook asks for. */
	if (use->hook && (!use->maker_uid || rule->hook_claims))
		return true;
	/* Whom a rule lets mount it on the host. */
	if (use->host && rule->host_claims)
		return true;
	if (use->host)
		snprintf(why, CHECK_WHY_SIZE,
			 "uid %u had the device made, not uid %u, and \"host_claims\" is not true",
			 use->maker_uid, use->uid);
	else if (use->hook)
		snprintf(why, CHECK_WHY_SIZE,
			 "uid %u had the device made, and \"hook_claims\" is not true",
			 use->maker_uid);
	else
		snprintf(why, CHECK_WHY_SIZE, "uid %u had the device made, not uid %u",
			 use->maker_uid, use->uid);
	return false;
}

static bool use_check_alone(const struct rule *rule, const struct policy_use *use, char *why)
{
	if (!use->taken || (use->read_only && rule->share_read_only))
		return true;
	if (use->read_only)
		snprintf(why, CHECK_WHY_SIZE,
			 "another container has it, and \"share_read_only\" is not true");
	else
		snprintf(why, CHECK_WHY_SIZE,
			 "another container has it, and it can be written: only what is read-only "
			 "is shared");
	return false;
}

void policy_decide_use(const struct policy *p, const struct policy_use *use,
		       struct policy_verdict *ret)
{
	const struct rule *rule = use_find_rule(p, use->rule);
	const struct policy_claim claim = {
		.cgroup = use->cgroup,
		.owner_uid = use->owner_uid,
		.read_only = use->read_only,
		.size_bytes = use->size_bytes,
		.devices_in_container = use->devices_in_container,
		.bytes_in_container = use->bytes_in_container,
	};
	char why[CHECK_WHY_SIZE];

	*ret = (struct policy_verdict){ 0 };
	if (!rule) {
		snprintf(ret->reason, sizeof(ret->reason),
			 "the rule \"%.63s\" that gave the device is in the policy no more",
			 use->rule);
		return;
	}
	snprintf(ret->rule, sizeof(ret->rule), "%s", rule->id);
	ret->allowed = use_check_who(rule, use, why) && use_check_alone(rule, use, why) &&
		       check_rule_use(rule, &claim, why);
	if (ret->allowed)
		return;
	ret->rule[0] = '\0';
	snprintf(ret->reason, sizeof(ret->reason), "rule \"%s\": %s", rule->id, why);
}
