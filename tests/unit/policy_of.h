/* SPDX-License-Identifier: Apache-2.0 */
/* Policies for tests, from rules. */
#pragma once

#include "policy/policy.h"

#define GIB (UINT64_C(1) << 30)

#define POLICY_WITH(rules)                                                                         \
	"{ \"version\": 1, \"worker_ids\": { \"first\": 910000, \"count\": 10 }, \"rules\": "      \
	"[" rules "] }"

#define RULE_HOST                                                                                  \
	"{ \"id\": \"host\", \"principal\": { \"uid\": 0 }, \"host\": true,"                       \
	"  \"targets\": [\"null\", \"memory\"], \"max_size\": \"1T\" }"

/* Fails the test where it is none; "ublk-oci-hook" is 970. */
struct policy *policy_of(const char *text);
