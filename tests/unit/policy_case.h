/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Claims, and what is said of each. Tables of them are in the tests of what they are about; all
 * are decided by one policy, which has the rules below.
 */
#pragma once

#include "targets/image_format.h"
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

/* Files of whoever asks. */
#define RULE_OWN                                                                                   \
	"{ \"id\": \"own\", \"principal\": { \"gid\": 60 }, \"targets\": [\"file\"],"              \
	"  \"backing\": [\"/home/\"], \"max_size\": \"1G\", \"max_devices_per_container\": 1 }"

/* Files that are volumes, and have no path that a caller would know. */
#define RULE_STORE                                                                                 \
	"{ \"id\": \"store\", \"principal\": { \"uid\": 63 }, \"may\": [\"create\"],"              \
	"  \"targets\": [\"file\"], \"pools\": [\"fast\"], \"max_size\": \"1G\","                  \
	"  \"max_bytes\": \"3G\", \"max_devices\": 2, \"max_devices_per_container\": 1 }"

/* Images, and what they are over. */
#define RULE_FORMATS                                                                               \
	"{ \"id\": \"formats\", \"principal\": { \"uid\": 64 }, \"targets\": [\"image\"],"         \
	"  \"backing\": [\"/srv/vm/\"], \"backing_owner\": \"any\","                               \
	"  \"formats\": [\"qcow2\", \"raw\"], \"image_chain\": [\"/srv/bases/\"],"                 \
	"  \"max_size\": \"1G\", \"max_devices_per_container\": 1 }"

/* Only to delete volumes. */
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

extern const uint32_t policy_case_image_gids[2];
extern const uint32_t policy_case_volume_gids[2];
extern const uint32_t policy_case_own_gids[1];
extern const uint32_t policy_case_operator_gids[1];

/* What the scratch and the images rule just allow; every row changes one thing. */
#define SCRATCH                                                                                    \
	.uid = 970, .target = TARGET_MEMORY, .size_bytes = GIB, .nr_queues = 2, .depth = 32,       \
	.devices_in_container = 3, .devices_in_all = 9
#define IMAGE                                                                                      \
	.uid = 1000, .gids = policy_case_image_gids, .nr_gids = 2, .target = TARGET_FILE,          \
	.read_only = true, .size_bytes = GIB, .backing = "/srv/images/a.img", .backing_uid = 1000, \
	.nr_queues = 1, .depth = 32
#define VOLUME                                                                                     \
	.uid = 2000, .gids = policy_case_volume_gids, .nr_gids = 2,                                \
	.cgroup = "/ci.slice/job-7.scope", .owner_uid = 3000, .target = TARGET_MEMORY,             \
	.pool = "fast", .size_bytes = GIB, .nr_queues = 1, .depth = 1
#define SERVER VOLUME, .pool = NULL, .target = TARGET_NBD, .address = "tcp:10.1.2.3:10809"
#define OWN                                                                                        \
	.uid = 1000, .gids = policy_case_own_gids, .nr_gids = 1, .target = TARGET_FILE,            \
	.size_bytes = 4096, .backing = "/home/a.img", .backing_uid = 1000, .nr_queues = 1,         \
	.depth = 1
#define FORMATTED                                                                                  \
	.uid = 64, .target = TARGET_IMAGE, .size_bytes = GIB, .backing = "/srv/vm/a",              \
	.backing_uid = 5, .format = IMAGE_QCOW2, .nr_queues = 1, .depth = 1
#define DELETED                                                                                    \
	.act = POLICY_DELETE, .uid = 61, .target = TARGET_MEMORY, .pool = "slow",                  \
	.size_bytes = GIB, .nr_queues = 1, .depth = 1
#define MADE                                                                                       \
	.act = POLICY_CREATE, .uid = 63, .ahead = true, .target = TARGET_FILE, .pool = "fast",     \
	.size_bytes = GIB, .nr_queues = 1, .depth = 1
#define OPERATED                                                                                   \
	.uid = 77, .gids = policy_case_operator_gids, .nr_gids = 1, .cgroup = "/ops.slice/a",      \
	.target = TARGET_NULL, .size_bytes = GIB, .nr_queues = 1, .depth = 1

#pragma GCC diagnostic ignored "-Woverride-init"
#ifdef __clang__
#pragma clang diagnostic ignored "-Winitializer-overrides"
#endif

struct policy_case {
	const char *name;
	struct policy_claim claim;
	const char *rule;   /* that allows it, or NULL */
	const char *reason; /* when refused */
};

/* Each is decided as it says. */
void policy_case_check(const struct policy_case *cases, size_t nr);
