/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The FlexVolume driver with a store of one volume and a helper of two devices: what it makes of
 * its options, what it asks them for, and what it answers, each call-out twice and in wrong orders.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "oci-hook/client.h"
#include "oci-hook/flexvolume/options.h"
#include "oci-hook/flexvolume/verbs.h"
#include "oci-hook/volumes.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

enum generation {
	DEVICE = 30, /* ublkb3, of the volume */
	CLAIM = 31,
	FILE_DEVICE = 40, /* ublkb4, a file the host has mounted */
};

static struct world {
	bool there; /* the volume "data" */
	struct store_volume volume;
	bool attached;
	bool read_only;
	char mounted[WIRE_PATH_SIZE];
	uint32_t filesystem; /* as which */
	char file_mounted[WIRE_PATH_SIZE];
	bool others;	   /* somebody else has the device */
	bool made_by_them; /* the volume, while we wanted to */
	bool store_gone, helper_gone;
	unsigned int asked, changed; /* questions, and those that change something */
	int timeout_ms;
} world;

static char dir[32];
static struct json_object *reply;

/* --- the store ---------------------------------------------------------------------------- */

int __wrap_volumes_call(const struct volumes_call *call, struct volumes *ret, struct err *e);
int __wrap_client_list(struct client_devices *ret, int timeout_ms, struct err *e);
int __wrap_client_claim(const struct wire_claim *req, int place_fd, int timeout_ms,
			struct wire_reply *ret, struct err *e);
int __wrap_client_detach(uint64_t generation, uint32_t flags, int timeout_ms,
			 struct wire_reply *ret, struct err *e);

static int store_create(const struct store_ask *ask, struct err *e)
{
	world.there |= world.made_by_them;
	if (world.there)
		return err_set(e, EEXIST, "there is a volume %s already", ask->name);
	world.there = true;
	world.changed++;
	world.volume = (struct store_volume){
		.size_bytes = ask->size_bytes,
		.filesystem = ask->filesystem,
	};
	strcpy(world.volume.name, ask->name);
	strcpy(world.volume.pool, *ask->pool ? ask->pool : "default");
	return 0;
}

static int store_detach(struct err *e)
{
	if (!world.attached)
		return err_set(e, ENODEV, "volume data is not attached");
	if (*world.mounted || world.others)
		return err_set(e, EBUSY, "it is mounted at %s; end that first", world.mounted);
	world.attached = false;
	world.changed++;
	return 0;
}

static int store_attach(const struct store_ask *ask, struct store_volume *v, struct err *e)
{
	bool read_only = ask->device_flags & WIRE_READ_ONLY;
	int r = 0;

	assert_int_equal(ask->mode, 0660);
	if (world.attached && world.read_only != read_only)
		r = store_detach(e);
	if (r < 0)
		return r;
	if (!world.attached) {
		world.attached = true;
		world.read_only = read_only;
		world.changed++;
		v->flags |= STORE_IS_NEW;
	}
	return 0;
}

static int store_answer(const struct volumes_call *call, struct store_volume *v, struct err *e)
{
	if (call->type == STORE_CREATE)
		return store_create(&call->ask, e);
	if (!world.there || strcmp(call->ask.name, world.volume.name) != 0)
		return err_set(e, ENOENT, "there is no volume %s", call->ask.name);
	if (call->type == STORE_ATTACH)
		return store_attach(&call->ask, v, e);
	if (call->type == STORE_DETACH)
		return store_detach(e);
	assert_int_equal(call->type, STORE_INSPECT);
	return 0;
}

int __wrap_volumes_call(const struct volumes_call *call, struct volumes *ret, struct err *e)
{
	struct store_volume v = { 0 };
	uint32_t is_new;
	int r = 0;

	world.asked++;
	assert_int_equal(call->fd, -1);
	assert_true(call->timeout_ms >= 0 && call->timeout_ms <= VERBS_TIMEOUT_MS);
	assert_null(ret->rows);
	if (world.store_gone)
		return err_set(e, ECONNREFUSED, "cannot reach the store");
	if (call->type == STORE_LIST)
		assert_string_equal(call->ask.name, "");
	else
		r = store_answer(call, &v, e);
	if (r < 0 || call->type == STORE_DETACH || !world.there)
		return r;
	is_new = v.flags;
	v = world.volume;
	v.dev_id = 3;
	v.generation = DEVICE;
	v.flags = is_new | (world.helper_gone ? STORE_IS_UNKNOWN
			    : world.attached  ? STORE_IS_ATTACHED
					      : 0u);
	ret->rows = calloc(1, sizeof(*ret->rows));
	assert_non_null(ret->rows);
	ret->rows[0] = v;
	ret->nr = 1;
	return 0;
}

/* --- the helper --------------------------------------------------------------------------- */

static void add_row(struct client_devices *d, uint64_t generation, uint32_t dev_id, uint32_t flags,
		    const char *path)
{
	struct wire_device *row = &d->rows[d->nr++];

	*row = (struct wire_device){ .generation = generation, .dev_id = dev_id, .flags = flags };
	row->filesystem = flags & WIRE_HOST ? FILESYSTEM_EXT4 : 0;
	strcpy(row->path, path);
}

int __wrap_client_list(struct client_devices *ret, int timeout_ms, struct err *e)
{
	world.asked++;
	if (world.helper_gone)
		return err_set(e, ENOENT, "cannot reach the helper");
	ret->rows = calloc(3, sizeof(*ret->rows));
	assert_non_null(ret->rows);
	if (world.attached)
		add_row(ret, DEVICE, 3, WIRE_AHEAD, "/dev/data");
	if (*world.mounted)
		add_row(ret, CLAIM, 3, WIRE_CLAIMED | WIRE_HOST, world.mounted);
	if (*world.file_mounted)
		add_row(ret, FILE_DEVICE, 4, WIRE_HOST, world.file_mounted);
	return 0;
}

int __wrap_client_claim(const struct wire_claim *req, int place_fd, int timeout_ms,
			struct wire_reply *ret, struct err *e)
{
	struct stat st, named;

	world.asked++;
	assert_true(world.attached);
	assert_int_equal(req->generation, DEVICE);
	assert_string_equal(req->container, "");
	assert_int_equal(fstat(place_fd, &st), 0);
	assert_int_equal(stat(req->path, &named), 0);
	assert_true(S_ISDIR(st.st_mode) && st.st_ino == named.st_ino);
	if (world.helper_gone)
		return err_set(e, ECONNREFUSED, "cannot reach the helper");
	if (*world.mounted && strcmp(world.mounted, req->path) != 0)
		return err_set(e, EBUSY, "the host has it, at %s", world.mounted);
	if (*world.mounted && req->flags & WIRE_READ_ONLY) /* it can be written there */
		return err_set(e, EEXIST, "another device (ublkb3) is at %s", world.mounted);
	assert_true(req->flags & WIRE_HOST);
	if (!*world.mounted)
		world.changed++;
	strcpy(world.mounted, req->path);
	world.filesystem = req->filesystem;
	return 0;
}

int __wrap_client_detach(uint64_t generation, uint32_t flags, int timeout_ms,
			 struct wire_reply *ret, struct err *e)
{
	world.asked++;
	world.changed++;
	assert_int_equal(flags, 0);
	if (world.others)
		return err_set(e, EBUSY, "in use: cwd of pid 7 (sh); close or unmount it first");
	if (generation == CLAIM)
		*world.mounted = '\0';
	else if (generation == FILE_DEVICE)
		*world.file_mounted = '\0';
	else
		fail_msg("generation %d", (int)generation);
	return 0;
}

/* --- asking ------------------------------------------------------------------------------- */

/*
 * want: "Success", "Not supported", or "Failure: " and a part of the message. The answer stays in
 * reply.
 */
static void answers(bool attaches, const char *want, int nr, const char *const *words)
{
	size_t end = strcspn(want, ":");
	char *copies[5];
	const char *status, *message;
	bool done = false;

	assert_true(nr < (int)ARRAY_SIZE(copies));
	for (int i = 0; i < nr; i++)
		copies[i] = strdup(words[i]);
	json_object_put(reply);
	reply = verbs_run(attaches, nr, copies, VERBS_TIMEOUT_MS, &done);
	for (int i = 0; i < nr; i++)
		free(copies[i]);
	assert_non_null(reply);
	status = json_object_get_string(json_object_object_get(reply, "status"));
	message = json_object_get_string(json_object_object_get(reply, "message"));
	if (strlen(status) != end || strncmp(status, want, end) != 0 ||
	    (want[end] && !strstr(message ?: "", want + end + 2)))
		fail_msg("%s: wanted %s, not %s", nr ? words[0] : "nothing", want,
			 json_object_to_json_string(reply));
	assert_int_equal(done, !strcmp(want, "Success"));
	assert_int_equal(!!message, !strncmp(want, "Failure", 7) || (message && done));
}

#define ANSWERS(attaches, want, ...)                                                               \
	do {                                                                                       \
		const char *const words_[] = { __VA_ARGS__ };                                      \
		answers(attaches, want, (int)ARRAY_SIZE(words_), words_);                          \
	} while (0)
#define MOUNTS(want, ...) ANSWERS(false, want, __VA_ARGS__)
#define ATTACHES(want, ...) ANSWERS(true, want, __VA_ARGS__)

static const char *said(const char *key)
{
	return json_object_get_string(json_object_object_get(reply, key)) ?: "";
}

static int setup(void **state)
{
	world = (struct world){ 0 };
	strcpy(world.volume.name, "data");
	strcpy(world.volume.pool, "default");
	world.volume.size_bytes = GIB;
	strcpy(dir, "/tmp/test_flexvolume.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	json_object_put(reply);
	reply = NULL;
	return rmdir(dir);
}

/* --- options ------------------------------------------------------------------------------ */

static void test_options_say_which_volume_and_how(void **state)
{
	struct options o;
	struct err e;

	assert_int_equal(
		options_parse(&o,
			      "{\"kubernetes.io/fsType\":\"\",\"kubernetes.io/readwrite\":\"rw\","
			      "\"kubernetes.io/pvOrVolumeName\":\"pv-1.a\","
			      "\"kubernetes.io/pod.name\":\"p\","
			      "\"kubernetes.io/secret/key\":\"c2VjcmV0\","
			      "\"kubernetes.io/mounterArgs.FsGroup\":\"1000\"}",
			      &e),
		0);
	assert_string_equal(o.volume, "pv-1.a");
	assert_true(!o.renamed && !o.size_bytes && !o.filesystem && !o.read_only && !*o.pool);
	assert_int_equal(options_parse(&o,
				       " {\"volume\":\"data\",\"size\":\"10Gi\",\"pool\":\"fast\","
				       "\"kubernetes.io/fsType\":\"xfs\","
				       "\"kubernetes.io/readwrite\":\"ro\","
				       "\"kubernetes.io/pvOrVolumeName\":\"pv/1\"} \n",
				       &e),
			 0);
	assert_string_equal(o.volume, "data");
	assert_string_equal(o.pool, "fast");
	assert_true(o.renamed && o.read_only && o.filesystem == FILESYSTEM_XFS);
	assert_int_equal(o.size_bytes, 10 * GIB);
}

static void test_sizes_are_written_as_kubernetes_does(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes; /* 0: refused */
	} rows[] = {
		{ "64Mi", 64 * MIB },
		{ "64M", 64 * MIB },
		{ "64MiB", 64 * MIB },
		{ "1Gi", GIB },
		{ "4096", 4096 },
		{ "10i", 0 },
		{ "i", 0 },
		{ "", 0 },
		{ "0", 0 },
		{ "-1", 0 },
		{ "1.5Gi", 0 },
		{ "1e9", 0 },
		{ "99999999E", 0 },
		{ "Gi", 0 },
		{ "1Gii", 0 },
		{ " 1Gi", 0 },
		{ "100000000000000000000000000000", 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[128];
		struct options o;
		struct err e;
		int r;

		snprintf(text, sizeof(text), "{\"volume\":\"data\",\"size\":\"%s\"}", rows[i].text);
		r = options_parse(&o, text, &e);
		if (r != (rows[i].bytes ? 0 : -EINVAL) || (!r && o.size_bytes != rows[i].bytes))
			fail_msg("%s: %d", rows[i].text, r);
	}
}

static void test_options_that_are_none_are_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "", "ends too early" },
		{ "{", "ends too early" },
		{ "{}x", "behind its end" },
		{ "[]", "no JSON object" },
		{ "\"data\"", "no JSON object" },
		{ "null ", "no JSON object" },
		{ "{'volume':'data'", "ends too early" },
		{ "{\"volume\":\"\xff\"}", "is not JSON" },
		{ "{\"a\":{\"b\":{\"c\":{\"d\":{}}}}}", "is not JSON" },
		{ "{}", "no option says which volume" },
		{ "{\"kubernetes.io/pvOrVolumeName\":\"\"}", "no option says which volume" },
		{ "{\"kubernetes.io/pvOrVolumeName\":7}", "is no string" },
		{ "{\"kubernetes.io/pvOrVolumeName\":\"a/b\"}", "option volume is needed" },
		{ "{\"volume\":\"../etc\"}", "is no name for a volume" },
		{ "{\"volume\":\"\"}", "is no name for a volume" },
		{ "{\"volume\":[\"data\"]}", "option volume is no string" },
		{ "{\"volume\":null}", "option volume is no string" },
		{ "{\"volume\":\"da\\u0000ta\"}", "a zero byte" },
		{ "{\"volume\":\"data\",\"capacity\":\"1Gi\"}", "option capacity is not known" },
		{ "{\"volume\":\"data\",\"kubernetes.io\":\"\"}", "is not known" },
		{ "{\"volume\":\"data\",\"size\":64}", "option size is no string" },
		{ "{\"volume\":\"data\",\"pool\":\"a b\"}", "no name of a pool" },
		{ "{\"volume\":\"data\",\"kubernetes.io/fsType\":\"ntfs\"}", "is none of: ext4" },
		{ "{\"volume\":\"data\",\"kubernetes.io/readwrite\":\"yes\"}",
		  "neither rw nor ro" },
	};
	auto_free char *large = malloc(OPTIONS_TEXT_MAX + 2);
	struct options o;
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int r = options_parse(&o, rows[i].text, &e);

		if (r != -EINVAL || !strstr(e.text, rows[i].why))
			fail_msg("%s: %d, %s", rows[i].text, r, r ? e.text : "");
		MOUNTS("Failure: ", "mount", dir, rows[i].text);
	}
	memset(large, ' ', OPTIONS_TEXT_MAX + 1);
	large[OPTIONS_TEXT_MAX + 1] = '\0';
	assert_int_equal(options_parse(&o, large, &e), -E2BIG);
	assert_int_equal(world.asked, 0);
}

/* --- call-outs ---------------------------------------------------------------------------- */

static void test_each_driver_has_its_call_outs(void **state)
{
	static const struct {
		const char *name;
		bool mounts, attaches;
	} rows[] = {
		{ "mount", true, false },	  { "unmount", true, false },
		{ "attach", false, true },	  { "detach", false, true },
		{ "waitforattach", false, true }, { "isattached", false, true },
		{ "mountdevice", false, true },	  { "unmountdevice", false, true },
		{ "expandvolume", false, false }, { "expandfs", false, false },
		{ "Mount", false, false },	  { "", false, false },
		{ "init ", false, false },
	};
	struct json_object *can;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		MOUNTS(rows[i].mounts ? "Failure: words behind it" : "Not supported", rows[i].name);
		ATTACHES(rows[i].attaches ? "Failure: words behind it" : "Not supported",
			 rows[i].name);
		MOUNTS(rows[i].mounts ? "Failure: words behind it" : "Not supported", rows[i].name,
		       "{\"volume\":\"data\"}", "{\"volume\":\"data\"}", "{\"volume\":\"data\"}");
	}
	answers(false, "Not supported", 0, NULL);
	MOUNTS("Failure: words behind it", "init", "more");
	for (int attaches = 0; attaches < 2; attaches++) {
		ANSWERS(attaches, "Success", "init");
		can = json_object_object_get(reply, "capabilities");
		assert_int_equal(json_object_get_boolean(json_object_object_get(can, "attach")),
				 attaches);
		assert_true(json_object_get_boolean(json_object_object_get(can, "fsGroup")));
		assert_false(
			json_object_get_boolean(json_object_object_get(can, "requiresFSResize")));
		ANSWERS(attaches, "Success", "getvolumename", "{\"volume\":\"data\"}");
		assert_string_equal(said("volumeName"), "data");
	}
	assert_int_equal(world.asked, 0);
}

static void test_mount_and_unmount(void **state)
{
	static const char data[] = "{\"kubernetes.io/pvOrVolumeName\":\"data\"}";

	MOUNTS("Success", "unmount", dir); /* before there is anything */
	MOUNTS("Failure: there is no volume data: make it", "mount", dir, data);
	world.there = true;
	for (int i = 0; i < 2; i++) {
		MOUNTS("Success", "mount", dir, data);
		assert_string_equal(world.mounted, dir);
		assert_int_equal(world.filesystem, FILESYSTEM_EXT4);
		assert_int_equal(world.changed, 2); /* attached, mounted */
	}
	MOUNTS("Failure: no place to mount at", "mount", "/", data);
	MOUNTS("Failure: the host has it, at /tmp/", "mount", "/tmp", data);
	assert_true(world.attached);
	MOUNTS("Failure: another device (ublkb3) is at", "mount", dir,
	       "{\"volume\":\"data\",\"kubernetes.io/readwrite\":\"ro\"}");
	MOUNTS("Success", "unmount", "/srv/elsewhere");
	assert_string_equal(world.mounted, dir);
	for (int i = 0; i < 2; i++) {
		MOUNTS("Success", "unmount", dir);
		assert_true(!*world.mounted && !world.attached);
	}
	MOUNTS("Success", "mount", dir, "{\"volume\":\"data\",\"kubernetes.io/readwrite\":\"ro\"}");
	assert_true(world.read_only);
}

static void test_a_volume_is_made_once(void **state)
{
	static const char small[] = "{\"volume\":\"data\",\"size\":\"64Mi\",\"pool\":\"fast\","
				    "\"kubernetes.io/fsType\":\"xfs\"}";

	MOUNTS("Failure: cannot open the directory", "mount", "/tmp/none.such", small);
	MOUNTS("Failure: no place to mount at", "mount", "relative", small);
	assert_false(world.there);
	for (int i = 0; i < 2; i++) {
		MOUNTS("Success", "mount", dir, small);
		assert_int_equal(world.changed, 3);
	}
	assert_int_equal(world.volume.size_bytes, 64 * MIB);
	assert_int_equal(world.volume.filesystem, FILESYSTEM_XFS);
	assert_int_equal(world.filesystem, FILESYSTEM_XFS);
	assert_string_equal(world.volume.pool, "fast");
	MOUNTS("Failure: has 64M, and 1G are asked for", "mount", dir,
	       "{\"volume\":\"data\",\"size\":\"1Gi\"}");
	MOUNTS("Failure: is in pool fast, not in slow", "mount", dir,
	       "{\"volume\":\"data\",\"pool\":\"slow\"}");
	MOUNTS("Success", "mount", dir, "{\"volume\":\"data\",\"size\":\"1Mi\"}");
	assert_int_equal(world.filesystem, FILESYSTEM_XFS); /* as the store made it */
	world = (struct world){ .volume = world.volume };
	world.volume.size_bytes = GIB;
	world.made_by_them = true;
	MOUNTS("Success", "mount", dir, "{\"volume\":\"data\",\"size\":\"64Mi\"}");
	assert_int_equal(world.volume.size_bytes, GIB);
}

static void test_who_uses_it_keeps_it(void **state)
{
	world.there = true;
	MOUNTS("Success", "mount", dir, "{\"volume\":\"data\"}");
	world.others = true;
	MOUNTS("Failure: in use: cwd of pid 7", "unmount", dir);
	assert_string_equal(world.mounted, dir);
	world.others = false;
	MOUNTS("Success", "unmount", dir);
	/* A file's, mounted by root: no volume to end. */
	strcpy(world.file_mounted, dir);
	world.attached = true;
	MOUNTS("Success", "unmount", dir);
	assert_true(!*world.file_mounted && world.attached);
}

static void test_who_does_not_answer_is_no_volume_less(void **state)
{
	static const char data[] = "{\"volume\":\"data\",\"size\":\"64Mi\"}";

	world.there = true;
	world.store_gone = true;
	MOUNTS("Failure: cannot reach the store", "mount", dir, data);
	ATTACHES("Failure: cannot reach the store", "attach", data, "node");
	ATTACHES("Failure: cannot reach the store", "isattached", data, "node");
	ATTACHES("Failure: cannot reach the store", "detach", "data", "node");
	ATTACHES("Failure: cannot reach the store", "detach", "none", "node");
	world.store_gone = false;
	world.helper_gone = true;
	MOUNTS("Failure: no device any more", "mount", dir, data);
	MOUNTS("Failure: cannot reach the helper", "unmount", dir);
	ATTACHES("Failure: does not say whether", "isattached", data, "node");
	ATTACHES("Failure: does not say whether", "waitforattach", "/dev/ublkb3", data);
	ATTACHES("Failure: cannot reach the helper", "detach", "/dev/ublkb3", "node");
	ATTACHES("Failure: cannot reach the helper", "unmountdevice", dir);
	world.helper_gone = false;
	world.attached = false;
	MOUNTS("Success", "mount", dir, data);
	world.store_gone = true;
	MOUNTS("Success", "unmount", dir);
	assert_non_null(strstr(said("message"), "data is unmounted, and still attached: cannot"));
	assert_true(!*world.mounted && world.attached);
}

static void test_attach_and_detach(void **state)
{
	static const char data[] = "{\"kubernetes.io/pvOrVolumeName\":\"data\",\"size\":\"1Gi\"}";

	ATTACHES("Success", "isattached", data, "node");
	assert_string_equal(said("attached"), "false");
	ATTACHES("Failure: there is no volume data", "waitforattach", "/dev/ublkb3", data);
	ATTACHES("Success", "detach", "data", "node");
	for (int i = 0; i < 2; i++) {
		ATTACHES("Success", "attach", data, "node");
		assert_string_equal(said("device"), "/dev/ublkb3");
		assert_int_equal(world.changed, 2); /* made, attached */
		ATTACHES("Success", "isattached", data, "node");
		assert_string_equal(said("attached"), "true");
		ATTACHES("Success", "waitforattach", "/dev/ublkb3", data);
		assert_string_equal(said("device"), "/dev/ublkb3");
	}
	ATTACHES("Failure: volume data is /dev/ublkb3, not /dev/ublkb9", "waitforattach",
		 "/dev/ublkb9", data);
	ATTACHES("Success", "waitforattach", "", data);
	for (int i = 0; i < 2; i++) {
		ATTACHES("Success", "detach", i ? "/dev/ublkb3" : "data", "node");
		assert_false(world.attached);
	}
	ATTACHES("Success", "isattached", data);
	assert_string_equal(said("attached"), "false");
	ATTACHES("Failure: not attached: call attach first", "waitforattach", "/dev/ublkb3", data);
	ATTACHES("Success", "detach", "none");
	ATTACHES("Failure: is no name for a volume", "detach", "../data", "node");
	ATTACHES("Failure: is no device", "detach", "/dev/sda", "node");
	strcpy(world.file_mounted, "/srv/file");
	ATTACHES("Failure: /dev/ublkb4 is not the device of a volume", "detach", "/dev/ublkb4",
		 "node");
	ATTACHES("Failure: all that detach is told", "attach",
		 "{\"volume\":\"data\",\"kubernetes.io/pvOrVolumeName\":\"pv\"}", "node");
	ATTACHES("Success", "attach", data, "node");
	ATTACHES("Success", "detach", "/dev/ublkb3", "node");
	assert_false(world.attached);
}

static void test_mountdevice_comes_between(void **state)
{
	static const char data[] = "{\"kubernetes.io/pvOrVolumeName\":\"data\"}";

	world.there = true;
	ATTACHES("Failure: call attach first", "mountdevice", dir, "/dev/ublkb3", data);
	assert_int_equal(world.changed, 0);
	ATTACHES("Success", "attach", data, "node");
	ATTACHES("Failure: call attach again", "mountdevice", dir, "/dev/ublkb5", data);
	for (int i = 0; i < 2; i++) {
		ATTACHES("Success", "mountdevice", dir, "/dev/ublkb3", data);
		assert_string_equal(world.mounted, dir);
		assert_int_equal(world.changed, 2); /* the device is the one there was */
	}
	ATTACHES("Failure: it is mounted at", "detach", "data", "node");
	ATTACHES("Failure: the host has it", "mountdevice", "/tmp", "/dev/ublkb3", data);
	for (int i = 0; i < 2; i++) {
		ATTACHES("Success", "unmountdevice", dir);
		assert_true(!*world.mounted && world.attached);
	}
	ATTACHES("Success", "detach", "data", "node");
	assert_false(world.attached);
}

/* What strangers wrote comes back as text of one line, whatever it was. */
static void test_messages_are_clean(void **state)
{
	MOUNTS("Failure: ", "mount", "/tmp/\x1b[2J\n\xff", "{\"volume\":\"data\"}");
	MOUNTS("Failure: ", "mount", dir, "{\"volume\":\"\\u001b[2J\\n\\u202e\\\"\"}");
	for (const char *p = said("message"); *p; p++)
		assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
	ATTACHES("Failure: ", "detach", "\xff\"\\", "node");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_say_which_volume_and_how),
		cmocka_unit_test(test_sizes_are_written_as_kubernetes_does),
		cmocka_unit_test_setup_teardown(test_options_that_are_none_are_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_each_driver_has_its_call_outs, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_mount_and_unmount, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_volume_is_made_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_uses_it_keeps_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_does_not_answer_is_no_volume_less, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_attach_and_detach, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mountdevice_comes_between, setup, teardown),
		cmocka_unit_test_setup_teardown(test_messages_are_clean, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
