/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
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
#include "tests/unit/policy_of.h"

#define RULE_SCRATCH                                                                               \
	"{ \"id\": \"scratch\", \"principal\": { \"user\": \"ublk-oci-hook\" },"                   \
	"  \"targets\": [\"memory\"], \"max_size\": \"1G\","                                       \
	"  \"max_devices_per_container\": 4, \"max_devices\": 10,"                                 \
	"  \"max_queues\": 2, \"max_depth\": 32 }"

#define RULE_IMAGES                                                                                \
	"{ \"id\": \"images\", \"principal\": { \"gid\": 50 },"                                    \
	"  \"targets\": [\"file\"], \"backing\": [\"/srv/images/\", \"/srv/one.img\"],"            \
	"  \"access\": \"ro\", \"max_size\": \"8G\", \"max_devices_per_container\": 1 }"

#define RULE_ANY                                                                                   \
	"{ \"id\": \"any\", \"principal\": { \"any\": true }, \"targets\": [\"null\"],"            \
	"  \"max_size\": 4096, \"max_devices_per_container\": 1 }"

/* Volumes of a pool and servers of a network, for containers of one slice. */
#define RULE_VOLUMES                                                                               \
	"{ \"id\": \"volumes\", \"principal\": { \"uid\": 2000, \"group\": \"ublk-oci-hook\","     \
	"    \"cgroup\": \"/ci.slice/job-*.scope\", \"owner_uid\": 3000 },"                        \
	"  \"may\": [\"attach\", \"mount\", \"resize\"], \"targets\": [\"nbd\", \"memory\"],"      \
	"  \"nbd\": [\"tcp:10.1.0.0/16:10809\", \"unix:/run/nbd/\"], \"pools\": [\"fast\"],"       \
	"  \"zero_copy\": true, \"discard\": false, \"max_size\": \"2G\","                         \
	"  \"max_bytes_per_container\": \"3G\", \"max_bytes\": \"8G\","                            \
	"  \"mount\": { \"under\": [\"/mnt/ci/\"], \"filesystems\": [\"ext4\"],"                   \
	"    \"trust_raw_writers\": true },"                                                       \
	"  \"io\": { \"read_bytes\": \"1M\", \"write_ops\": 100 }, "                               \
	"\"max_devices_per_container\": 9 }"

/* Files of whoever asks; and only to delete volumes. */
#define RULE_OWN                                                                                   \
	"{ \"id\": \"own\", \"principal\": { \"gid\": 60 }, \"targets\": [\"file\"],"              \
	"  \"backing\": [\"/home/\"], \"max_size\": \"1G\", \"max_devices_per_container\": 1 }"

/* Files that are volumes, and have no path that a caller would know. */
#define RULE_STORE                                                                                 \
	"{ \"id\": \"store\", \"principal\": { \"uid\": 63 }, \"may\": [\"create\"],"              \
	"  \"targets\": [\"file\"], \"pools\": [\"fast\"], \"max_size\": \"1G\","                  \
	"  \"max_bytes\": \"3G\", \"max_devices\": 2, \"max_devices_per_container\": 1 }"

#define RULE_DELETE                                                                                \
	"{ \"id\": \"delete\", \"principal\": { \"uid\": 61 }, \"may\": [\"delete\"],"             \
	"  \"targets\": [\"memory\"], \"pools\": [\"fast\", \"slow\"], \"max_size\": \"1G\","      \
	"  \"max_devices_per_container\": 1 }"

/* Anybody's files, for containers of one slice. */
#define RULE_OPERATOR                                                                              \
	"{ \"id\": \"operator\", \"principal\": { \"gid\": 62, \"cgroup\": \"/ops.slice/\" },"     \
	"  \"targets\": [\"file\", \"null\", \"cow\"], \"backing\": [\"/srv/ops/\"], "             \
	"\"backing_owner\": "                                                                      \
	"\"any\","                                                                                 \
	"  \"max_size\": \"1G\", \"max_devices_per_container\": 1 }"

static const uint32_t gids[] = { 1000, 50 };
static const uint32_t volume_gids[] = { 2000, 970 };
static const uint32_t own_gids[] = { 60 };
static const uint32_t operator_gids[] = { 62 };

/* What the scratch and the images rule just allow; every row changes one thing. */
#define SCRATCH                                                                                    \
	.uid = 970, .target = TARGET_MEMORY, .size_bytes = GIB, .nr_queues = 2, .depth = 32,       \
	.devices_in_container = 3, .devices_in_all = 9
#define IMAGE                                                                                      \
	.uid = 1000, .gids = gids, .nr_gids = 2, .target = TARGET_FILE, .read_only = true,         \
	.size_bytes = GIB, .backing = "/srv/images/a.img", .backing_uid = 1000, .nr_queues = 1,    \
	.depth = 32
#define VOLUME                                                                                     \
	.uid = 2000, .gids = volume_gids, .nr_gids = 2, .cgroup = "/ci.slice/job-7.scope",         \
	.owner_uid = 3000, .target = TARGET_MEMORY, .pool = "fast", .size_bytes = GIB,             \
	.nr_queues = 1, .depth = 1
#define SERVER VOLUME, .pool = NULL, .target = TARGET_NBD, .address = "tcp:10.1.2.3:10809"
#define OWN                                                                                        \
	.uid = 1000, .gids = own_gids, .nr_gids = 1, .target = TARGET_FILE, .size_bytes = 4096,    \
	.backing = "/home/a.img", .backing_uid = 1000, .nr_queues = 1, .depth = 1
#define DELETED                                                                                    \
	.act = POLICY_DELETE, .uid = 61, .target = TARGET_MEMORY, .pool = "slow",                  \
	.size_bytes = GIB, .nr_queues = 1, .depth = 1
#define MADE                                                                                       \
	.act = POLICY_CREATE, .uid = 63, .ahead = true, .target = TARGET_FILE, .pool = "fast",     \
	.size_bytes = GIB, .nr_queues = 1, .depth = 1
#define OPERATED                                                                                   \
	.uid = 77, .gids = operator_gids, .nr_gids = 1, .cgroup = "/ops.slice/a",                  \
	.target = TARGET_NULL, .size_bytes = GIB, .nr_queues = 1, .depth = 1

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
	{ "nor is the delete character",
	  { IMAGE, .backing = "/srv/\177" },
	  NULL,
	  "rule \"images\": backing /srv/? is not in its list" },
	{ "a long path is cut short",
	  { IMAGE,
	    .backing = "/srv/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
	  NULL,
	  "rule \"images\": backing "
	  "/srv/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa... "
	  "is not in its list" },
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
	{ "a create in another pool",
	  { MADE, .pool = "slow" },
	  NULL,
	  "rule \"store\": pool slow is not in its list" },
	{ "a create where there are too many",
	  { MADE, .devices_in_all = 2 },
	  NULL,
	  "rule \"store\": there are 2 devices already, of its 2" },
	{ "a create where they are too large together",
	  { MADE, .bytes_in_all = 3 * GIB },
	  NULL,
	  "rule \"store\": all devices have 3G already, and 1G more are over its 3G" },
	{ "a file that is no volume, and a rule for volumes",
	  { MADE, .pool = NULL, .act = POLICY_CREATE, .backing = "/srv/one.img" },
	  NULL,
	  "rule \"store\": backing /srv/one.img is not in its list" },
	{ "another pool",
	  { VOLUME, .pool = "slow" },
	  NULL,
	  "rule \"volumes\": pool slow is not in its list" },
	{ "a pool that only begins the same",
	  { VOLUME, .pool = "fast2" },
	  NULL,
	  "rule \"volumes\": pool fast2 is not in its list" },
	{ "a pool, and a rule without pools",
	  { SCRATCH, .pool = "fast" },
	  NULL,
	  "rule \"scratch\": pool fast is not in its list" },
	{ "a rule with pools gives other devices too", { VOLUME, .pool = NULL }, "volumes" },
	{ "a server in the network", { SERVER }, "volumes" },
	{ "a server outside",
	  { SERVER, .address = "tcp:10.2.2.3:10809" },
	  NULL,
	  "rule \"volumes\": address tcp:10.2.2.3:10809 is not in its list" },
	{ "another port",
	  { SERVER, .address = "tcp:10.1.2.3:22" },
	  NULL,
	  "rule \"volumes\": address tcp:10.1.2.3:22 is not in its list" },
	{ "a name, as networks hold no names",
	  { SERVER, .address = "tcp:localhost:10809" },
	  NULL,
	  "rule \"volumes\": address tcp:localhost:10809 is not in its list" },
	{ "a socket below the directory", { SERVER, .address = "unix:/run/nbd/a" }, "volumes" },
	{ "a socket elsewhere",
	  { SERVER, .address = "unix:/run/docker.sock" },
	  NULL,
	  "rule \"volumes\": address unix:/run/docker.sock is not in its list" },
	{ "an address that is none",
	  { SERVER, .address = "10.1.2.3" },
	  NULL,
	  "rule \"volumes\": address 10.1.2.3 is not in its list" },
	{ "zero copy where it is given", { VOLUME, .zero_copy = true }, "volumes" },
	{ "zero copy where it is not",
	  { SCRATCH, .zero_copy = true },
	  NULL,
	  "rule \"scratch\": zero copy is asked for, and it does not give it" },
	{ "a mount below the directory",
	  { VOLUME, .act = POLICY_MOUNT, .mount_path = "/mnt/ci/a", .mount_filesystem = "ext4" },
	  "volumes" },
	{ "a mount on the directory itself",
	  { VOLUME, .act = POLICY_MOUNT, .mount_path = "/mnt/ci/a", .mount_filesystem = "ext4",
	    .mount_path = "/mnt/ci/" },
	  NULL,
	  "rule \"volumes\": mount path /mnt/ci/ is not in its list" },
	{ "a mount on the directory, without its slash",
	  { VOLUME, .act = POLICY_MOUNT, .mount_path = "/mnt/ci/a", .mount_filesystem = "ext4",
	    .mount_path = "/mnt/ci" },
	  NULL,
	  "rule \"volumes\": mount path /mnt/ci is not in its list" },
	{ "a mount beside it",
	  { VOLUME, .act = POLICY_MOUNT, .mount_path = "/mnt/ci/a", .mount_filesystem = "ext4",
	    .mount_path = "/mnt/ci2/a" },
	  NULL,
	  "rule \"volumes\": mount path /mnt/ci2/a is not in its list" },
	{ "a mount out of it by dots",
	  { VOLUME, .act = POLICY_MOUNT, .mount_path = "/mnt/ci/a", .mount_filesystem = "ext4",
	    .mount_path = "/mnt/ci/../../etc" },
	  NULL,
	  "rule \"volumes\": mount path /mnt/ci/../../etc is not in its list" },
	{ "another filesystem",
	  { VOLUME, .act = POLICY_MOUNT, .mount_path = "/mnt/ci/a", .mount_filesystem = "ext4",
	    .mount_filesystem = "ext2" },
	  NULL,
	  "rule \"volumes\": mount filesystem ext2 is not in its list" },
	{ "a mount that the rule may not",
	  { SCRATCH, .act = POLICY_MOUNT, .mount_path = "/mnt/ci/a", .mount_filesystem = "ext4" },
	  NULL,
	  "rule \"scratch\": mount is not in what it may" },
	{ "one's own file", { OWN }, "own" },
	{ "somebody else's file",
	  { OWN, .backing_uid = 1001 },
	  NULL,
	  "rule \"own\": backing /home/a.img belongs to uid 1001, not to uid 1000 who asks" },
	{ "a file of root",
	  { OWN, .backing_uid = 0 },
	  NULL,
	  "rule \"own\": backing /home/a.img belongs to uid 0, not to uid 1000 who asks" },
	{ "root takes anybody's file", { OWN, .uid = 0, .backing_uid = 1001 }, "own" },
	{ "somebody else's file outside: the path is named first",
	  { OWN, .backing = "/etc/shadow", .backing_uid = 0 },
	  NULL,
	  "rule \"own\": backing /etc/shadow is not in its list" },
	{ "anybody's file where the rule says so",
	  { OPERATED, .target = TARGET_FILE, .backing = "/srv/ops/a", .backing_uid = 4711 },
	  "operator" },
	{ "a delta over a base, both where the rule says",
	  { OPERATED, .target = TARGET_COW, .backing = "/srv/ops/a", .base = "/srv/ops/b" },
	  "operator" },
	{ "a delta over a base elsewhere",
	  { OPERATED, .target = TARGET_COW, .backing = "/srv/ops/a", .base = "/srv/b" },
	  NULL,
	  "rule \"operator\": base /srv/b is not in its list" },
	{ "bytes up to the container's limit",
	  { VOLUME, .bytes_in_container = 2 * GIB },
	  "volumes" },
	{ "one byte more",
	  { VOLUME, .bytes_in_container = 2 * GIB + 1 },
	  NULL,
	  "rule \"volumes\": the container's devices have 2147483649 already, and 1G more are over "
	  "its 3G" },
	{ "more than the limit already",
	  { VOLUME, .bytes_in_container = 4 * GIB },
	  NULL,
	  "rule \"volumes\": the container's devices have 4G already, and 1G more are over its "
	  "3G" },
	{ "so many bytes that the sum wraps",
	  { VOLUME, .bytes_in_container = UINT64_MAX },
	  NULL,
	  "rule \"volumes\": the container's devices have 18446744073709551615 already, and 1G "
	  "more are over its 3G" },
	{ "bytes up to the limit of all", { VOLUME, .bytes_in_all = 7 * GIB }, "volumes" },
	{ "one byte more in all",
	  { VOLUME, .bytes_in_all = 7 * GIB + 1 },
	  NULL,
	  "rule \"volumes\": all devices have 7516192769 already, and 1G more are over its 8G" },
	{ "more than the limit of all already",
	  { VOLUME, .bytes_in_all = UINT64_MAX },
	  NULL,
	  "rule \"volumes\": all devices have 18446744073709551615 already, and 1G more are over "
	  "its 8G" },
	{ "no limit of bytes where none is written",
	  { SCRATCH, .bytes_in_container = UINT64_MAX, .bytes_in_all = UINT64_MAX },
	  "scratch" },
	{ "the host rule has no limit of bytes in a container",
	  { SCRATCH, .uid = 0, .host = true, .bytes_in_container = UINT64_MAX },
	  "host" },
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
	{ "target memory with a backing file",
	  { SCRATCH, .backing = "/srv/images/a.img" },
	  NULL,
	  "this target has no backing file" },
};

static void test_claims_are_decided_as_the_table_says(void **state)
{
	auto_policy struct policy *p = policy_of(
		POLICY_WITH(RULE_SCRATCH "," RULE_IMAGES "," RULE_HOST "," RULE_VOLUMES "," RULE_OWN
					 "," RULE_STORE "," RULE_DELETE "," RULE_OPERATOR));
	struct policy_verdict v;

	static_assert(ARRAY_SIZE(cases) >= 80, "the table shrank");

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
		cmocka_unit_test(test_claims_are_decided_as_the_table_says),
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
