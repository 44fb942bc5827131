/* SPDX-License-Identifier: Apache-2.0 */
/* Claims that say too little, or what does not go together. */
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
	{ "no act", { SCRATCH, .act = POLICY_ACT_END }, NULL, "what is to be done is unknown" },
	{ "a negative act",
	  { SCRATCH, .act = (enum policy_act) - 1 },
	  NULL,
	  "what is to be done is unknown" },
	{ "a mount nowhere",
	  { VOLUME, .act = POLICY_MOUNT, .mount_path = "/mnt/ci/a", .mount_filesystem = "ext4",
	    .mount_path = NULL },
	  NULL,
	  "the place to mount it is unknown" },
	{ "a mount of no filesystem",
	  { VOLUME, .act = POLICY_MOUNT, .mount_path = "/mnt/ci/a", .mount_filesystem = "ext4",
	    .mount_filesystem = NULL },
	  NULL,
	  "the filesystem to mount is unknown" },
	{ "an attach with a place to mount",
	  { VOLUME, .mount_path = "/mnt/ci/a" },
	  NULL,
	  "this mounts nothing" },
	{ "an attach with a filesystem to mount",
	  { VOLUME, .mount_filesystem = "ext4" },
	  NULL,
	  "this mounts nothing" },
	{ "target nbd without an address",
	  { SERVER, .address = NULL },
	  NULL,
	  "the address is unknown" },
	{ "target memory with an address",
	  { SCRATCH, .address = "tcp:10.1.2.3:10809" },
	  NULL,
	  "this target has no address" },
	{ "target nbd with a backing file",
	  { SERVER, .backing = "/srv/images/a.img" },
	  NULL,
	  "this target has no backing file" },
	{ "an unknown target", { SCRATCH, .target = TARGET_END }, NULL, "the target is unknown" },
	{ "no target", { SCRATCH, .target = TARGET_NONE }, NULL, "the target is unknown" },
	{ "no size", { SCRATCH, .size_bytes = 0 }, NULL, "the size is unknown" },
	{ "no queues", { SCRATCH, .nr_queues = 0 }, NULL, "the number of queues is unknown" },
	{ "no depth", { SCRATCH, .depth = 0 }, NULL, "the depth is unknown" },
	{ "target file without a backing file",
	  { IMAGE, .backing = NULL },
	  NULL,
	  "the path of the backing file is unknown" },
	{ "target cow without a base",
	  { OPERATED, .target = TARGET_COW, .backing = "/srv/ops/a" },
	  NULL,
	  "the path of the base is unknown" },
	{ "target file with a base",
	  { IMAGE, .base = "/srv/images/b.img" },
	  NULL,
	  "this target has no base" },
	{ "an image of no format",
	  { FORMATTED, .format = IMAGE_NONE },
	  NULL,
	  "the format is unknown" },
	{ "an image of a format past the last",
	  { FORMATTED, .format = IMAGE_END },
	  NULL,
	  "the format is unknown" },
	{ "a base of no format",
	  { FORMATTED, .base = "/srv/bases/a" },
	  NULL,
	  "an image's base and its format go together" },
	{ "a format of no base",
	  { FORMATTED, .base_format = IMAGE_RAW },
	  NULL,
	  "an image's base and its format go together" },
	{ "target file with a format",
	  { IMAGE, .format = IMAGE_RAW },
	  NULL,
	  "this target has no format" },
	{ "target file with a format of a base",
	  { IMAGE, .base_format = IMAGE_RAW },
	  NULL,
	  "this target has no format" },
	{ "target memory with a backing file",
	  { SCRATCH, .backing = "/srv/images/a.img" },
	  NULL,
	  "this target has no backing file" },
};

static void test_half_a_claim_is_no_claim(void **state)
{
	static_assert(ARRAY_SIZE(cases) >= 15, "the table shrank");
	policy_case_check(cases, ARRAY_SIZE(cases));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_half_a_claim_is_no_claim) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
