/* SPDX-License-Identifier: Apache-2.0 */
/* Which of several rules decides, and what a verdict says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "policy/policy.h"
#include "targets/catalog.h"
#include "tests/unit/policy_case.h"

#define RULE_ANY                                                                                   \
	"{ \"id\": \"any\", \"principal\": { \"any\": true }, \"targets\": [\"null\"],"            \
	"  \"max_size\": 4096, \"max_devices_per_container\": 1 }"

static void test_the_first_rule_that_allows_decides(void **state)
{
	static const struct policy_claim claim = {
		.uid = 970, .target = TARGET_NULL, .size_bytes = 4096, .nr_queues = 1, .depth = 1
	};
	auto_policy struct policy *p = policy_of(
		POLICY_WITH(RULE_SCRATCH "," RULE_ANY ","
					 "{ \"id\": \"later\", \"principal\": { \"any\": true },"
					 "  \"targets\": [\"null\"], \"max_size\": \"1G\","
					 "  \"max_devices_per_container\": 1 }"));
	struct policy_claim larger = claim;
	struct policy_verdict v;

	policy_decide(p, &claim, &v);
	assert_true(v.allowed);
	assert_string_equal(v.rule, "any");
	larger.size_bytes++;
	policy_decide(p, &larger, &v);
	assert_true(v.allowed);
	assert_string_equal(v.rule, "later");
}

static void test_the_nearest_rule_explains_a_refusal(void **state)
{
	static const struct policy_claim claim = {
		.uid = 970, .target = TARGET_NULL, .size_bytes = 8192, .nr_queues = 1, .depth = 1
	};
	auto_policy struct policy *p = policy_of(POLICY_WITH(RULE_SCRATCH "," RULE_ANY));
	struct policy_verdict v;

	policy_decide(p, &claim, &v);
	assert_false(v.allowed);
	assert_string_equal(v.reason, "rule \"any\": size 8K is over its 4K");
}

static void test_of_two_rules_as_near_the_first_explains(void **state)
{
	static const struct policy_claim claim = {
		.uid = 970, .target = TARGET_NULL, .size_bytes = 8192, .nr_queues = 1, .depth = 1
	};
	auto_policy struct policy *p = policy_of(
		POLICY_WITH(RULE_ANY ", { \"id\": \"same\", \"principal\": { \"any\": true },"
				     "    \"targets\": [\"null\"], \"max_size\": 512,"
				     "    \"max_devices_per_container\": 1 }"));
	struct policy_verdict v;

	policy_decide(p, &claim, &v);
	assert_false(v.allowed);
	assert_string_equal(v.reason, "rule \"any\": size 8K is over its 4K");
}

static void test_no_rules_allow_nothing(void **state)
{
	static const struct policy_claim claim = { SCRATCH };
	auto_policy struct policy *p = policy_of(POLICY_WITH(""));
	struct policy_verdict v;

	policy_decide(p, &claim, &v);
	assert_false(v.allowed);
	assert_string_equal(v.reason, "no rule names uid 970");
}

static void test_anybody_may_be_anybody_in_one_place(void **state)
{
	static const struct policy_claim claim = { SCRATCH, .cgroup = "/ops/a" };
	auto_policy struct policy *p = policy_of(
		POLICY_WITH("{ \"id\": \"ops\", \"principal\": { \"any\": true, \"cgroup\": "
			    "\"/ops/\" }, \"targets\": [\"memory\"], \"max_size\": \"1G\","
			    "  \"max_devices_per_container\": 4 }"));
	struct policy_claim elsewhere = claim;
	struct policy_verdict v;

	policy_decide(p, &claim, &v);
	assert_true(v.allowed);
	elsewhere.cgroup = "/a";
	policy_decide(p, &elsewhere, &v);
	assert_false(v.allowed);
	assert_string_equal(v.reason,
			    "rule \"ops\": it is for cgroup /ops/, and the container's is /a");
}

/* What others than root could write is mounted only where a rule trusts them. */
static void test_who_could_write_it_counts_for_a_mount(void **state)
{
	auto_policy struct policy *p = policy_of(POLICY_WITH(
		"{ \"id\": \"own\", \"principal\": { \"uid\": 0 }, \"may\": [\"mount\"], "
		"\"targets\": [\"memory\"], \"max_size\": \"1G\", "
		"\"max_devices_per_container\": 4, \"mount\": { \"under\": "
		"[\"/data\"], \"filesystems\": [\"xfs\"] } },"
		"{ \"id\": \"any\", \"principal\": { \"uid\": 0 }, \"may\": [\"mount\"], "
		"\"targets\": [\"memory\"], \"max_size\": \"1M\", "
		"\"max_devices_per_container\": 4, \"mount\": { \"under\": "
		"[\"/data\"], \"filesystems\": [\"xfs\"], "
		"\"trust_raw_writers\": true } }"));
	static const struct {
		bool raw_writers;
		const char *path;
		uint64_t bytes;
		const char *rule;
		const char *reason;
	} rows[] = {
		{ false, "/data", GIB, "own", "" },
		{ false, "/data/a", GIB, "",
		  "rule \"own\": mount path /data/a is not in its list" },
		{ true, "/data", GIB, "",
		  "rule \"own\": others than root could write the filesystem, and it does not "
		  "trust them" },
		{ true, "/data", 1 << 20, "any", "" },
	};
	struct policy_verdict v;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct policy_claim claim = { SCRATCH,
					      .uid = 0,
					      .act = POLICY_MOUNT,
					      .size_bytes = rows[i].bytes,
					      .mount_path = rows[i].path,
					      .mount_filesystem = "xfs",
					      .raw_writers = rows[i].raw_writers };

		policy_decide(p, &claim, &v);
		assert_string_equal(v.rule, rows[i].rule);
		assert_string_equal(v.reason, rows[i].reason);
	}
}

static void test_a_verdict_brings_what_its_rule_grants(void **state)
{
	static const struct policy_claim volume = { VOLUME }, scratch = { SCRATCH };
	auto_policy struct policy *p = policy_of(POLICY_WITH(RULE_SCRATCH "," RULE_VOLUMES));
	struct policy_claim refused = volume;
	struct policy_verdict v;

	policy_decide(p, &volume, &v);
	assert_true(v.allowed);
	assert_false(v.discard);
	assert_true(v.trust_raw_writers);
	assert_int_equal(v.io.read_bytes, 1 << 20);
	assert_int_equal(v.io.write_bytes, 0);
	assert_int_equal(v.io.read_ops, 0);
	assert_int_equal(v.io.write_ops, 100);

	policy_decide(p, &scratch, &v);
	assert_true(v.allowed);
	assert_true(v.discard);
	assert_false(v.trust_raw_writers);
	assert_int_equal(v.io.read_bytes | v.io.write_bytes | v.io.read_ops | v.io.write_ops, 0);

	refused.nr_queues = 17;
	policy_decide(p, &refused, &v);
	assert_false(v.allowed);
	assert_false(v.discard || v.trust_raw_writers || v.io.read_bytes || v.io.write_ops);
}

struct trials {
	size_t nr;
	char text[4][160];
};

static void trial_note(void *arg, const struct policy_trial *trial)
{
	struct trials *t = arg;

	assert_true(t->nr < ARRAY_SIZE(t->text));
	snprintf(t->text[t->nr++], sizeof(t->text[0]), "%s %d %s", trial->rule, trial->allowed,
		 trial->why);
}

static void test_each_rule_on_the_way_is_explained(void **state)
{
	static const struct policy_claim claim = { IMAGE };
	auto_policy struct policy *p = policy_of(
		POLICY_WITH(RULE_SCRATCH "," RULE_OWN "," RULE_ANY "," RULE_IMAGES "," RULE_HOST));
	struct policy_verdict v, same;
	struct trials t = { 0 };

	policy_explain(p, &claim, trial_note, &t, &v);
	assert_int_equal(t.nr, 4);
	assert_string_equal(t.text[0], "scratch 0 it is for uid 970, not for uid 1000");
	assert_string_equal(t.text[1], "own 0 it is for group 60, which uid 1000 is not in");
	assert_string_equal(t.text[2], "any 0 target file is not in its list");
	assert_string_equal(t.text[3], "images 1 ");
	policy_decide(p, &claim, &same);
	assert_string_equal(v.rule, "images");
	assert_string_equal(same.rule, "images");
}

static void test_no_rule_is_tried_on_half_a_claim(void **state)
{
	static const struct policy_claim claim = { IMAGE, .size_bytes = 0 };
	auto_policy struct policy *p = policy_of(POLICY_WITH(RULE_IMAGES));
	struct trials t = { 0 };
	struct policy_verdict v;

	policy_explain(p, &claim, trial_note, &t, &v);
	assert_int_equal(t.nr, 0);
	assert_string_equal(v.reason, "the size is unknown");
}

static void test_a_root_directory_covers_everything(void **state)
{
	static const struct policy_claim claim = { IMAGE };
	auto_policy struct policy *p = policy_of(
		POLICY_WITH("{ \"id\": \"all\", \"principal\": { \"uid\": 1000 },"
			    "  \"targets\": [\"file\"], \"backing\": [\"/\"], \"max_size\": \"1G\","
			    "  \"max_devices_per_container\": 1 }"));
	struct policy_verdict v;

	policy_decide(p, &claim, &v);
	assert_true(v.allowed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_first_rule_that_allows_decides),
		cmocka_unit_test(test_the_nearest_rule_explains_a_refusal),
		cmocka_unit_test(test_of_two_rules_as_near_the_first_explains),
		cmocka_unit_test(test_no_rules_allow_nothing),
		cmocka_unit_test(test_anybody_may_be_anybody_in_one_place),
		cmocka_unit_test(test_who_could_write_it_counts_for_a_mount),
		cmocka_unit_test(test_a_verdict_brings_what_its_rule_grants),
		cmocka_unit_test(test_each_rule_on_the_way_is_explained),
		cmocka_unit_test(test_no_rule_is_tried_on_half_a_claim),
		cmocka_unit_test(test_a_root_directory_covers_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
