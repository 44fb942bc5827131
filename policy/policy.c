/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/check.h"
#include "policy/rule.h"

static void verdict_allow(struct policy_verdict *ret, const struct rule *rule)
{
	ret->allowed = true;
	snprintf(ret->rule, sizeof(ret->rule), "%s", rule->id);
	ret->discard = rule->discard;
	ret->trust_raw_writers = rule->mount.trust_raw_writers;
	ret->zero_copy = rule->zero_copy;
	ret->nbd_reissue = rule->nbd_reissue;
	ret->nbd_timeout_seconds = rule->nbd_timeout_seconds;
	ret->io = rule->io;
}

static void verdict_refuse(struct policy_verdict *ret, const struct policy_claim *claim,
			   const struct rule *nearest, const char *why)
{
	if (nearest)
		snprintf(ret->reason, sizeof(ret->reason), "rule \"%s\": %s", nearest->id, why);
	else
		snprintf(ret->reason, sizeof(ret->reason), "no rule names uid %u", claim->uid);
}

void policy_explain(const struct policy *p, const struct policy_claim *claim,
		    void (*tried)(void *arg, const struct policy_trial *trial), void *arg,
		    struct policy_verdict *ret)
{
	char why[CHECK_WHY_SIZE], furthest_why[CHECK_WHY_SIZE] = "";
	const struct rule *nearest = NULL;
	const char *lack = check_claim(claim);
	size_t passed, furthest = 0;
	bool allowed;

	*ret = (struct policy_verdict){ 0 };
	if (lack) {
		snprintf(ret->reason, sizeof(ret->reason), "%s", lack);
		return;
	}
	for (size_t i = 0; i < p->nr_rules; i++) {
		const struct rule *rule = &p->rules[i];

		allowed = check_rule(rule, claim, &passed, why);
		if (tried)
			tried(arg, &(struct policy_trial){ rule->id, allowed, why });
		if (allowed) {
			verdict_allow(ret, rule);
			return;
		}
		if (passed > furthest) {
			furthest = passed;
			nearest = rule;
			memcpy(furthest_why, why, sizeof(why));
		}
	}
	verdict_refuse(ret, claim, nearest, furthest_why);
}

void policy_decide(const struct policy *p, const struct policy_claim *claim,
		   struct policy_verdict *ret)
{
	policy_explain(p, claim, NULL, NULL, ret);
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->nr_rules; i++)
		rule_free(&p->rules[i]);
	free(p->rules);
	for (size_t i = 0; i < p->nr_pools; i++) {
		free(p->pools[i].name);
		free(p->pools[i].path);
		free(p->pools[i].backend);
	}
	free(p->pools);
	texts_free(&p->filesystems);
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

uint32_t policy_hang_seconds(const struct policy *p)
{
	return p->hang_seconds;
}

size_t policy_nr_pools(const struct policy *p)
{
	return p->nr_pools;
}

const struct policy_pool *policy_pool(const struct policy *p, size_t i)
{
	return &p->pools[i];
}

size_t policy_nr_rules(const struct policy *p)
{
	return p->nr_rules;
}

bool policy_filesystem_ok(const struct policy *p, const char *name)
{
	return texts_have(&p->filesystems, name);
}
