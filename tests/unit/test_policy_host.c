/* SPDX-License-Identifier: Apache-2.0 */
/* What the host may mount for itself, and where. */
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

#define RULES                                                                                      \
	"{ \"id\": \"devices\", \"principal\": { \"uid\": 0 }, \"host\": true,"                    \
	"  \"targets\": [\"file\"], \"backing\": [\"/srv/\"], \"max_size\": \"1G\" },"             \
	"{ \"id\": \"inside\", \"principal\": { \"uid\": 1 }, \"may\": [\"mount\"],"               \
	"  \"targets\": [\"file\"], \"backing\": [\"/srv/\"], \"max_size\": \"1G\","               \
	"  \"max_devices_per_container\": 4,"                                                      \
	"  \"mount\": { \"under\": [\"/pods/\"], \"filesystems\": [\"ext4\"] } },"                 \
	"{ \"id\": \"pods\", \"principal\": { \"uid\": 2 }, \"host\": true, \"may\": [\"mount\"]," \
	"  \"targets\": [\"file\"], \"backing\": [\"/srv/\"], \"backing_owner\": \"any\","         \
	"  \"max_size\": \"1G\","                                                                  \
	"  \"mount\": { \"under\": [\"/pods/\", \"/one\"], \"filesystems\": [\"ext4\"],"           \
	"    \"trust_raw_writers\": true } }"

#define MOUNT(who, place)                                                                          \
	{                                                                                          \
		.act = POLICY_MOUNT, .uid = (who), .host = true, .target = TARGET_FILE,            \
		.size_bytes = 4096, .backing = "/srv/a", .nr_queues = 1, .depth = 1,               \
		.mount_path = (place), .mount_filesystem = "ext4", .raw_writers = (who) != 0       \
	}

static const struct {
	struct policy_claim claim;
	const char *rule;
	const char *reason;
} rows[] = {
	{ MOUNT(2, "/pods/1/a"), "pods", "" },
	{ MOUNT(2, "/one"), "pods", "" },
	{ MOUNT(2, "/pods"), "", "rule \"pods\": mount path /pods is not in its list" },
	{ MOUNT(2, "/pods2/a"), "", "rule \"pods\": mount path /pods2/a is not in its list" },
	{ MOUNT(2, "/one/a"), "", "rule \"pods\": mount path /one/a is not in its list" },
	{ MOUNT(2, "/pods/../etc"), "",
	  "rule \"pods\": mount path /pods/../etc is not in its list" },
	/* Who says nothing of mounting mounts nothing, and who speaks of containers not here. */
	{ MOUNT(0, "/pods/1/a"), "", "rule \"devices\": mount is not in what it may" },
	{ MOUNT(1, "/pods/1/a"), "",
	  "rule \"inside\": it is for devices of containers, not of the host" },
};

static void test_the_host_mounts_where_a_rule_for_it_says(void **state)
{
	auto_policy struct policy *p = policy_of(POLICY_WITH(RULES));
	struct policy_verdict v;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		policy_decide(p, &rows[i].claim, &v);
		assert_string_equal(v.rule, rows[i].rule);
		assert_string_equal(v.reason, rows[i].reason);
	}
}

/* Nor does it give the device itself, or the same to a container. */
static void test_a_rule_to_mount_gives_nothing_else(void **state)
{
	auto_policy struct policy *p = policy_of(POLICY_WITH(RULES));
	struct policy_claim claim = MOUNT(2, NULL);
	struct policy_verdict v;

	claim.act = POLICY_ATTACH;
	claim.mount_filesystem = NULL;
	policy_decide(p, &claim, &v);
	assert_string_equal(v.reason, "rule \"pods\": attach is not in what it may");
	claim = rows[0].claim;
	claim.host = false;
	policy_decide(p, &claim, &v);
	assert_string_equal(v.reason,
			    "rule \"pods\": it is for devices of the host, not of containers");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_host_mounts_where_a_rule_for_it_says),
		cmocka_unit_test(test_a_rule_to_mount_gives_nothing_else),
	};

	return cmocka_run_group_tests_name("policy_host", tests, NULL, NULL);
}
