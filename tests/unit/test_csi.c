/* SPDX-License-Identifier: Apache-2.0 */
/* The CSI driver's calls, with a store in memory: what they ask for, and how they end. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <csi.pb-c.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/text.h"
#include "oci-hook/client.h"
#include "oci-hook/csi/ask.h"
#include "oci-hook/csi/controller.h"
#include "oci-hook/csi/identity.h"
#include "oci-hook/csi/ids.h"
#include "oci-hook/csi/node.h"
#include "oci-hook/csi/publish.h"
#include "oci-hook/csi/service.h"
#include "oci-hook/csi/snapshot.h"
#include "targets/catalog.h"
#include "tests/fake/store_fake.h"

#define MIB (INT64_C(1) << 20)
#define MODE(name) CSI__VOLUME_CAPABILITY__ACCESS_MODE__MODE__##name

static struct config config;

static int helper_waited_ms;	 /* for its last answer */
static const char *helper_claim; /* where device 3 is; NULL: nowhere */

int __wrap_client_list(struct client_devices *ret, int timeout_ms, struct err *e);
int __wrap_client_list(struct client_devices *ret, int timeout_ms, struct err *e)
{
	helper_waited_ms = timeout_ms;
	if (!helper_claim)
		return 0;
	ret->rows = calloc(1, sizeof(*ret->rows));
	assert_non_null(ret->rows);
	ret->nr = 1;
	ret->rows[0].dev_id = 3;
	ret->rows[0].flags = WIRE_CLAIMED | WIRE_HOST;
	strcpy(ret->rows[0].path, helper_claim);
	return 0;
}

int __wrap_client_detach(uint64_t generation, uint32_t flags, int timeout_ms,
			 struct wire_reply *ret, struct err *e);
int __wrap_client_detach(uint64_t generation, uint32_t flags, int timeout_ms,
			 struct wire_reply *ret, struct err *e)
{
	helper_claim = NULL;
	return 0;
}

static int begin(void **state)
{
	store_fake_begin();
	helper_claim = NULL;
	config = (struct config){ .node_id = "node-1", .online = true };
	return 0;
}

static struct call a_call(void)
{
	return (struct call){ .config = &config, .locks_fd = -1, .deadline_ms = INT64_MAX };
}

/* --- ids, codes, releases ----------------------------------------------------------------- */

static void test_a_name_has_one_id(void **state)
{
	static const struct {
		const char *name, *volume, *snapshot; /* NULL: hashed */
	} rows[] = {
		{ "pvc-0b9d8a7c-6e5f-4d3c-2b1a-0f9e8d7c6b5a",
		  "pvc-0b9d8a7c-6e5f-4d3c-2b1a-0f9e8d7c6b5a", NULL },
		{ "snapshot-1", NULL, "snapshot-1" },
		{ "csi-v-00112233445566778899aabbccddeeff", NULL, NULL },
		{ "csi-data", NULL, NULL },
		{ "a b", NULL, NULL },
		{ "../x", NULL, NULL },
		{ "-x", NULL, NULL },
	};
	char volume[IDS_SIZE], snapshot[IDS_SIZE], name[IDS_NAME_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(ids_of_volume(rows[i].name, volume), 0);
		assert_int_equal(ids_of_snapshot(rows[i].name, snapshot), 0);
		if (rows[i].volume)
			assert_string_equal(volume, rows[i].volume);
		else
			assert_memory_equal(volume, "csi-v-", 6);
		if (rows[i].snapshot)
			assert_string_equal(snapshot, rows[i].snapshot);
		else
			assert_memory_equal(snapshot, "csi-s-", 6);
		assert_true(text_device_name_ok(volume) && text_device_name_ok(snapshot));
		assert_true(ids_is_snapshot(snapshot) && !ids_is_snapshot(volume));
	}
	memset(name, 'x', sizeof(name));
	name[IDS_NAME_MAX + 1] = '\0';
	assert_int_equal(ids_of_volume(name, volume), -EINVAL);
	assert_int_equal(ids_of_volume("", volume), -EINVAL);
	name[IDS_NAME_MAX] = '\0';
	assert_int_equal(ids_of_volume(name, volume), 0);
	name[IDS_NAME_MAX - 1] = 'y';
	assert_int_equal(ids_of_volume(name, snapshot), 0);
	assert_string_not_equal(volume, snapshot);
}

/* SHA-256 of "abc", its first 16 bytes. */
static void test_the_hash_is_sha256(void **state)
{
	char id[IDS_SIZE];

	assert_int_equal(ids_of_volume("csi-", id), 0);
	assert_int_equal(strlen(id), strlen("csi-v-") + 32);
	assert_int_equal(ids_number("abc"), UINT64_C(0xeacf018fbf1678ba));
}

static void test_what_store_says_is_a_code(void **state)
{
	static const struct {
		int r;
		enum code code;
	} rows[] = {
		{ 0, CODE_OK },
		{ -EINVAL, CODE_INVALID_ARGUMENT },
		{ -ENOENT, CODE_NOT_FOUND },
		{ -EEXIST, CODE_ALREADY_EXISTS },
		{ -EPERM, CODE_PERMISSION_DENIED },
		{ -EBUSY, CODE_ABORTED },
		{ -ENOSPC, CODE_RESOURCE_EXHAUSTED },
		{ -EUSERS, CODE_RESOURCE_EXHAUSTED },
		{ -ERANGE, CODE_OUT_OF_RANGE },
		{ -ETIMEDOUT, CODE_DEADLINE_EXCEEDED },
		{ -ECANCELED, CODE_CANCELLED },
		{ -EAGAIN, CODE_UNAVAILABLE },
		{ -ECONNREFUSED, CODE_UNAVAILABLE },
		{ -ECONNRESET, CODE_UNAVAILABLE },
		{ -EROFS, CODE_FAILED_PRECONDITION },
		{ -EIO, CODE_INTERNAL },
		{ -ENOMEM, CODE_INTERNAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(code_of_errno(rows[i].r), rows[i].code);
}

static void test_which_kernels_grow_a_device(void **state)
{
	assert_true(identity_release_grows("7.3-amd64"));
	assert_true(identity_release_grows("6.16.0"));
	assert_true(identity_release_grows("10.0"));
	assert_false(identity_release_grows("6.15.9"));
	assert_false(identity_release_grows("6.12.48+deb13-amd64"));
	assert_false(identity_release_grows("5.20"));
	assert_false(identity_release_grows("next"));
}

/* --- volumes ------------------------------------------------------------------------------ */

/* What CreateVolume is asked; a field that is 0 or NULL is left out. */
struct asked {
	const char *name;
	int64_t required, limit;
	const char *filesystem; /* NULL: a block device */
	Csi__VolumeCapability__AccessMode__Mode mode;
	const char *snapshot, *volume;
	const char *key, *value;
	const char *node;
};

static enum code create(const struct asked *a, char id[IDS_SIZE], int64_t *ret_bytes)
{
	auto_call struct call c = a_call();
	Csi__CreateVolumeRequest *q = call_message(&c, &csi__create_volume_request__descriptor);
	Csi__CreateVolumeResponse *r = call_message(&c, &csi__create_volume_response__descriptor);
	Csi__VolumeCapability *cap = call_message(&c, &csi__volume_capability__descriptor);
	Csi__CapacityRange range = CSI__CAPACITY_RANGE__INIT;
	Csi__VolumeCapability__AccessMode mode = CSI__VOLUME_CAPABILITY__ACCESS_MODE__INIT;
	Csi__VolumeCapability__MountVolume mount = CSI__VOLUME_CAPABILITY__MOUNT_VOLUME__INIT;
	Csi__VolumeCapability__BlockVolume block = CSI__VOLUME_CAPABILITY__BLOCK_VOLUME__INIT;
	Csi__VolumeContentSource source = CSI__VOLUME_CONTENT_SOURCE__INIT;
	Csi__VolumeContentSource__SnapshotSource snapshot =
		CSI__VOLUME_CONTENT_SOURCE__SNAPSHOT_SOURCE__INIT;
	Csi__VolumeContentSource__VolumeSource volume =
		CSI__VOLUME_CONTENT_SOURCE__VOLUME_SOURCE__INIT;
	Csi__Pair parameter = CSI__PAIR__INIT, segment = CSI__PAIR__INIT,
		  *parameters[] = { &parameter }, *segments[] = { &segment };
	Csi__Topology place = CSI__TOPOLOGY__INIT, *places[] = { &place };
	Csi__TopologyRequirement topology = CSI__TOPOLOGY_REQUIREMENT__INIT;
	enum code code;

	q->name = (char *)(a->name ? a->name : "");
	range.required_bytes = a->required;
	range.limit_bytes = a->limit;
	if (a->required || a->limit)
		q->capacity_range = &range;
	mode.mode = a->mode ? a->mode : MODE(SINGLE_NODE_WRITER);
	cap->access_mode = &mode;
	cap->access_type_case = a->filesystem ? CSI__VOLUME_CAPABILITY__ACCESS_TYPE_MOUNT
					      : CSI__VOLUME_CAPABILITY__ACCESS_TYPE_BLOCK;
	if (a->filesystem) {
		mount.fs_type = (char *)a->filesystem;
		cap->mount = &mount;
	} else {
		cap->block = &block;
	}
	q->volume_capabilities = &cap;
	q->n_volume_capabilities = 1;
	if (a->snapshot) {
		snapshot.snapshot_id = (char *)a->snapshot;
		source.type_case = CSI__VOLUME_CONTENT_SOURCE__TYPE_SNAPSHOT;
		source.snapshot = &snapshot;
	} else if (a->volume) {
		volume.volume_id = (char *)a->volume;
		source.type_case = CSI__VOLUME_CONTENT_SOURCE__TYPE_VOLUME;
		source.volume = &volume;
	}
	if (a->snapshot || a->volume)
		q->volume_content_source = &source;
	if (a->key) {
		parameter.key = (char *)a->key;
		parameter.value = (char *)a->value;
		q->parameters = parameters;
		q->n_parameters = 1;
	}
	if (a->node) {
		segment.key = (char *)ASK_TOPOLOGY_KEY;
		segment.value = (char *)a->node;
		place.segments = segments;
		place.n_segments = 1;
		topology.requisite = places;
		topology.n_requisite = 1;
		q->accessibility_requirements = &topology;
	}
	code = controller_create(&c, q, r);
	if (code == CODE_OK && id)
		assert_int_equal(text_copy(id, IDS_SIZE, r->volume->volume_id), 0);
	if (code == CODE_OK && ret_bytes)
		*ret_bytes = r->volume->capacity_bytes;
	if (code != CODE_OK)
		assert_true(*c.e.text);
	return code;
}

#define created(...) create(&(struct asked){ __VA_ARGS__ }, NULL, NULL)

static void test_a_volume_is_created_once(void **state)
{
	char id[IDS_SIZE], again[IDS_SIZE];
	int64_t bytes = 0;
	const struct asked a = { "pvc-1", .required = 16 * MIB, .filesystem = "ext4" };

	assert_int_equal(create(&a, id, &bytes), CODE_OK);
	assert_string_equal(id, "pvc-1");
	assert_int_equal(bytes, 16 * MIB);
	assert_int_equal(create(&a, again, &bytes), CODE_OK);
	assert_string_equal(again, id);
	assert_int_equal(store_fake.changed, 1);
	assert_int_equal(store_fake.rows[0].filesystem, FILESYSTEM_EXT4);
	/* The same name for something else. */
	assert_int_equal(created("pvc-1", .required = 32 * MIB, .filesystem = "ext4"),
			 CODE_ALREADY_EXISTS);
	assert_int_equal(created("pvc-1", .limit = 8 * MIB, .filesystem = "ext4"),
			 CODE_ALREADY_EXISTS);
	assert_int_equal(created("pvc-1", .filesystem = "xfs"), CODE_ALREADY_EXISTS);
	assert_int_equal(created("pvc-1", .key = "pool", .value = "other"), CODE_ALREADY_EXISTS);
	assert_int_equal(created("pvc-1", .volume = "x"), CODE_ALREADY_EXISTS);
	assert_int_equal(created("pvc-1", .required = 8 * MIB, .limit = 32 * MIB, .filesystem = ""),
			 CODE_OK);
	assert_int_equal(store_fake.changed, 1);
}

static void test_sizes(void **state)
{
	static const struct {
		int64_t required, limit;
		const char *filesystem;
		enum code code;
		int64_t bytes;
	} rows[] = {
		{ 0, 0, "ext4", CODE_OK, 1024 * MIB },
		{ 0, 8 * MIB + 1, NULL, CODE_OK, 8 * MIB },
		{ 1, 0, NULL, CODE_OK, 4096 },
		{ 4097, 0, NULL, CODE_OK, 8192 },
		{ 4097, 8191, NULL, CODE_OUT_OF_RANGE, 0 },
		{ 16 * MIB, 16 * MIB, "ext4", CODE_OK, 16 * MIB },
		{ 16 * MIB, 0, "xfs", CODE_OK, 300 * MIB },
		{ 16 * MIB, 16 * MIB, "xfs", CODE_OUT_OF_RANGE, 0 },
		{ 16 * MIB, 8 * MIB, NULL, CODE_OUT_OF_RANGE, 0 },
		{ -1, 0, NULL, CODE_OUT_OF_RANGE, 0 },
		{ 0, -1, NULL, CODE_OUT_OF_RANGE, 0 },
		{ INT64_MAX, 0, NULL, CODE_OUT_OF_RANGE, 0 },
		{ 5 * 1024 * MIB, 0, NULL, CODE_RESOURCE_EXHAUSTED, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct asked a = { "v", .required = rows[i].required, .limit = rows[i].limit,
					 .filesystem = rows[i].filesystem };
		int64_t bytes = 0;

		store_fake_begin();
		assert_int_equal(create(&a, NULL, &bytes), rows[i].code);
		assert_int_equal(bytes, rows[i].bytes);
	}
}

static void test_what_is_not_offered(void **state)
{
	assert_int_equal(created(.filesystem = "ext4"), CODE_INVALID_ARGUMENT);
	assert_int_equal(created("v", .filesystem = "ntfs"), CODE_INVALID_ARGUMENT);
	assert_int_equal(created("v", .mode = MODE(MULTI_NODE_MULTI_WRITER)),
			 CODE_INVALID_ARGUMENT);
	assert_int_equal(created("v", .mode = MODE(MULTI_NODE_READER_ONLY)), CODE_INVALID_ARGUMENT);
	assert_int_equal(created("v", .key = "speed", .value = "much"), CODE_INVALID_ARGUMENT);
	assert_int_equal(created("v", .key = "pool", .value = "a b"), CODE_INVALID_ARGUMENT);
	assert_int_equal(created("v", .key = "pool", .value = "nowhere"), CODE_INVALID_ARGUMENT);
	assert_int_equal(created("v", .node = "node-2"), CODE_RESOURCE_EXHAUSTED);
	assert_int_equal(store_fake.nr, 0);
	assert_int_equal(created("v", .node = "node-1", .mode = MODE(SINGLE_NODE_MULTI_WRITER),
				 .key = "csi.storage.k8s.io/pvc/name", .value = "x"),
			 CODE_OK);
	store_fake.fails = -ECONNREFUSED;
	assert_int_equal(created("w", .filesystem = ""), CODE_UNAVAILABLE);
}

static enum code snapshot(const char *name, const char *of, char id[IDS_SIZE])
{
	auto_call struct call c = a_call();
	Csi__CreateSnapshotRequest q = CSI__CREATE_SNAPSHOT_REQUEST__INIT;
	Csi__CreateSnapshotResponse *r =
		call_message(&c, &csi__create_snapshot_response__descriptor);
	enum code code;

	q.name = (char *)name;
	q.source_volume_id = (char *)of;
	code = snapshot_create(&c, &q, r);
	if (code != CODE_OK)
		return code;
	assert_true(r->snapshot->ready_to_use);
	assert_string_equal(r->snapshot->source_volume_id, of);
	if (id)
		assert_int_equal(text_copy(id, IDS_SIZE, r->snapshot->snapshot_id), 0);
	return code;
}

static void test_snapshots_and_clones(void **state)
{
	char id[IDS_SIZE];

	assert_int_equal(created("v", .required = 8 * MIB, .filesystem = "ext4"), CODE_OK);
	assert_int_equal(snapshot("v", "v", id), CODE_OK); /* a name of its own */
	assert_int_equal(snapshot("v", "v", NULL), CODE_OK);
	assert_int_equal(store_fake.nr, 2);
	assert_int_equal(snapshot("v", "w", NULL), CODE_ALREADY_EXISTS);
	assert_int_equal(snapshot("other", "none", NULL), CODE_NOT_FOUND);
	assert_int_equal(snapshot("other", "../none", NULL), CODE_NOT_FOUND);
	assert_int_equal(snapshot("other", id, NULL), CODE_NOT_FOUND);
	assert_int_equal(snapshot("", "v", NULL), CODE_INVALID_ARGUMENT);
	assert_int_equal(snapshot("other", "", NULL), CODE_INVALID_ARGUMENT);
	assert_int_equal(created("w", .snapshot = id, .filesystem = "ext4"), CODE_OK);
	assert_int_equal(created("w", .snapshot = id, .filesystem = "ext4"), CODE_OK);
	assert_int_equal(created("w", .volume = "v", .filesystem = "ext4"), CODE_ALREADY_EXISTS);
	assert_int_equal(store_fake_find("w")->size_bytes, 8 * MIB);
	assert_int_equal(created("x", .volume = "w", .required = 16 * MIB), CODE_OK);
	assert_int_equal(created("y", .volume = "w", .limit = 4 * MIB), CODE_OUT_OF_RANGE);
	assert_int_equal(created("y", .volume = "w", .filesystem = "xfs"), CODE_INVALID_ARGUMENT);
	assert_int_equal(created("y", .volume = "none"), CODE_NOT_FOUND);
	assert_int_equal(created("y", .snapshot = "v"), CODE_NOT_FOUND);
	assert_int_equal(created("y", .volume = id), CODE_NOT_FOUND);
	store_fake_find("v")->flags |= STORE_IS_ATTACHED;
	assert_int_equal(snapshot("used", "v", NULL), CODE_FAILED_PRECONDITION);
	assert_int_equal(created("used", .volume = "v"), CODE_FAILED_PRECONDITION);
}

static enum code removed(const char *id, bool is_snapshot)
{
	auto_call struct call c = a_call();
	Csi__DeleteVolumeRequest v = CSI__DELETE_VOLUME_REQUEST__INIT;
	Csi__DeleteSnapshotRequest s = CSI__DELETE_SNAPSHOT_REQUEST__INIT;

	v.volume_id = s.snapshot_id = (char *)id;
	return is_snapshot ? snapshot_delete(&c, &s, NULL) : controller_delete(&c, &v, NULL);
}

static void test_what_is_deleted_is_not_there(void **state)
{
	char id[IDS_SIZE];

	assert_int_equal(created("v", .required = 8 * MIB), CODE_OK);
	assert_int_equal(snapshot("s", "v", id), CODE_OK);
	assert_int_equal(removed("", false), CODE_INVALID_ARGUMENT);
	assert_int_equal(removed("none", false), CODE_OK);
	assert_int_equal(removed("../none", false), CODE_OK);
	assert_int_equal(removed(id, false), CODE_OK); /* it is no volume, so there is none */
	assert_int_equal(removed("v", true), CODE_OK);
	assert_int_equal(store_fake.nr, 2);
	store_fake_find("v")->flags |= STORE_IS_ATTACHED;
	assert_int_equal(removed("v", false), CODE_FAILED_PRECONDITION);
	store_fake_find("v")->flags = 0;
	store_fake.fails = -EBUSY;
	assert_int_equal(removed("v", false), CODE_ABORTED);
	assert_int_equal(removed("v", false), CODE_OK);
	assert_int_equal(removed(id, true), CODE_OK);
	assert_int_equal(store_fake.nr, 0);
}

static enum code expanded(const char *id, int64_t required, int64_t limit, int64_t *ret)
{
	auto_call struct call c = a_call();
	Csi__ControllerExpandVolumeRequest q = CSI__CONTROLLER_EXPAND_VOLUME_REQUEST__INIT;
	Csi__ControllerExpandVolumeResponse r = CSI__CONTROLLER_EXPAND_VOLUME_RESPONSE__INIT;
	Csi__CapacityRange range = CSI__CAPACITY_RANGE__INIT;
	enum code code;

	range.required_bytes = required;
	range.limit_bytes = limit;
	q.volume_id = (char *)id;
	q.capacity_range = &range;
	code = controller_expand(&c, &q, &r);
	*ret = r.capacity_bytes;
	return code;
}

static void test_a_volume_grows_and_does_not_shrink(void **state)
{
	int64_t bytes;

	assert_int_equal(created("v", .required = 8 * MIB), CODE_OK);
	assert_int_equal(expanded("v", 16 * MIB, 0, &bytes), CODE_OK);
	assert_int_equal(bytes, 16 * MIB);
	assert_int_equal(expanded("v", 16 * MIB, 0, &bytes), CODE_OK);
	assert_int_equal(expanded("v", 4 * MIB, 0, &bytes), CODE_OK);
	assert_int_equal(bytes, 16 * MIB);
	assert_int_equal(expanded("v", 4 * MIB, 8 * MIB, &bytes), CODE_OUT_OF_RANGE);
	assert_int_equal(expanded("none", 4 * MIB, 0, &bytes), CODE_NOT_FOUND);
	/* The store is asked again each time: what is in the volume may not be as large yet. */
	assert_int_equal(store_fake.changed, 4);
	/* While it is used only where the kernel can. */
	store_fake_find("v")->flags |= STORE_IS_ATTACHED;
	assert_int_equal(expanded("v", 32 * MIB, 0, &bytes), CODE_OK);
	config.online = false;
	assert_int_equal(expanded("v", 64 * MIB, 0, &bytes), CODE_FAILED_PRECONDITION);
	assert_int_equal(expanded("v", 32 * MIB, 0, &bytes), CODE_OK);
}

/* What the node does not do later is done, or not well done. */
static void test_a_file_system_that_stays_small_is_no_success(void **state)
{
	int64_t bytes;

	assert_int_equal(created("v", .required = 8 * MIB, .filesystem = "ext4"), CODE_OK);
	strcpy(store_fake.warning, "its file system has the size it had");
	assert_int_equal(expanded("v", 16 * MIB, 0, &bytes), CODE_OK); /* NodeExpandVolume */
	config.online = false;
	assert_int_equal(expanded("v", 16 * MIB, 0, &bytes), CODE_INTERNAL);
	*store_fake.warning = '\0';
	assert_int_equal(expanded("v", 16 * MIB, 0, &bytes), CODE_OK);
	assert_int_equal(bytes, 16 * MIB);
}

/* --- inline volumes ----------------------------------------------------------------------- */

static void test_an_inline_volume_that_is_not_published_is_not_kept(void **state)
{
	auto_call struct call c = a_call();
	Csi__NodePublishVolumeRequest q = CSI__NODE_PUBLISH_VOLUME_REQUEST__INIT;
	Csi__VolumeCapability cap = CSI__VOLUME_CAPABILITY__INIT;
	Csi__VolumeCapability__AccessMode mode = CSI__VOLUME_CAPABILITY__ACCESS_MODE__INIT;
	Csi__VolumeCapability__MountVolume mount = CSI__VOLUME_CAPABILITY__MOUNT_VOLUME__INIT;
	Csi__Pair ephemeral = CSI__PAIR__INIT, *context[] = { &ephemeral };
	char id[IDS_SIZE];

	ephemeral.key = (char *)"csi.storage.k8s.io/ephemeral";
	ephemeral.value = (char *)"true";
	mode.mode = MODE(SINGLE_NODE_WRITER);
	cap.access_mode = &mode;
	cap.access_type_case = CSI__VOLUME_CAPABILITY__ACCESS_TYPE_MOUNT;
	cap.mount = &mount;
	q.volume_id = (char *)"csi-of-a-pod";
	q.target_path = (char *)"/nowhere/at/all";
	q.volume_capability = &cap;
	q.volume_context = context;
	q.n_volume_context = 1;
	assert_int_equal(publish_publish(&c, &q, NULL), CODE_FAILED_PRECONDITION);
	assert_non_null(strstr(c.e.text, "cannot make /nowhere/at/all"));
	assert_int_equal(store_fake.nr, 0);
	/* One that was there before may have something in it. */
	assert_int_equal(ids_of_inline("csi-of-a-pod", id), 0);
	store_fake.rows[0].filesystem = FILESYSTEM_EXT4;
	strcpy(store_fake.rows[0].name, id);
	store_fake.nr = 1;
	assert_int_equal(publish_publish(&c, &q, NULL), CODE_FAILED_PRECONDITION);
	assert_int_equal(store_fake.nr, 1);
}

static void test_the_helper_is_waited_for(void **state)
{
	auto_call struct call c = a_call();
	Csi__NodeGetVolumeStatsRequest q = CSI__NODE_GET_VOLUME_STATS_REQUEST__INIT;
	Csi__NodeGetVolumeStatsResponse r = CSI__NODE_GET_VOLUME_STATS_RESPONSE__INIT;

	assert_int_equal(created("v", .required = 8 * MIB), CODE_OK);
	q.volume_id = (char *)"v";
	q.volume_path = (char *)"/v";
	assert_int_equal(node_stats(&c, &q, &r), CODE_NOT_FOUND);
	assert_int_equal(helper_waited_ms, CLIENT_TIMEOUT_MS);
	c.deadline_ms = clock_deadline_ms(CLIENT_TIMEOUT_MS / 2);
	assert_int_equal(node_stats(&c, &q, &r), CODE_NOT_FOUND);
	assert_in_range(helper_waited_ms, 1, CLIENT_TIMEOUT_MS / 2);
}

static enum code unpublished(const char *path)
{
	auto_call struct call c = a_call();
	Csi__NodeUnpublishVolumeRequest q = CSI__NODE_UNPUBLISH_VOLUME_REQUEST__INIT;

	q.volume_id = (char *)"v";
	q.target_path = (char *)path;
	return publish_unpublish(&c, &q, NULL);
}

static enum code published_alone(const char *path)
{
	auto_call struct call c = a_call();
	Csi__NodePublishVolumeRequest q = CSI__NODE_PUBLISH_VOLUME_REQUEST__INIT;
	Csi__VolumeCapability cap = CSI__VOLUME_CAPABILITY__INIT;
	Csi__VolumeCapability__AccessMode mode = CSI__VOLUME_CAPABILITY__ACCESS_MODE__INIT;
	Csi__VolumeCapability__BlockVolume block = CSI__VOLUME_CAPABILITY__BLOCK_VOLUME__INIT;
	enum code code;

	mode.mode = MODE(SINGLE_NODE_SINGLE_WRITER);
	cap.access_mode = &mode;
	cap.access_type_case = CSI__VOLUME_CAPABILITY__ACCESS_TYPE_BLOCK;
	cap.block = &block;
	q.volume_id = (char *)"v";
	q.target_path = (char *)path;
	q.staging_target_path = (char *)"/nowhere/staged";
	q.volume_capability = &cap;
	code = publish_publish(&c, &q, NULL);
	if (code == CODE_FAILED_PRECONDITION)
		assert_non_null(strstr(c.e.text, "is published at /nowhere/v already"));
	return code;
}

/* What the helper did not say is not that it has nothing. */
static void test_what_is_not_known_is_not_taken_for_unpublished(void **state)
{
	struct store_volume *v;

	assert_int_equal(created("v", .required = 8 * MIB), CODE_OK);
	v = store_fake_find("v");
	v->dev_id = 3;
	helper_claim = "/nowhere/v";
	v->flags = STORE_IS_UNKNOWN;
	assert_int_equal(unpublished("/nowhere/v"), CODE_UNAVAILABLE);
	assert_non_null(helper_claim);
	assert_int_equal(published_alone("/nowhere/w"), CODE_UNAVAILABLE);
	v->flags = STORE_IS_ATTACHED;
	assert_int_equal(published_alone("/nowhere/w"), CODE_FAILED_PRECONDITION);
	assert_int_equal(unpublished("/nowhere/v"), CODE_OK);
	assert_null(helper_claim);
}

/* --- lists -------------------------------------------------------------------------------- */

static enum code listed(const char *token, int32_t most, char *names, char next[IDS_SIZE * 2])
{
	auto_call struct call c = a_call();
	Csi__ListVolumesRequest q = CSI__LIST_VOLUMES_REQUEST__INIT;
	Csi__ListVolumesResponse r = CSI__LIST_VOLUMES_RESPONSE__INIT;
	enum code code;

	q.starting_token = (char *)token;
	q.max_entries = most;
	code = controller_list(&c, &q, &r);
	*names = '\0';
	for (size_t i = 0; i < r.n_entries; i++)
		strcat(names, r.entries[i]->volume->volume_id);
	if (code == CODE_OK)
		strcpy(next, r.next_token);
	return code;
}

static void test_lists_come_in_pages(void **state)
{
	char names[256], next[IDS_SIZE * 2];

	for (const char *name = "edcba"; *name; name++)
		assert_int_equal(created((char[]){ *name, '\0' }), CODE_OK);
	assert_int_equal(snapshot("s", "a", NULL), CODE_OK);
	assert_int_equal(listed("", 0, names, next), CODE_OK);
	assert_string_equal(names, "abcde");
	assert_string_equal(next, "");
	assert_int_equal(listed("", 2, names, next), CODE_OK);
	assert_string_equal(names, "ab");
	/* The one a token names may be gone, others may be new. */
	assert_int_equal(removed("b", false), CODE_OK);
	assert_int_equal(created("bb"), CODE_OK);
	assert_int_equal(listed(next, 2, names, next), CODE_OK);
	assert_string_equal(names, "bbc");
	assert_int_equal(listed(next, 2, names, next), CODE_OK);
	assert_string_equal(names, "de");
	assert_string_equal(next, "");
	assert_int_equal(listed("invalid-token", 2, names, next), CODE_ABORTED);
	assert_int_equal(listed("after:", 2, names, next), CODE_ABORTED);
	assert_int_equal(listed("after:../x", 2, names, next), CODE_ABORTED);
	assert_int_equal(listed("", -1, names, next), CODE_INVALID_ARGUMENT);
}

/* --- who works on what -------------------------------------------------------------------- */

static enum code lock_elsewhere(int locks_fd, const char *id, bool shared)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		struct call c = a_call();

		c.locks_fd = locks_fd;
		_exit((int)call_lock(&c, id, shared));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return (enum code)WEXITSTATUS(status);
}

static void test_one_call_at_a_time_works_on_a_volume(void **state)
{
	auto_close int fd = memfd_create("locks", MFD_CLOEXEC);
	auto_call struct call c = a_call();

	c.locks_fd = fd;
	assert_int_equal(call_lock(&c, "v", false), CODE_OK);
	assert_int_equal(lock_elsewhere(fd, "v", false), CODE_ABORTED);
	assert_int_equal(lock_elsewhere(fd, "v", true), CODE_ABORTED);
	assert_int_equal(lock_elsewhere(fd, "w", false), CODE_OK);
	assert_int_equal(call_lock(&c, "w", true), CODE_OK); /* whoever had it is gone */
	assert_int_equal(lock_elsewhere(fd, "w", true), CODE_OK);
	assert_int_equal(lock_elsewhere(fd, "w", false), CODE_ABORTED);
}

/* --- from bytes to bytes ------------------------------------------------------------------ */

static void test_a_call_goes_through_the_table(void **state)
{
	auto_call struct call c = a_call();
	const struct service_row *row = service_find("/csi.v1.Identity/GetPluginInfo");
	ProtobufCAllocator allocator = call_allocator(&c);
	Csi__GetPluginInfoResponse *r;
	const uint8_t *bytes;
	size_t size;

	assert_non_null(row);
	assert_int_equal(service_run(row, &c, NULL, 0, &bytes, &size), CODE_OK);
	r = csi__get_plugin_info_response__unpack(&allocator, size, bytes);
	assert_non_null(r);
	assert_string_equal(r->name, IDENTITY_NAME);
	assert_int_equal(service_run(row, &c, (const uint8_t *)"\xff", 1, &bytes, &size),
			 CODE_INVALID_ARGUMENT);
	assert_null(service_find("/csi.v1.Identity/GetPluginInfos"));
	assert_null(service_find("/csi.v1.Controller/ControllerPublishVolume"));
	assert_null(service_find(""));
	store_fake.fails = -ECONNREFUSED;
	row = service_find("/csi.v1.Identity/Probe");
	assert_int_equal(service_run(row, &c, NULL, 0, &bytes, &size), CODE_FAILED_PRECONDITION);
	assert_int_equal(service_run(row, &c, NULL, 0, &bytes, &size), CODE_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_name_has_one_id),
		cmocka_unit_test(test_the_hash_is_sha256),
		cmocka_unit_test(test_what_store_says_is_a_code),
		cmocka_unit_test(test_which_kernels_grow_a_device),
		cmocka_unit_test_setup(test_a_volume_is_created_once, begin),
		cmocka_unit_test_setup(test_sizes, begin),
		cmocka_unit_test_setup(test_what_is_not_offered, begin),
		cmocka_unit_test_setup(test_snapshots_and_clones, begin),
		cmocka_unit_test_setup(test_what_is_deleted_is_not_there, begin),
		cmocka_unit_test_setup(test_a_volume_grows_and_does_not_shrink, begin),
		cmocka_unit_test_setup(test_a_file_system_that_stays_small_is_no_success, begin),
		cmocka_unit_test_setup(test_an_inline_volume_that_is_not_published_is_not_kept,
				       begin),
		cmocka_unit_test_setup(test_the_helper_is_waited_for, begin),
		cmocka_unit_test_setup(test_what_is_not_known_is_not_taken_for_unpublished, begin),
		cmocka_unit_test_setup(test_lists_come_in_pages, begin),
		cmocka_unit_test_setup(test_one_call_at_a_time_works_on_a_volume, begin),
		cmocka_unit_test_setup(test_a_call_goes_through_the_table, begin),
	};

	return cmocka_run_group_tests_name("csi", tests, NULL, NULL);
}
