/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks, for whose container, and what they may do. */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "targets/catalog.h"
#include "tests/unit/policy_case.h"

static const struct policy_case cases[] = {
	{ "another uid is not named", { SCRATCH, .uid = 4711 }, NULL, "no rule names uid 4711" },
	{ "uid 0 has no rights beyond its rules",
	  { SCRATCH, .uid = 0 },
	  NULL,
	  "rule \"host\": it is for devices of the host, not of containers" },
	{ "a container rule gives no host device",
	  { SCRATCH, .host = true },
	  NULL,
	  "rule \"scratch\": it is for devices of containers, not of the host" },
	{ "a supplementary group is a principal", { IMAGE }, "images" },
	{ "without the group nobody is named",
	  { IMAGE, .nr_gids = 1 },
	  NULL,
	  "no rule names uid 1000" },
	{ "a uid equal to a rule's gid is not the group",
	  { IMAGE, .uid = 50, .nr_gids = 0 },
	  NULL,
	  "no rule names uid 50" },
	{ "a volume for whom all of the principal holds", { VOLUME }, "volumes" },
	{ "the uid alone is not the principal",
	  { VOLUME, .nr_gids = 1 },
	  NULL,
	  "no rule names uid 2000" },
	{ "the group alone is not the principal",
	  { VOLUME, .uid = 2001 },
	  NULL,
	  "no rule names uid 2001" },
	{ "a container elsewhere",
	  { VOLUME, .cgroup = "/ci.slice/x-7.scope" },
	  NULL,
	  "rule \"volumes\": it is for cgroup /ci.slice/job-*.scope, and the container's is "
	  "/ci.slice/x-7.scope" },
	{ "a * does not cross a /",
	  { VOLUME, .cgroup = "/ci.slice/job-7/a.scope" },
	  NULL,
	  "rule \"volumes\": it is for cgroup /ci.slice/job-*.scope, and the container's is "
	  "/ci.slice/job-7/a.scope" },
	{ "a cgroup below one that is named itself",
	  { VOLUME, .cgroup = "/ci.slice/job-7.scope/a" },
	  NULL,
	  "rule \"volumes\": it is for cgroup /ci.slice/job-*.scope, and the container's is "
	  "/ci.slice/job-7.scope/a" },
	{ "a cgroup with dots",
	  { VOLUME, .cgroup = "/ci.slice/../job-7.scope" },
	  NULL,
	  "rule \"volumes\": it is for cgroup /ci.slice/job-*.scope, and the container's is "
	  "/ci.slice/../job-7.scope" },
	{ "a container without a cgroup of its own",
	  { VOLUME, .cgroup = NULL },
	  NULL,
	  "rule \"volumes\": it is for cgroup /ci.slice/job-*.scope, and the container's is "
	  "unknown" },
	{ "a container of somebody else",
	  { VOLUME, .owner_uid = 0 },
	  NULL,
	  "rule \"volumes\": it is for containers of uid 3000, and this is one of uid 0" },
	{ "a principal in a cgroup gives no host device",
	  { VOLUME, .host = true },
	  NULL,
	  "rule \"volumes\": it is for devices of containers, not of the host" },
	{ "an operator in the slice", { OPERATED }, "operator" },
	{ "an operator elsewhere",
	  { OPERATED, .cgroup = "/ops.slice" },
	  NULL,
	  "rule \"operator\": it is for cgroup /ops.slice/, and the container's is /ops.slice" },
	{ "a resize that the rule may", { VOLUME, .act = POLICY_RESIZE }, "volumes" },
	{ "a snapshot that the rule may not",
	  { VOLUME, .act = POLICY_SNAPSHOT },
	  NULL,
	  "rule \"volumes\": snapshot is not in what it may" },
	{ "a delete that the rule may not",
	  { VOLUME, .act = POLICY_DELETE },
	  NULL,
	  "rule \"volumes\": delete is not in what it may" },
	{ "a rule that says nothing may attach only",
	  { SCRATCH, .act = POLICY_RESIZE },
	  NULL,
	  "rule \"scratch\": resize is not in what it may" },
	{ "a delete of a rule that may nothing else", { DELETED }, "delete" },
	{ "an attach of a rule that may delete",
	  { DELETED, .act = POLICY_ATTACH },
	  NULL,
	  "rule \"delete\": attach is not in what it may" },
	{ "a create of a volume, whose file is the store's", { MADE }, "store" },
	{ "a mount that the rule may not",
	  { SCRATCH, .act = POLICY_MOUNT, .mount_path = "/mnt/ci/a", .mount_filesystem = "ext4" },
	  NULL,
	  "rule \"scratch\": mount is not in what it may" },
};

static void test_who_may_do_what_is_as_the_table_says(void **state)
{
	static_assert(ARRAY_SIZE(cases) >= 25, "the table shrank");
	policy_case_check(cases, ARRAY_SIZE(cases));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(
		test_who_may_do_what_is_as_the_table_says) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
