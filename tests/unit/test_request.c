/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "driver/privileged/attach.h"
#include "driver/privileged/attach_check.h"
#include "driver/privileged/claim.h"
#include "driver/privileged/request.h"
#include "driver/wire/wire.h"
#include "targets/catalog.h"
#include "targets/image_format.h"

#define HEAD(type_, size_, nr_fds_)                                                                \
	{                                                                                          \
		WIRE_MAGIC, WIRE_VERSION, type_, size_, nr_fds_                                    \
	}

static const struct {
	const char *what;
	struct wire_head head;
	size_t size;
	unsigned int nr_fds;
	bool admitted;
	int version_refused;
} packets[] = {
	{ "an attach with two fds", HEAD(WIRE_ATTACH, sizeof(struct wire_attach), 2),
	  sizeof(struct wire_attach), 2, true, 0 },
	{ "an attach with three fds", HEAD(WIRE_ATTACH, sizeof(struct wire_attach), 3),
	  sizeof(struct wire_attach), 3, true, 0 },
	{ "an attach with four fds", HEAD(WIRE_ATTACH, sizeof(struct wire_attach), 4),
	  sizeof(struct wire_attach), 4, false, 0 },
	{ "an attach that announces fewer fds than came",
	  HEAD(WIRE_ATTACH, sizeof(struct wire_attach), 1), sizeof(struct wire_attach), 2, false,
	  0 },
	{ "an attach a byte too short", HEAD(WIRE_ATTACH, sizeof(struct wire_attach) - 1, 0),
	  sizeof(struct wire_attach) - 1, 0, false, 0 },
	{ "an attach a byte too long", HEAD(WIRE_ATTACH, sizeof(struct wire_attach) + 1, 0),
	  sizeof(struct wire_attach) + 1, 0, false, 0 },
	{ "an attach that understates its size",
	  HEAD(WIRE_ATTACH, sizeof(struct wire_attach) - 8, 0), sizeof(struct wire_attach), 0,
	  false, 0 },
	{ "a detach", HEAD(WIRE_DETACH, sizeof(struct wire_detach), 0), sizeof(struct wire_detach),
	  0, true, 0 },
	{ "a detach with an fd", HEAD(WIRE_DETACH, sizeof(struct wire_detach), 1),
	  sizeof(struct wire_detach), 1, false, 0 },
	{ "a detach too long", HEAD(WIRE_DETACH, sizeof(struct wire_detach) + 8, 0),
	  sizeof(struct wire_detach) + 8, 0, false, 0 },
	{ "a list", HEAD(WIRE_LIST, sizeof(struct wire_list), 0), sizeof(struct wire_list), 0, true,
	  0 },
	{ "a list too long", HEAD(WIRE_LIST, sizeof(struct wire_list) + 4, 0),
	  sizeof(struct wire_list) + 4, 0, false, 0 },
	{ "an inspect", HEAD(WIRE_INSPECT, sizeof(struct wire_inspect), 0),
	  sizeof(struct wire_inspect), 0, true, 0 },
	{ "an inspect too short", HEAD(WIRE_INSPECT, sizeof(struct wire_inspect) - 4, 0),
	  sizeof(struct wire_inspect) - 4, 0, false, 0 },
	{ "a reload", HEAD(WIRE_RELOAD, sizeof(struct wire_reload), 0), sizeof(struct wire_reload),
	  0, true, 0 },
	{ "a reload with an fd", HEAD(WIRE_RELOAD, sizeof(struct wire_reload), 1),
	  sizeof(struct wire_reload), 1, false, 0 },
	{ "a reload too long", HEAD(WIRE_RELOAD, sizeof(struct wire_reload) + 4, 0),
	  sizeof(struct wire_reload) + 4, 0, false, 0 },
	{ "an upgrade", HEAD(WIRE_UPGRADE, sizeof(struct wire_upgrade), 0),
	  sizeof(struct wire_upgrade), 0, true, 0 },
	{ "an upgrade with an fd", HEAD(WIRE_UPGRADE, sizeof(struct wire_upgrade), 1),
	  sizeof(struct wire_upgrade), 1, false, 0 },
	{ "a resize", HEAD(WIRE_RESIZE, sizeof(struct wire_resize), 0), sizeof(struct wire_resize),
	  0, true, 0 },
	{ "a resize with an fd", HEAD(WIRE_RESIZE, sizeof(struct wire_resize), 1),
	  sizeof(struct wire_resize), 1, false, 0 },
	{ "a question for snapshots", HEAD(WIRE_SNAPSHOTS, sizeof(struct wire_snapshots), 0),
	  sizeof(struct wire_snapshots), 0, true, 0 },
	{ "a question for snapshots with an fd",
	  HEAD(WIRE_SNAPSHOTS, sizeof(struct wire_snapshots), 1), sizeof(struct wire_snapshots), 1,
	  false, 0 },
	{ "a question for snapshots too short",
	  HEAD(WIRE_SNAPSHOTS, sizeof(struct wire_snapshots) - 8, 0),
	  sizeof(struct wire_snapshots) - 8, 0, false, 0 },
	{ "an upgrade too short", HEAD(WIRE_UPGRADE, sizeof(struct wire_upgrade) - 4, 0),
	  sizeof(struct wire_upgrade) - 4, 0, false, 0 },
	{ "a claim", HEAD(WIRE_CLAIM, sizeof(struct wire_claim), 1), sizeof(struct wire_claim), 1,
	  true, 0 },
	{ "a claim with two fds", HEAD(WIRE_CLAIM, sizeof(struct wire_claim), 2),
	  sizeof(struct wire_claim), 2, false, 0 },
	{ "a claim too short", HEAD(WIRE_CLAIM, sizeof(struct wire_claim) - 8, 1),
	  sizeof(struct wire_claim) - 8, 1, false, 0 },
	{ "a question for counters", HEAD(WIRE_STATS, sizeof(struct wire_stats), 0),
	  sizeof(struct wire_stats), 0, true, 0 },
	{ "a question for counters with an fd", HEAD(WIRE_STATS, sizeof(struct wire_stats), 1),
	  sizeof(struct wire_stats), 1, false, 0 },
	{ "a question for counters too short", HEAD(WIRE_STATS, sizeof(struct wire_stats) - 8, 0),
	  sizeof(struct wire_stats) - 8, 0, false, 0 },
	{ "a repair", HEAD(WIRE_REPAIR, sizeof(struct wire_repair), 0), sizeof(struct wire_repair),
	  0, true, 0 },
	{ "a repair with an fd", HEAD(WIRE_REPAIR, sizeof(struct wire_repair), 1),
	  sizeof(struct wire_repair), 1, false, 0 },
	{ "a repair too short", HEAD(WIRE_REPAIR, sizeof(struct wire_repair) - 8, 0),
	  sizeof(struct wire_repair) - 8, 0, false, 0 },
	{ "an answer", HEAD(WIRE_REPLY, sizeof(struct wire_reply), 0), sizeof(struct wire_reply), 0,
	  false, 0 },
	{ "type zero", HEAD(WIRE_NONE, sizeof(struct wire_head), 0), sizeof(struct wire_head), 0,
	  false, 0 },
	{ "half a head", HEAD(WIRE_LIST, 8, 0), 8, 0, false, 0 },
	{ "nothing", HEAD(WIRE_LIST, 0, 0), 0, 0, false, 0 },
	{ "another magic",
	  { 1, WIRE_VERSION, WIRE_LIST, sizeof(struct wire_list), 0 },
	  sizeof(struct wire_list),
	  0,
	  false,
	  0 },
	{ "another version",
	  { WIRE_MAGIC, WIRE_VERSION + 1, WIRE_LIST, sizeof(struct wire_list), 0 },
	  sizeof(struct wire_list),
	  0,
	  false,
	  1 },
};

static void test_only_exact_packets_are_admitted(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(packets); i++) {
		unsigned char bytes[1024] = { 0 };
		const struct request *request;
		int version_refused = -1;

		memcpy(bytes, &packets[i].head, sizeof(packets[i].head));
		request =
			request_admit(bytes, packets[i].size, packets[i].nr_fds, &version_refused);
		if ((request != NULL) != packets[i].admitted ||
		    version_refused != packets[i].version_refused)
			fail_msg("%s", packets[i].what);
	}
}

static struct wire_attach good_attach(void)
{
	return (struct wire_attach){
		.head = HEAD(WIRE_ATTACH, sizeof(struct wire_attach), 1),
		.target = TARGET_MEMORY,
		.size_bytes = 1 << 20,
		.mode = 0660,
		.container = "c1",
		.engine = "crun",
		.path = "/dev/data",
	};
}

static void spoil_target_zero(struct wire_attach *a)
{
	a->target = 0;
}
static void spoil_target_unknown(struct wire_attach *a)
{
	a->target = TARGET_END;
}
static void spoil_target_by_address(struct wire_attach *a)
{
	a->target = TARGET_NBD;
}
static void spoil_flag(struct wire_attach *a)
{
	a->flags = 1u << 31;
}
static void spoil_filesystem_of_memory(struct wire_attach *a)
{
	a->filesystem = FILESYSTEM_EXT4;
	strcpy(a->path, "/data");
}
static void spoil_filesystem_unknown(struct wire_attach *a)
{
	spoil_filesystem_of_memory(a);
	a->target = TARGET_FILE;
	a->filesystem = FILESYSTEM_END;
}
static void spoil_mount_up(struct wire_attach *a)
{
	a->target = TARGET_FILE;
	a->filesystem = FILESYSTEM_EXT4;
	strcpy(a->path, "/data/../etc");
}
static void spoil_mount_root(struct wire_attach *a)
{
	spoil_mount_up(a);
	memset(a->path + 1, 0, sizeof(a->path) - 1);
}
static void spoil_mount_of_host(struct wire_attach *a)
{
	spoil_mount_up(a);
	memset(a->path, 0, sizeof(a->path));
	memset(a->container, 0, sizeof(a->container));
	a->flags = WIRE_HOST;
}
static void spoil_mount_up_of_host(struct wire_attach *a)
{
	spoil_mount_of_host(a);
	strcpy(a->path, "/data/../etc");
}
static void spoil_size_zero(struct wire_attach *a)
{
	a->size_bytes = 0;
}
static void spoil_size_odd(struct wire_attach *a)
{
	a->size_bytes = 1000;
}
static void spoil_size_huge(struct wire_attach *a)
{
	a->size_bytes = UINT64_C(1) << 63;
}
static void spoil_queues(struct wire_attach *a)
{
	a->nr_queues = 17;
}
static void spoil_depth(struct wire_attach *a)
{
	a->depth = 257;
}
static void spoil_mode(struct wire_attach *a)
{
	a->mode = 04755;
}
static void spoil_uid(struct wire_attach *a)
{
	a->uid = UINT32_MAX;
}
static void spoil_container(struct wire_attach *a)
{
	strcpy(a->container, "../c1");
}
static void spoil_container_empty(struct wire_attach *a)
{
	memset(a->container, 0, sizeof(a->container));
}
static void spoil_container_unended(struct wire_attach *a)
{
	memset(a->container, 'a', sizeof(a->container));
}
static void spoil_container_tail(struct wire_attach *a)
{
	a->container[sizeof(a->container) - 1] = 'x';
}
static void spoil_engine(struct wire_attach *a)
{
	strcpy(a->engine, "a b");
}
static void spoil_path_outside(struct wire_attach *a)
{
	strcpy(a->path, "/etc/data");
}
static void spoil_path_up(struct wire_attach *a)
{
	strcpy(a->path, "/dev/../etc/x");
}
static void spoil_path_dir(struct wire_attach *a)
{
	strcpy(a->path, "/dev/");
}
static void spoil_path_unended(struct wire_attach *a)
{
	memset(a->path + 5, 'a', sizeof(a->path) - 5);
}
static void spoil_host_with_path(struct wire_attach *a)
{
	a->flags = WIRE_HOST;
}

static const struct {
	const char *what;
	void (*spoil)(struct wire_attach *a);
	unsigned int nr_fds;
} spoiled[] = {
	{ "no fd for the container", NULL, 0 },
	{ "an fd more than the target takes", NULL, 2 },
	{ "target 0", spoil_target_zero, 1 },
	{ "a target past the last", spoil_target_unknown, 1 },
	{ "a target that is reached by an address", spoil_target_by_address, 1 },
	{ "an unknown flag", spoil_flag, 1 },
	{ "a file system of a target that has none", spoil_filesystem_of_memory, 1 },
	{ "a file system past the last", spoil_filesystem_unknown, 2 },
	{ "a mount path with ..", spoil_mount_up, 2 },
	{ "a mount on the root", spoil_mount_root, 2 },
	{ "a mount for the host without a directory", spoil_mount_of_host, 1 },
	{ "a mount for the host without a place", spoil_mount_of_host, 2 },
	{ "a mount for the host with ..", spoil_mount_up_of_host, 2 },
	{ "no size", spoil_size_zero, 1 },
	{ "a size that is no multiple of 512", spoil_size_odd, 1 },
	{ "a size past what a file can have", spoil_size_huge, 1 },
	{ "17 queues", spoil_queues, 1 },
	{ "depth 257", spoil_depth, 1 },
	{ "a set-uid mode", spoil_mode, 1 },
	{ "uid -1", spoil_uid, 1 },
	{ "a container ID that is a path", spoil_container, 1 },
	{ "no container ID", spoil_container_empty, 1 },
	{ "a container ID without end", spoil_container_unended, 1 },
	{ "bytes behind the container ID's end", spoil_container_tail, 1 },
	{ "an engine with a space", spoil_engine, 1 },
	{ "a path outside /dev", spoil_path_outside, 1 },
	{ "a path with ..", spoil_path_up, 1 },
	{ "a path that is /dev itself", spoil_path_dir, 1 },
	{ "a path without end", spoil_path_unended, 1 },
	{ "a host device with a path", spoil_host_with_path, 0 },
};

static void test_an_attach_is_checked_field_by_field(void **state)
{
	struct wire_attach ask = good_attach();
	struct err e;

	assert_int_equal(attach_check(&ask, 1, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(spoiled); i++) {
		ask = good_attach();
		if (spoiled[i].spoil)
			spoiled[i].spoil(&ask);
		if (attach_check(&ask, spoiled[i].nr_fds, &e) == 0)
			fail_msg("%s", spoiled[i].what);
	}
}

static void test_the_host_mounts_on_a_directory(void **state)
{
	struct wire_attach ask = good_attach();
	struct err e;

	memset(ask.container, 0, sizeof(ask.container));
	memset(ask.path, 0, sizeof(ask.path));
	ask.target = TARGET_FILE;
	ask.flags = WIRE_HOST;
	assert_int_equal(attach_check(&ask, 1, &e), 0);
	assert_true(attach_check(&ask, 2, &e) < 0);
	ask.filesystem = FILESYSTEM_EXT4;
	strcpy(ask.path, "/var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/a/mount");
	assert_int_equal(attach_check(&ask, 2, &e), 0);
	assert_true(attach_check(&ask, 1, &e) < 0);
	assert_true(attach_check(&ask, 3, &e) < 0);
	ask.flags = WIRE_AHEAD;
	assert_true(attach_check(&ask, 2, &e) < 0);
	ask.flags = WIRE_HOST;
	strcpy(ask.container, "c1");
	assert_true(attach_check(&ask, 2, &e) < 0);
}

static void test_an_image_has_a_format_and_perhaps_a_base(void **state)
{
	static const struct {
		enum target_id target;
		uint16_t format, base_format;
		unsigned int nr_files;
		bool ok;
	} rows[] = {
		{ TARGET_IMAGE, IMAGE_QCOW2, IMAGE_NONE, 1, true },
		{ TARGET_IMAGE, IMAGE_QCOW2, IMAGE_RAW, 2, true },
		{ TARGET_IMAGE, IMAGE_QCOW2, IMAGE_RAW, 1, false },
		{ TARGET_IMAGE, IMAGE_QCOW2, IMAGE_NONE, 2, false },
		{ TARGET_IMAGE, IMAGE_NONE, IMAGE_NONE, 1, false },
		{ TARGET_IMAGE, IMAGE_END, IMAGE_NONE, 1, false },
		{ TARGET_IMAGE, IMAGE_QCOW2, IMAGE_END, 2, false },
		{ TARGET_FILE, IMAGE_RAW, IMAGE_NONE, 1, false },
		{ TARGET_FILE, IMAGE_NONE, IMAGE_RAW, 1, false },
		{ TARGET_FILE, IMAGE_NONE, IMAGE_RAW, 2, false },
	};
	struct wire_attach ask = good_attach();
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ask.target = rows[i].target;
		ask.format = rows[i].format;
		ask.base_format = rows[i].base_format;
		if ((attach_check(&ask, 1 + rows[i].nr_files, &e) == 0) != rows[i].ok)
			fail_msg("row %zu", i);
	}
}

static struct wire_attach good_ahead(void)
{
	struct wire_attach a = good_attach();

	a.flags = WIRE_AHEAD;
	memset(a.container, 0, sizeof(a.container));
	return a;
}

static void test_a_device_made_ahead_has_a_name_and_no_container(void **state)
{
	static const char *const bad[] = { "/dev/a/b", "/dev/.a", "/dev/a.", "/dev/-a",
					   "/dev/a+b", "/dev/",	  "/srv/a",  "/dev/a:" };
	struct wire_attach ask = good_ahead();
	struct err e;

	assert_int_equal(attach_check(&ask, 0, &e), 0);
	assert_true(attach_check(&ask, 1, &e) < 0);
	ask.flags |= WIRE_HOST;
	assert_true(attach_check(&ask, 0, &e) < 0);
	ask = good_ahead();
	ask.flags |= WIRE_CLAIMED;
	assert_true(attach_check(&ask, 0, &e) < 0);
	ask = good_ahead();
	strcpy(ask.container, "c1");
	assert_true(attach_check(&ask, 0, &e) < 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ask = good_ahead();
		memset(ask.path, 0, sizeof(ask.path));
		strcpy(ask.path, bad[i]);
		if (attach_check(&ask, 0, &e) == 0)
			fail_msg("%s", bad[i]);
	}
	ask = good_ahead();
	memset(ask.path + strlen("/dev/"), 'x', TEXT_DEVICE_NAME_MAX);
	assert_int_equal(attach_check(&ask, 0, &e), 0);
	memset(ask.path + strlen("/dev/"), 'x', TEXT_DEVICE_NAME_MAX + 1);
	assert_true(attach_check(&ask, 0, &e) < 0);
}

static void test_a_claim_is_checked(void **state)
{
	const struct wire_claim good = {
		.head = HEAD(WIRE_CLAIM, sizeof(good), 1),
		.generation = 1,
		.container = "c1",
		.engine = "oci",
	};
	struct wire_claim ask = good;
	struct err e;

	assert_int_equal(claim_check(&ask, 1, &e), 0);
	assert_true(claim_check(&ask, 0, &e) < 0);
	ask.filesystem = FILESYSTEM_EXT4; /* in a container it mounts its own */
	assert_true(claim_check(&ask, 1, &e) < 0);
	ask = good;
	ask.flags = WIRE_READ_ONLY; /* its device is what it is */
	assert_true(claim_check(&ask, 1, &e) < 0);
	ask = good;
	memset(ask.container, 0, sizeof(ask.container));
	assert_true(claim_check(&ask, 1, &e) < 0);
	strcpy(ask.container, "../c1");
	assert_true(claim_check(&ask, 1, &e) < 0);
	memset(ask.container, 'a', sizeof(ask.container));
	assert_true(claim_check(&ask, 1, &e) < 0);
	ask = good;
	ask.engine[sizeof(ask.engine) - 1] = 'x';
	assert_true(claim_check(&ask, 1, &e) < 0);
	ask = good;
	strcpy(ask.engine, "a b");
	assert_true(claim_check(&ask, 1, &e) < 0);
	ask = good;
	strcpy(ask.path, "/dev/disk/a");
	assert_int_equal(claim_check(&ask, 1, &e), 0);
	strcpy(ask.path, "/dev/../a");
	assert_true(claim_check(&ask, 1, &e) < 0);
	strcpy(ask.path, "/etc/a");
	assert_true(claim_check(&ask, 1, &e) < 0);
	memset(ask.path, 'a', sizeof(ask.path));
	assert_true(claim_check(&ask, 1, &e) < 0);
	memset(ask.path, 0, sizeof(ask.path));
	ask.path[1] = 'a';
	assert_true(claim_check(&ask, 1, &e) < 0);
}

static void test_the_host_claims_what_it_mounts(void **state)
{
	const struct wire_claim good = {
		.head = HEAD(WIRE_CLAIM, sizeof(good), 1),
		.generation = 7,
		.filesystem = FILESYSTEM_XFS,
		.flags = WIRE_HOST,
		.path = "/srv/data",
	};
	struct wire_claim ask = good;
	struct err e;

	assert_int_equal(claim_check(&ask, 1, &e), 0);
	assert_true(claim_check(&ask, 0, &e) < 0);
	ask.filesystem = FILESYSTEM_END;
	assert_true(claim_check(&ask, 1, &e) < 0);
	ask.filesystem = FILESYSTEM_NONE; /* the device itself, on a file */
	assert_int_equal(claim_check(&ask, 1, &e), 0);
	ask.flags |= WIRE_READ_ONLY;
	assert_int_equal(claim_check(&ask, 1, &e), 0);
	ask.flags |= WIRE_AHEAD;
	assert_true(claim_check(&ask, 1, &e) < 0);
	ask = good;
	ask.flags = 0;
	assert_true(claim_check(&ask, 1, &e) < 0);
	ask = good;
	ask.pad = 1;
	assert_true(claim_check(&ask, 1, &e) < 0);
	ask = good;
	ask.container[1] = 'a';
	assert_true(claim_check(&ask, 1, &e) < 0);
	ask = good;
	strcpy(ask.engine, "crun");
	assert_true(claim_check(&ask, 1, &e) < 0);
	ask = good;
	memset(ask.path, 0, sizeof(ask.path));
	assert_true(claim_check(&ask, 1, &e) < 0);
	strcpy(ask.path, "/srv/../etc");
	assert_true(claim_check(&ask, 1, &e) < 0);
	memset(ask.path, 'a', sizeof(ask.path));
	assert_true(claim_check(&ask, 1, &e) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_device_made_ahead_has_a_name_and_no_container),
		cmocka_unit_test(test_a_claim_is_checked),
		cmocka_unit_test(test_the_host_claims_what_it_mounts),
		cmocka_unit_test(test_only_exact_packets_are_admitted),
		cmocka_unit_test(test_an_attach_is_checked_field_by_field),
		cmocka_unit_test(test_the_host_mounts_on_a_directory),
		cmocka_unit_test(test_an_image_has_a_format_and_perhaps_a_base),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
