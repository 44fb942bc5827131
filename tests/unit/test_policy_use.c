/* SPDX-License-Identifier: Apache-2.0 */
/* What was made ahead, and who may have it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "policy/policy.h"
#include "targets/catalog.h"
#include "tests/unit/policy_of.h"

/* Shared, and given by the hook; the other is for containers of one owner in one slice. */
#define RULE_SHARED                                                                                \
	"{ \"id\": \"shared\", \"principal\": { \"uid\": 1000 }, \"targets\": [\"memory\"],"       \
	"  \"share_read_only\": true, \"hook_claims\": true, \"host_claims\": true,"               \
	"  \"max_size\": \"1G\","                                                                  \
	"  \"max_bytes_per_container\": \"2G\", \"max_devices_per_container\": 2 }"

#define RULE_ALONE                                                                                 \
	"{ \"id\": \"alone\", \"principal\": { \"any\": true, \"owner_uid\": 3000,"                \
	"    \"cgroup\": \"/ci.slice/\" }, \"targets\": [\"memory\"],"                             \
	"  \"max_size\": \"1G\", \"max_devices_per_container\": 1 }"

#define RULE_READ                                                                                  \
	"{ \"id\": \"read\", \"principal\": { \"any\": true }, \"targets\": [\"memory\"],"         \
	"  \"access\": \"ro\", \"max_size\": \"1G\", \"max_devices_per_container\": 1 }"

/* What the rules just allow a container that is to have what they gave before. */
#define SHARED                                                                                     \
	.rule = "shared", .uid = 970, .maker_uid = 1000, .hook = true, .taken = true,              \
	.read_only = true, .size_bytes = GIB, .devices_in_container = 1, .bytes_in_container = GIB
#define ALONE                                                                                      \
	.rule = "alone", .uid = 1000, .maker_uid = 1000, .cgroup = "/ci.slice/a",                  \
	.owner_uid = 3000, .size_bytes = GIB

#pragma GCC diagnostic ignored "-Woverride-init"
#ifdef __clang__
#pragma clang diagnostic ignored "-Winitializer-overrides"
#endif

static const struct {
	const char *name;
	struct policy_use use;
	const char *reason; /* NULL: allowed */
} uses[] = {
	{ "the hook gives one more container what is shared", { SHARED } },
	{ "so does who had it made", { SHARED, .uid = 1000, .hook = false } },
	{ "and root", { SHARED, .uid = 0, .hook = false } },
	{ "nobody else",
	  { SHARED, .uid = 1001, .hook = false },
	  "rule \"shared\": uid 1000 had the device made, not uid 1001" },
	{ "but for the host, where a rule for that is asked too",
	  { SHARED, .uid = 1001, .hook = false, .host = true } },
	{ "for the host, and the rule does not say so",
	  { ALONE, .uid = 1001, .host = true },
	  "rule \"alone\": uid 1000 had the device made, not uid 1001, and \"host_claims\" is not "
	  "true" },
	{ "the hook claims nothing for the host by that",
	  { ALONE, .uid = 970, .hook = true, .host = true },
	  "rule \"alone\": uid 1000 had the device made, not uid 970, and \"host_claims\" is not "
	  "true" },
	{ "what can be written is not shared",
	  { SHARED, .read_only = false },
	  "rule \"shared\": another container has it, and it can be written: only what is "
	  "read-only is shared" },
	{ "what can be written, and nobody has", { SHARED, .read_only = false, .taken = false } },
	{ "a container with as many devices as it may have",
	  { SHARED, .devices_in_container = 2 },
	  "rule \"shared\": the container has 2 devices already, of its 2" },
	{ "a container with as many bytes as it may have",
	  { SHARED, .bytes_in_container = GIB + 512 },
	  "rule \"shared\": the container's devices have 1073742336 already, and 1G more are over "
	  "its 2G" },
	{ "a container of the owner, in the slice", { ALONE } },
	{ "one of another owner",
	  { ALONE, .owner_uid = 3001 },
	  "rule \"alone\": it is for containers of uid 3000, and this is one of uid 3001" },
	{ "one elsewhere",
	  { ALONE, .cgroup = "/ops.slice/a" },
	  "rule \"alone\": it is for cgroup /ci.slice/, and the container's is /ops.slice/a" },
	{ "one without a cgroup",
	  { ALONE, .cgroup = NULL },
	  "rule \"alone\": it is for cgroup /ci.slice/, and the container's is unknown" },
	{ "the hook is not who had it made",
	  { ALONE, .uid = 970, .hook = true },
	  "rule \"alone\": uid 1000 had the device made, and \"hook_claims\" is not true" },
	{ "the hook gives what root had made",
	  { ALONE, .uid = 970, .hook = true, .maker_uid = 0 } },
	{ "what is read-only and not shared",
	  { ALONE, .read_only = true, .taken = true },
	  "rule \"alone\": another container has it, and \"share_read_only\" is not true" },
	{ "the rule gives less by now",
	  { ALONE, .rule = "read" },
	  "rule \"read\": access rw is asked for, and it gives ro" },
	{ "the rule is for the host by now",
	  { ALONE, .rule = "host", .uid = 0 },
	  "rule \"host\": it is for devices of the host, not of containers" },
	{ "the rule is gone",
	  { ALONE, .rule = "gone" },
	  "the rule \"gone\" that gave the device is in the policy no more" },
};

static void test_what_was_made_ahead_is_used_as_the_table_says(void **state)
{
	auto_policy struct policy *p =
		policy_of(POLICY_WITH(RULE_SHARED "," RULE_ALONE "," RULE_READ "," RULE_HOST));
	struct policy_verdict v;

	for (size_t i = 0; i < ARRAY_SIZE(uses); i++) {
		memset(&v, 0xff, sizeof(v));
		policy_decide_use(p, &uses[i].use, &v);
		if (v.allowed == !!uses[i].reason)
			fail_msg("%s: %s", uses[i].name, v.allowed ? v.rule : v.reason);
		if (strcmp(v.rule, uses[i].reason ? "" : uses[i].use.rule) ||
		    strcmp(v.reason, uses[i].reason ? uses[i].reason : ""))
			fail_msg("%s: rule \"%s\", %s", uses[i].name, v.rule, v.reason);
	}
}

/* Where its container will be, and whose, is asked when there is one. */
static void test_a_device_made_ahead_has_no_place_yet(void **state)
{
	auto_policy struct policy *p = policy_of(POLICY_WITH(RULE_ALONE));
	struct policy_claim claim = { .uid = 1,
				      .ahead = true,
				      .owner_uid = UINT32_MAX,
				      .target = TARGET_MEMORY,
				      .size_bytes = GIB,
				      .nr_queues = 1,
				      .depth = 1 };
	struct policy_verdict v;

	policy_decide(p, &claim, &v);
	assert_true(v.allowed);
	claim.ahead = false;
	policy_decide(p, &claim, &v);
	assert_false(v.allowed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_was_made_ahead_is_used_as_the_table_says),
		cmocka_unit_test(test_a_device_made_ahead_has_no_place_yet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
