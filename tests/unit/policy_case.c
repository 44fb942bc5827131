/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/policy_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

const uint32_t policy_case_image_gids[] = { 1000, 50 };
const uint32_t policy_case_volume_gids[] = { 2000, 970 };
const uint32_t policy_case_own_gids[] = { 60 };
const uint32_t policy_case_operator_gids[] = { 62 };

void policy_case_check(const struct policy_case *cases, size_t nr)
{
	auto_policy struct policy *p = policy_of(POLICY_WITH(
		RULE_SCRATCH "," RULE_IMAGES "," RULE_HOST "," RULE_VOLUMES "," RULE_OWN
			     "," RULE_STORE "," RULE_DELETE "," RULE_OPERATOR "," RULE_FORMATS));
	struct policy_verdict v;

	for (size_t i = 0; i < nr; i++) {
		memset(&v, 0xff, sizeof(v));
		policy_decide(p, &cases[i].claim, &v);
		if (v.allowed != !!cases[i].rule)
			fail_msg("%s: %s", cases[i].name, v.allowed ? v.rule : v.reason);
		if (strcmp(v.rule, cases[i].rule ? cases[i].rule : "") ||
		    strcmp(v.reason, cases[i].rule ? "" : cases[i].reason))
			fail_msg("%s: rule \"%s\", %s", cases[i].name, v.rule, v.reason);
	}
}
