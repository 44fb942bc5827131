/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
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

#define GIB (UINT64_C(1) << 30)

static int fake_find(const char *name, uint32_t *ret_id)
{
	if (strcmp(name, "ublk-oci-hook"))
		return -ENOENT;
	*ret_id = 970;
	return 0;
}

static const struct policy_names fake_names = { fake_find, fake_find };

static struct policy *policy_of(const char *text)
{
	struct policy *p = NULL;
	struct err e = { "" };

	if (policy_parse(&p, text, strlen(text), &fake_names, &e) < 0)
		fail_msg("%s", e.text);
	return p;
}

#define POLICY_WITH(rules)                                                                         \
	"{ \"version\": 1, \"worker_ids\": { \"first\": 910000, \"count\": 10 }, \"rules\": "      \
	"[" rules "] }"

#define RULE_SCRATCH                                                                               \
	"{ \"id\": \"scratch\", \"principal\": { \"user\": \"ublk-oci-hook\" },"                   \
	"  \"targets\": [\"memory\"], \"max_size\": \"1G\","                                       \
	"  \"max_devices_per_container\": 4, \"max_devices\": 10,"                                 \
	"  \"max_queues\": 2, \"max_depth\": 32 }"

#define RULE_IMAGES                                                                                \
	"{ \"id\": \"images\", \"principal\": { \"gid\": 50 },"                                    \
	"  \"targets\": [\"file\"], \"backing\": [\"/srv/images/\", \"/srv/one.img\"],"            \
	"  \"access\": \"ro\", \"max_size\": \"8G\", \"max_devices_per_container\": 1 }"

#define RULE_HOST                                                                                  \
	"{ \"id\": \"host\", \"principal\": { \"uid\": 0 }, \"host\": true,"                       \
	"  \"targets\": [\"null\", \"memory\"], \"max_size\": \"1T\" }"

#define RULE_ANY                                                                                   \
	"{ \"id\": \"any\", \"principal\": { \"any\": true }, \"targets\": [\"null\"],"            \
	"  \"max_size\": 4096, \"max_devices_per_container\": 1 }"

static const uint32_t gids[] = { 1000, 50 };

/* What the scratch and the images rule just allow; every row changes one thing. */
#define SCRATCH                                                                                    \
	.uid = 970, .target = TARGET_MEMORY, .size_bytes = GIB, .nr_queues = 2, .depth = 32,       \
	.devices_in_container = 3, .devices_in_all = 9
#define IMAGE                                                                                      \
	.uid = 1000, .gids = gids, .nr_gids = 2, .target = TARGET_FILE, .read_only = true,         \
	.size_bytes = GIB, .backing = "/srv/images/a.img", .nr_queues = 1, .depth = 32

#pragma GCC diagnostic ignored "-Woverride-init"
#ifdef __clang__
#pragma clang diagnostic ignored "-Winitializer-overrides"
#endif

static const struct {
	const char *name;
	struct policy_claim claim;
	const char *rule;   /* that allows it, or NULL */
	const char *reason; /* when refused */
} cases[] = {
	{ "all limits just reached are allowed", { SCRATCH }, "scratch" },
	{ "a read-only claim fits access rw", { SCRATCH, .read_only = true }, "scratch" },
	{ "another uid is not named", { SCRATCH, .uid = 4711 }, NULL, "no rule names uid 4711" },
	{ "uid 0 has no rights beyond its rules",
	  { SCRATCH, .uid = 0 },
	  NULL,
	  "rule \"host\": it is for devices of the host, not of containers" },
	{ "a container rule gives no host device",
	  { SCRATCH, .host = true },
	  NULL,
	  "rule \"scratch\": it is for devices of containers, not of the host" },
	{ "a target that is not in the list",
	  { SCRATCH, .target = TARGET_NULL },
	  NULL,
	  "rule \"scratch\": target null is not in its list" },
	{ "one byte over the size",
	  { SCRATCH, .size_bytes = GIB + 1 },
	  NULL,
	  "rule \"scratch\": size 1073741825 is over its 1G" },
	{ "twice the size",
	  { SCRATCH, .size_bytes = 2 * GIB },
	  NULL,
	  "rule \"scratch\": size 2G is over its 1G" },
	{ "the largest size there is",
	  { SCRATCH, .size_bytes = UINT64_MAX },
	  NULL,
	  "rule \"scratch\": size 18446744073709551615 is over its 1G" },
	{ "one queue too many",
	  { SCRATCH, .nr_queues = 3 },
	  NULL,
	  "rule \"scratch\": 3 queues are over its 2" },
	{ "one tag too deep",
	  { SCRATCH, .depth = 33 },
	  NULL,
	  "rule \"scratch\": depth 33 is over its 32" },
	{ "one device too many in the container",
	  { SCRATCH, .devices_in_container = 4 },
	  NULL,
	  "rule \"scratch\": the container has 4 devices already, of its 4" },
	{ "one device too many in all",
	  { SCRATCH, .devices_in_all = 10 },
	  NULL,
	  "rule \"scratch\": there are 10 devices already, of its 10" },
	{ "of two faults the first in order is named",
	  { SCRATCH, .size_bytes = 2 * GIB, .depth = 33 },
	  NULL,
	  "rule \"scratch\": size 2G is over its 1G" },

	{ "a supplementary group is a principal", { IMAGE }, "images" },
	{ "without the group nobody is named",
	  { IMAGE, .nr_gids = 1 },
	  NULL,
	  "no rule names uid 1000" },
	{ "a uid equal to a rule's gid is not the group",
	  { IMAGE, .uid = 50, .nr_gids = 0 },
	  NULL,
	  "no rule names uid 50" },
	{ "access ro gives no writable device",
	  { IMAGE, .read_only = false },
	  NULL,
	  "rule \"images\": access rw is asked for, and it gives ro" },
	{ "deep below the directory", { IMAGE, .backing = "/srv/images/a/b/c.img" }, "images" },
	{ "exactly the file", { IMAGE, .backing = "/srv/one.img" }, "images" },
	{ "the directory itself is not below itself",
	  { IMAGE, .backing = "/srv/images/" },
	  NULL,
	  "rule \"images\": backing /srv/images/ is not in its list" },
	{ "nor without its slash",
	  { IMAGE, .backing = "/srv/images" },
	  NULL,
	  "rule \"images\": backing /srv/images is not in its list" },
	{ "a component that only begins the same",
	  { IMAGE, .backing = "/srv/images2/a.img" },
	  NULL,
	  "rule \"images\": backing /srv/images2/a.img is not in its list" },
	{ "a name that only begins like the file",
	  { IMAGE, .backing = "/srv/one.img2" },
	  NULL,
	  "rule \"images\": backing /srv/one.img2 is not in its list" },
	{ "nothing is below a file",
	  { IMAGE, .backing = "/srv/one.img/x" },
	  NULL,
	  "rule \"images\": backing /srv/one.img/x is not in its list" },
	{ "a way out by dots",
	  { IMAGE, .backing = "/srv/images/../x" },
	  NULL,
	  "rule \"images\": backing /srv/images/../x is not in its list" },
	{ "a relative path",
	  { IMAGE, .backing = "srv/images/a.img" },
	  NULL,
	  "rule \"images\": backing srv/images/a.img is not in its list" },
	{ "an empty path",
	  { IMAGE, .backing = "" },
	  NULL,
	  "rule \"images\": backing  is not in its list" },
	{ "what a terminal would act on is not repeated",
	  { IMAGE, .backing = "/srv/\033[2J\xc3\xa9" },
	  NULL,
	  "rule \"images\": backing /srv/?[2J?? is not in its list" },

	{ "the host rule gives root a host device",
	  { SCRATCH, .uid = 0, .host = true, .devices_in_container = 0 },
	  "host" },
	{ "a host device has no container to count in",
	  { SCRATCH, .uid = 0, .host = true, .devices_in_container = 1000 },
	  "host" },

	{ "an unknown target", { SCRATCH, .target = TARGET_END }, NULL, "the target is unknown" },
	{ "no target", { SCRATCH, .target = TARGET_NONE }, NULL, "the target is unknown" },
	{ "no size", { SCRATCH, .size_bytes = 0 }, NULL, "the size is unknown" },
	{ "no queues", { SCRATCH, .nr_queues = 0 }, NULL, "the number of queues is unknown" },
	{ "no depth", { SCRATCH, .depth = 0 }, NULL, "the depth is unknown" },
	{ "target file without a backing file",
	  { IMAGE, .backing = NULL },
	  NULL,
	  "the path of the backing file is unknown" },
	{ "target memory with a backing file",
	  { SCRATCH, .backing = "/srv/images/a.img" },
	  NULL,
	  "this target has no backing file" },
};

static void test_claims_are_decided_as_the_table_says(void **state)
{
	auto_policy struct policy *p =
		policy_of(POLICY_WITH(RULE_SCRATCH "," RULE_IMAGES "," RULE_HOST));
	struct policy_verdict v;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(&v, 0xff, sizeof(v));
		policy_decide(p, &cases[i].claim, &v);
		if (v.allowed != !!cases[i].rule)
			fail_msg("%s: %s", cases[i].name, v.allowed ? v.rule : v.reason);
		if (strcmp(v.rule, cases[i].rule ? cases[i].rule : "") ||
		    strcmp(v.reason, cases[i].rule ? "" : cases[i].reason))
			fail_msg("%s: rule \"%s\", %s", cases[i].name, v.rule, v.reason);
	}
}

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
		cmocka_unit_test(test_claims_are_decided_as_the_table_says),
		cmocka_unit_test(test_the_first_rule_that_allows_decides),
		cmocka_unit_test(test_the_nearest_rule_explains_a_refusal),
		cmocka_unit_test(test_of_two_rules_as_near_the_first_explains),
		cmocka_unit_test(test_no_rules_allow_nothing),
		cmocka_unit_test(test_a_root_directory_covers_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
