/* SPDX-License-Identifier: Apache-2.0 */
/* Does a rule allow everything a claim asks for? One table of checks, in the order tried. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "policy/policy.h"
#include "policy/rule.h"

#define CHECK_WHY_SIZE 256

/* What is missing in a claim that cannot be decided on, or NULL. Zero is never "unlimited". */
const char *check_claim(const struct policy_claim *claim);

/*
 * *ret_passed is how many checks the rule passed: 0 when it is about somebody
 * else. When it does not pass all of them, why has what it does not allow, else "".
 */
bool check_rule(const struct rule *rule, const struct policy_claim *claim, size_t *ret_passed,
		char why[CHECK_WHY_SIZE]);

/* The same for one who is to have what the rule gave already: who may is not asked here. */
bool check_rule_use(const struct rule *rule, const struct policy_claim *claim,
		    char why[CHECK_WHY_SIZE]);
