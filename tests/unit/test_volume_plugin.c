/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The volume plug-in with a store of few volumes and a helper that mounts them: what it makes of
 * requests, what it asks for and answers, who uses what, and what becomes of work that takes long.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/text.h"
#include "oci-hook/client.h"
#include "oci-hook/volume-plugin/ask.h"
#include "oci-hook/volume-plugin/calls.h"
#include "oci-hook/volume-plugin/changes.h"
#include "oci-hook/volume-plugin/kept.h"
#include "oci-hook/volume-plugin/uses.h"
#include "oci-hook/volume-plugin/works.h"
#include "oci-hook/volumes.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define VOLUMES_MAX 8
#define PATIENCE_MS 20000
#define ASK_CREATE (ASK_NAME | ASK_OPTIONS)

struct row {
	struct store_volume volume; /* "": none */
	bool others;		    /* not of this user */
	bool attached;
	bool read_only;
	uint64_t mount; /* generation of the claim; 0: none */
	uint32_t filesystem;
};

static struct world {
	struct row rows[VOLUMES_MAX];
	uint64_t last_generation;
	bool store_gone, helper_gone;
	bool used;    /* what is mounted, by a process */
	bool unknown; /* a detach is about no such device */
	unsigned int changed;
	bool image; /* the last create came with one */
	bool quiet; /* the next create is not answered */
} world;

static bool held; /* what is slow goes on when it is not: for threads, so not in there */

static struct plugin plugin;
static struct json_object *reply;
static unsigned int status;

/* --- the store and the helper ------------------------------------------------------------- */

int __wrap_volumes_call(const struct volumes_call *call, struct volumes *ret, struct err *e);
int __wrap_client_list(struct client_devices *ret, int timeout_ms, struct err *e);
int __wrap_client_claim(const struct wire_claim *req, int place_fd, int timeout_ms,
			struct wire_reply *ret, struct err *e);
int __wrap_client_detach(uint64_t generation, uint32_t flags, int timeout_ms,
			 struct wire_reply *ret, struct err *e);

static struct row *row_find(const char *name)
{
	for (size_t i = 0; i < VOLUMES_MAX; i++) {
		if (!strcmp(world.rows[i].volume.name, name))
			return &world.rows[i];
	}
	return NULL;
}

static struct row *row_add(const char *name)
{
	struct row *row = row_find("");

	assert_non_null(row);
	*row = (struct row){ .volume = { .size_bytes = 64 * MIB } };
	strcpy(row->volume.name, name);
	strcpy(row->volume.pool, "default");
	return row;
}

/* "slow" takes as long as it is held; "fails" does too, and comes to nothing. */
static int store_slow(const char *name, struct err *e)
{
	while ((!strcmp(name, "slow") || !strcmp(name, "fails")) &&
	       __atomic_load_n(&held, __ATOMIC_ACQUIRE))
		clock_sleep_ms(1);
	return strcmp(name, "fails") ? 0 : err_set(e, ENOSPC, "the pool is full");
}

static int store_create(const struct volumes_call *call, struct err *e)
{
	const struct store_ask *ask = &call->ask;
	struct row *row;
	int r = store_slow(ask->name, e);

	if (r < 0)
		return r;
	if (row_find(ask->name))
		return err_set(e, EEXIST, "there is a volume %s already", ask->name);
	if (*ask->from && !row_find(ask->from))
		return err_set(e, ENOENT, "there is no volume %s", ask->from);
	row = row_add(ask->name);
	row->volume.size_bytes = ask->size_bytes ?: 64 * MIB;
	row->volume.filesystem = ask->filesystem;
	row->volume.flags = call->type == STORE_SNAPSHOT ? STORE_IS_SNAPSHOT : 0;
	strcpy(row->volume.origin, ask->from);
	if (*ask->pool)
		strcpy(row->volume.pool, ask->pool);
	world.image = call->fd >= 0;
	world.changed++;
	if (world.quiet) {
		world.quiet = false;
		return err_set(e, ECONNRESET, "the store closed the connection");
	}
	return 0;
}

static int store_change(const struct volumes_call *call, struct row *row, struct err *e)
{
	int r = call->type == STORE_ATTACH ? store_slow(row->volume.name, e) : 0;

	if (r < 0)
		return r;
	if (call->type == STORE_ATTACH && row->volume.flags & STORE_IS_SNAPSHOT &&
	    !(call->ask.device_flags & WIRE_READ_ONLY))
		return err_set(e, EROFS, "a snapshot is attached read-only");
	if (call->type == STORE_DETACH && !row->attached)
		return err_set(e, ENODEV, "it is not attached");
	if (call->type != STORE_ATTACH && row->mount)
		return err_set(e, EBUSY, "it is mounted");
	if (call->type == STORE_DELETE && row->attached)
		return err_set(e, EBUSY, "it is attached");
	world.changed++;
	row->attached = call->type == STORE_ATTACH;
	row->read_only = call->ask.device_flags & WIRE_READ_ONLY;
	if (call->type == STORE_DELETE)
		*row = (struct row){ 0 };
	return 0;
}

static void store_tell(struct volumes *ret, const struct row *row)
{
	struct store_volume *v;

	ret->rows = reallocarray(ret->rows, ret->nr + 1, sizeof(*ret->rows));
	assert_non_null(ret->rows);
	v = &ret->rows[ret->nr++];
	*v = row->volume;
	v->flags |= row->attached ? STORE_IS_ATTACHED : 0;
	v->generation = 100 + (uint64_t)(row - world.rows);
	v->dev_id = (uint32_t)(row - world.rows);
}

int __wrap_volumes_call(const struct volumes_call *call, struct volumes *ret, struct err *e)
{
	struct row *row = row_find(call->ask.name);
	int r = 0;

	assert_null(ret->rows);
	assert_true(call->timeout_ms >= 0);
	if (world.store_gone)
		return err_set(e, ECONNREFUSED, "cannot reach the store");
	if (call->type == STORE_LIST) {
		for (size_t i = 0; i < VOLUMES_MAX; i++) {
			if (*world.rows[i].volume.name && !world.rows[i].others)
				store_tell(ret, &world.rows[i]);
		}
		return 0;
	}
	if (call->type == STORE_CREATE || call->type == STORE_SNAPSHOT)
		return store_create(call, e);
	if (!row || row->others)
		return err_set(e, ENOENT, "there is no volume %s", call->ask.name);
	if (call->type != STORE_INSPECT)
		r = store_change(call, row, e);
	if (r == 0 && call->type != STORE_DELETE && call->type != STORE_DETACH)
		store_tell(ret, row);
	return r;
}

static bool is_mount(const struct row *row)
{
	return *row->volume.name && row->mount;
}

int __wrap_client_list(struct client_devices *ret, int timeout_ms, struct err *e)
{
	if (world.helper_gone)
		return err_set(e, ENOENT, "cannot reach the helper");
	ret->rows = calloc(VOLUMES_MAX, sizeof(*ret->rows));
	assert_non_null(ret->rows);
	for (size_t i = 0; i < VOLUMES_MAX; i++) {
		struct wire_device *d = &ret->rows[ret->nr];

		if (!is_mount(&world.rows[i]))
			continue;
		*d = (struct wire_device){
			.generation = world.rows[i].mount,
			.flags = WIRE_CLAIMED | WIRE_HOST,
			.filesystem = world.rows[i].filesystem,
		};
		snprintf(d->path, sizeof(d->path), "%.150s/%.63s", plugin.dir,
			 world.rows[i].volume.name);
		ret->nr++;
	}
	return 0;
}

int __wrap_client_claim(const struct wire_claim *req, int place_fd, int timeout_ms,
			struct wire_reply *ret, struct err *e)
{
	struct row *row = &world.rows[req->generation - 100];
	struct stat st, named;

	if (world.helper_gone)
		return err_set(e, ECONNREFUSED, "cannot reach the helper");
	assert_true(row->attached);
	assert_int_equal(fstat(place_fd, &st), 0);
	assert_int_equal(stat(req->path, &named), 0);
	assert_true(S_ISDIR(st.st_mode) && st.st_ino == named.st_ino);
	if (!row->mount)
		world.changed++;
	row->mount = row->mount ?: ++world.last_generation;
	row->filesystem = req->filesystem;
	ret->generation = row->mount;
	return 0;
}

int __wrap_client_detach(uint64_t generation, uint32_t flags, int timeout_ms,
			 struct wire_reply *ret, struct err *e)
{
	assert_int_equal(flags, 0);
	if (world.helper_gone || world.unknown)
		return err_set(e, ENOENT, "there is no such device, or no helper");
	if (__atomic_load_n(&world.used, __ATOMIC_ACQUIRE))
		return err_set(e, EBUSY, "in use: cwd of pid 7");
	for (size_t i = 0; i < VOLUMES_MAX; i++) {
		if (world.rows[i].mount == generation)
			world.rows[i].mount = 0;
	}
	world.changed++;
	return 0;
}

/* For works that are under way. */
static void set(bool *flag, bool now)
{
	__atomic_store_n(flag, now, __ATOMIC_RELEASE);
}

/* --- asking ------------------------------------------------------------------------------- */

static const char *said(const char *key)
{
	return json_object_get_string(json_object_object_get(reply, key)) ?: "";
}

/* want: 0, or the status of a failure whose words hold why. */
static void calls_(unsigned int want, const char *why, const char *call, const char *body)
{
	char path[64];

	snprintf(path, sizeof(path), "/VolumeDriver.%s", call);
	json_object_put(reply);
	reply = calls_serve(&plugin, path, body, strlen(body), &status);
	assert_non_null(reply);
	if (status != (want ?: 200) || !strstr(said("Err"), why) || (!want && *said("Err")))
		fail_msg("%s %s: wanted %u %s, not %u %s", call, body, want, why, status,
			 json_object_to_json_string(reply));
}

#define WORKS(call, body) calls_(0, "", call, body)
#define FAILS(why, call, body) calls_(500, why, call, body)
#define REFUSED(why, call, body) calls_(400, why, call, body)

static int nr_uses(const char *volume)
{
	struct row *row = row_find(volume);

	assert_non_null(row);
	return uses_count(plugin.uses_fd, volume, row->mount, NULL);
}

static int setup(void **state)
{
	world = (struct world){ .last_generation = 0xabc0000 };
	strcpy(plugin.dir, "/tmp/test_volume_plugin.XXXXXX");
	if (!mkdtemp(plugin.dir))
		return -1;
	plugin.dir_fd = open(plugin.dir, O_RDONLY | O_DIRECTORY);
	mkdirat(plugin.dir_fd, ".uses", 0700);
	mkdirat(plugin.dir_fd, ".kept", 0700);
	plugin.uses_fd = openat(plugin.dir_fd, ".uses", O_RDONLY | O_DIRECTORY);
	plugin.kept_fd = openat(plugin.dir_fd, ".kept", O_RDONLY | O_DIRECTORY);
	plugin.works = works_new();
	return plugin.uses_fd < 0 || plugin.kept_fd < 0 || !plugin.works ? -1 : 0;
}

/* Fails where something is left. */
static int teardown(void **state)
{
	char path[WIRE_PATH_SIZE + 8];
	int r = 0;

	json_object_put(reply);
	reply = NULL;
	for (size_t i = 0; i < VOLUMES_MAX; i++) {
		if (!*world.rows[i].volume.name)
			continue;
		uses_clear(plugin.uses_fd, world.rows[i].volume.name, NULL);
		kept_remove(plugin.kept_fd, world.rows[i].volume.name);
		unlinkat(plugin.dir_fd, world.rows[i].volume.name, AT_REMOVEDIR);
	}
	works_free(plugin.works);
	close(plugin.dir_fd);
	close(plugin.uses_fd);
	close(plugin.kept_fd);
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", plugin.dir, i ? ".kept" : ".uses");
		r |= rmdir(path);
	}
	return r | rmdir(plugin.dir);
}

/* --- requests ----------------------------------------------------------------------------- */

static void test_a_request_says_what_is_wanted(void **state)
{
	static const char create[] = " {\"Name\":\"pg-data\",\"Opts\":{\"size\":\"10G\",\"pool\":"
				     "\"fast\",\"fs\":\"xfs\","
				     "\"access\":\"ro\"},\"New\":[{}]} \n";
	static const char mount[] = "{\"Name\":\"a\",\"ID\":\"b0b1\"}";
	struct ask ask, same;
	struct err e;

	assert_int_equal(ask_parse(&ask, create, strlen(create), ASK_CREATE, &e), 0);
	assert_string_equal(ask.volume, "pg-data");
	assert_string_equal(ask.options.pool, "fast");
	assert_int_equal(ask.options.size_bytes, 10 * GIB);
	assert_int_equal(ask.options.filesystem, FILESYSTEM_XFS);
	assert_true(ask.options.read_only && !ask.options.snapshot && !*ask.options.from);
	memset(&same, 0xff, sizeof(same));
	assert_int_equal(ask_parse(&same, create, strlen(create), ASK_CREATE, &e), 0);
	assert_memory_equal(&ask, &same, sizeof(ask));
	assert_int_equal(ask_parse(&ask, mount, strlen(mount), ASK_NAME | ASK_ID, &e), 0);
	assert_string_equal(ask.id, "b0b1");
	assert_int_equal(ask_parse(&ask, mount, strlen(mount), ASK_NAME, &e), 0);
	assert_string_equal(ask.id, "");
}

static void test_what_is_no_request_is_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "", "ends too early" },
		{ "{\"Name\":\"a\"", "ends too early" },
		{ "null", "ends too early" },
		{ "[]", "no JSON object" },
		{ "{}", "Name, which says which volume" },
		{ "{\"Name\":7}", "Name, which says which volume" },
		{ "{\"Name\":\"a\\u0000b\"}", "Name, which says which volume" },
		{ "{\"Name\":\"../etc\"}", "is no name for a volume" },
		{ "{\"Name\":\".uses\"}", "is no name for a volume" },
		{ "{\"Name\":\"\"}", "is no name for a volume" },
		{ "{\"Name\":\"a\",\"Opts\":[]}", "Opts is no object" },
		{ "{\"Name\":\"a\"}", "the volume needs a size" },
		{ "{\"Name\":\"a\",\"Opts\":null}", "the volume needs a size" },
		{ "{\"Name\":\"a\",\"Opts\":{\"size\":64}}", "option size is no text" },
		{ "{\"Name\":\"a\",\"Opts\":{\"size\":\"0\"}}", "is not a size" },
		{ "{\"Name\":\"a\",\"Opts\":{\"Size\":\"1G\"}}", "option Size is not known" },
		{ "{\"Name\":\"a\",\"Opts\":{\"size\":\"1G\",\"pool\":\"a b\"}}",
		  "no name of a pool" },
		{ "{\"Name\":\"a\",\"Opts\":{\"size\":\"1G\",\"fs\":\"\"}}", "is none of: ext4" },
		{ "{\"Name\":\"a\",\"Opts\":{\"size\":\"1G\",\"access\":\"no\"}}",
		  "neither rw nor ro" },
		{ "{\"Name\":\"a\",\"Opts\":{\"from\":\"image\"}}", "no path from the root" },
		{ "{\"Name\":\"a\",\"Opts\":{\"clone\":\"/b\"}}", "is no name for a volume" },
		{ "{\"Name\":\"a\",\"Opts\":{\"clone\":\"b\",\"snapshot\":\"c\"}}", "is enough" },
		{ "{\"Name\":\"a\",\"Opts\":{\"clone\":\"b\",\"from\":\"/c\"}}", "is enough" },
		{ "{\"Name\":\"a\",\"Opts\":{\"clone\":\"b\",\"fs\":\"xfs\"}}",
		  "option fs is for" },
		{ "{\"Name\":\"a\",\"Opts\":{\"snapshot-of\":\"b\",\"size\":\"1G\"}}",
		  "leave size out" },
		{ "{\"Name\":\"a\",\"Opts\":{\"snapshot-of\":\"b\",\"access\":\"rw\"}}",
		  "leave access out" },
	};
	char id[ASK_ID_MAX + 32];
	struct ask ask;
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int r = ask_parse(&ask, rows[i].text, strlen(rows[i].text), ASK_CREATE, &e);

		if (r != -EINVAL || !strstr(e.text, rows[i].why))
			fail_msg("%s: %d %s", rows[i].text, r, r < 0 ? e.text : "");
		REFUSED(rows[i].why, "Create", rows[i].text);
	}
	for (int size = ASK_ID_MAX; size <= ASK_ID_MAX + 1; size++) {
		snprintf(id, sizeof(id), "{\"Name\":\"a\",\"ID\":\"%0*d\"}", size, 7);
		assert_int_equal(ask_parse(&ask, id, strlen(id), ASK_NAME | ASK_ID, &e),
				 size > ASK_ID_MAX ? -EINVAL : 0);
	}
	REFUSED("ID, which says who", "Mount", "{\"Name\":\"a\"}");
	REFUSED("ID, which says who", "Mount", "{\"Name\":\"a\",\"ID\":\"../../b\"}");
	assert_int_equal(ask_parse(&ask, id, ASK_TEXT_MAX + 1, ASK_NAME, &e), -E2BIG);
	calls_(404, "no such call", "Explode", "{}");
	assert_int_equal(world.changed, 0);
}

static void test_messages_are_clean(void **state)
{
	REFUSED("", "Create", "{\"Name\":\"\\u001b[2J\\n\\u202e\\\"\"}");
	for (const char *p = said("Err"); *p; p++)
		assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
}

/* --- volumes ------------------------------------------------------------------------------ */

static void test_a_volume_is_made_once(void **state)
{
	static const char data[] = "{\"Name\":\"data\",\"Opts\":{\"size\":\"64M\"}}";

	for (int i = 0; i < 2; i++) {
		WORKS("Create", data);
		assert_int_equal(world.changed, 1);
	}
	assert_int_equal(row_find("data")->volume.filesystem, FILESYSTEM_EXT4);
	FAILS("of 64M only", "Create", "{\"Name\":\"data\",\"Opts\":{\"size\":\"1G\"}}");
	FAILS("in pool default", "Create",
	      "{\"Name\":\"data\",\"Opts\":{\"size\":\"1M\",\"pool\":\"fast\"}}");
	FAILS("no such copy", "Create", "{\"Name\":\"data\",\"Opts\":{\"clone\":\"other\"}}");
	FAILS("another access", "Create",
	      "{\"Name\":\"data\",\"Opts\":{\"size\":\"1M\",\"access\":\"ro\"}}");
	FAILS("file system", "Create",
	      "{\"Name\":\"data\",\"Opts\":{\"size\":\"1M\",\"fs\":\"xfs\"}}");
	row_add("roots")->others = true;
	FAILS("choose another name", "Create", "{\"Name\":\"roots\",\"Opts\":{\"size\":\"1M\"}}");
	FAILS("there is no volume roots", "Get", "{\"Name\":\"roots\"}");
	WORKS("Remove", "{\"Name\":\"roots\"}");
	assert_non_null(row_find("roots"));
	WORKS("List", "");
	assert_int_equal(json_object_array_length(json_object_object_get(reply, "Volumes")), 1);
	for (int i = 0; i < 2; i++)
		WORKS("Remove", "{\"Name\":\"data\"}");
	assert_null(row_find("data"));
}

/* The store ended behind it. */
static void test_what_was_made_unheard_is_as_it_was_asked_for(void **state)
{
	static const char data[] =
		"{\"Name\":\"data\",\"Opts\":{\"size\":\"64M\",\"access\":\"ro\"}}";

	world.quiet = true;
	FAILS("closed the connection", "Create", data);
	WORKS("Create", data);
	WORKS("Mount", "{\"Name\":\"data\",\"ID\":\"1\"}");
	assert_true(row_find("data")->read_only);
	WORKS("Unmount", "{\"Name\":\"data\",\"ID\":\"1\"}");
	WORKS("Remove", data);
	/* And it is forgotten with what was not made after all. */
	world.quiet = true;
	FAILS("closed the connection", "Create", data);
	*row_find("data") = (struct row){ 0 };
	WORKS("Remove", data);
	assert_int_equal(faccessat(plugin.kept_fd, "data", F_OK, AT_SYMLINK_NOFOLLOW), -1);
}

static void test_copies_and_snapshots(void **state)
{
	static const char then[] = "{\"Name\":\"then\",\"Opts\":{\"snapshot-of\":\"data\"}}";
	struct kept kept;

	WORKS("Create",
	      "{\"Name\":\"data\",\"Opts\":{\"from\":\"/proc/self/exe\",\"fs\":\"xfs\"}}");
	assert_true(world.image);
	assert_int_equal(row_find("data")->volume.filesystem, 0);
	FAILS("cannot look at the image", "Create",
	      "{\"Name\":\"none\",\"Opts\":{\"from\":\"/none.such\"}}");
	FAILS("no regular file", "Create", "{\"Name\":\"none\",\"Opts\":{\"from\":\"/dev/null\"}}");
	FAILS("there is no volume gone", "Create",
	      "{\"Name\":\"x\",\"Opts\":{\"clone\":\"gone\"}}");
	for (int i = 0; i < 2; i++)
		WORKS("Create", then);
	WORKS("Create", "{\"Name\":\"copy\",\"Opts\":{\"snapshot\":\"then\"}}");
	WORKS("Mount", "{\"Name\":\"then\",\"ID\":\"1\"}");
	assert_true(row_find("then")->read_only);
	assert_int_equal(row_find("then")->filesystem, FILESYSTEM_XFS);
	WORKS("Mount", "{\"Name\":\"copy\",\"ID\":\"1\"}");
	assert_false(row_find("copy")->read_only);
	assert_int_equal(row_find("copy")->filesystem, FILESYSTEM_XFS);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = { "then", "copy", "data" };
		char body[64];

		snprintf(body, sizeof(body), "{\"Name\":\"%s\",\"ID\":\"1\"}", names[i]);
		WORKS("Unmount", body);
		WORKS("Remove", body);
		assert_int_equal(kept_read(plugin.kept_fd, names[i], &kept, NULL), 0);
		assert_true(!kept.read_only && !kept.filesystem);
	}
}

static void test_a_mount_lasts_as_long_as_its_uses(void **state)
{
	static const char a[] = "{\"Name\":\"data\",\"ID\":\"a\"}";
	static const char b[] = "{\"Name\":\"data\",\"ID\":\"b\"}";
	char path[WIRE_PATH_SIZE];

	FAILS("create it first", "Mount", a);
	WORKS("Unmount", a);
	row_add("data");
	for (int i = 0; i < 2; i++) {
		WORKS("Mount", a);
		snprintf(path, sizeof(path), "%.200s/data", plugin.dir);
		assert_string_equal(said("Mountpoint"), path);
		assert_int_equal(nr_uses("data"), 1);
	}
	WORKS("Mount", b);
	assert_int_equal(nr_uses("data"), 2);
	FAILS("in use, 2 times", "Remove", a);
	WORKS("Unmount", "{\"Name\":\"data\",\"ID\":\"c\"}");
	for (int i = 0; i < 2; i++)
		WORKS("Unmount", a);
	assert_true(row_find("data")->mount && nr_uses("data") == 1);
	for (int i = 0; i < 2; i++)
		WORKS("Unmount", b);
	assert_true(!row_find("data")->mount && !row_find("data")->attached);
	assert_int_equal(access(path, F_OK), -1);
	WORKS("Remove", a);
}

/* By root, or by the helper's end: the uses were of that mount. */
static void test_uses_end_with_their_mount(void **state)
{
	static const char a[] = "{\"Name\":\"data\",\"ID\":\"a\"}";

	row_add("data");
	WORKS("Mount", a);
	row_find("data")->mount = 0;
	WORKS("Mount", "{\"Name\":\"data\",\"ID\":\"b\"}");
	assert_int_equal(nr_uses("data"), 1);
	WORKS("Unmount", a); /* of a mount that is no more */
	assert_int_equal(nr_uses("data"), 1);
	row_find("data")->mount = 0;
	WORKS("Remove", a);
	assert_null(row_find("data"));
}

static void test_a_mount_that_is_held_is_nobodys_use(void **state)
{
	static const char a[] = "{\"Name\":\"data\",\"ID\":\"a\"}";

	row_add("data");
	WORKS("Mount", a);
	set(&world.used, true);
	WORKS("Unmount", a);
	assert_int_equal(nr_uses("data"), 0);
	FAILS("in use: cwd of pid 7", "Remove", a);
	set(&world.used, false);
	world.unknown = true;
	FAILS("still being unmounted", "Remove", a);
	world.unknown = false;
	calls_sweep(&plugin);
	for (int i = 0; i < 200 && row_find("data")->mount; i++)
		clock_sleep_ms(10);
	assert_true(!row_find("data")->mount);
	WORKS("Remove", a);
}

/* As a container's that is about to end. */
static void test_what_is_held_is_unmounted_once_it_is_not(void **state)
{
	static const char a[] = "{\"Name\":\"data\",\"ID\":\"a\"}";

	row_add("data");
	WORKS("Mount", a);
	set(&world.used, true);
	WORKS("Unmount", a);
	assert_true(row_find("data")->mount);
	WORKS("Mount", a); /* which does not wait for that */
	assert_int_equal(nr_uses("data"), 1);
	WORKS("Unmount", a);
	set(&world.used, false);
	for (int i = 0; i < PATIENCE_MS / 10 && row_find("data")->mount; i++)
		clock_sleep_ms(10);
	assert_true(!row_find("data")->mount);
	WORKS("Remove", a);
}

static void test_a_sweep_leaves_what_is_used(void **state)
{
	row_add("data");
	WORKS("Mount", "{\"Name\":\"data\",\"ID\":\"a\"}");
	calls_sweep(&plugin);
	clock_sleep_ms(50);
	assert_true(row_find("data")->mount);
	WORKS("Unmount", "{\"Name\":\"data\",\"ID\":\"a\"}");
}

static void test_who_does_not_answer_loses_nothing(void **state)
{
	static const char a[] = "{\"Name\":\"data\",\"ID\":\"a\"}";

	row_add("data");
	WORKS("Mount", a);
	world.helper_gone = true;
	FAILS("cannot reach the helper", "Unmount", a);
	FAILS("cannot reach the helper", "Remove", a);
	FAILS("cannot reach the helper", "Mount", "{\"Name\":\"data\",\"ID\":\"b\"}");
	WORKS("Get", a);
	WORKS("List", "");
	world.helper_gone = false;
	assert_int_equal(nr_uses("data"), 1);
	world.store_gone = true;
	FAILS("cannot reach the store", "Get", a);
	FAILS("cannot reach the store", "Mount", a);
	WORKS("Unmount", a);
	assert_true(!row_find("data")->mount && row_find("data")->attached);
	FAILS("cannot reach the store", "Remove", a);
	world.store_gone = false;
	WORKS("Remove", a);
}

/* --- what is noted ------------------------------------------------------------------------ */

static void test_uses_are_counted_by_mount(void **state)
{
	char id[16];
	struct err e;

	assert_int_equal(uses_count(plugin.uses_fd, "v", 1, &e), 0);
	assert_int_equal(uses_drop(plugin.uses_fd, "v", 1, "a", &e), 0);
	for (int i = 0; i < USES_MAX; i++) {
		snprintf(id, sizeof(id), "%d", i / 2 + (i & 1) * USES_MAX);
		assert_int_equal(uses_add(plugin.uses_fd, "v", 1, id, &e), 0);
	}
	assert_int_equal(uses_count(plugin.uses_fd, "v", 1, &e), USES_MAX);
	assert_int_equal(uses_add(plugin.uses_fd, "v", 1, "more", &e), -EUSERS);
	assert_int_equal(uses_drop(plugin.uses_fd, "v", 1, "0", &e), 0);
	assert_int_equal(uses_count(plugin.uses_fd, "v", 1, &e), USES_MAX - 1);
	assert_int_equal(uses_add(plugin.uses_fd, "v", 0x1000000000000001, "a", &e), 0);
	assert_int_equal(uses_count(plugin.uses_fd, "v", 0x1000000000000001, &e), 1);
	assert_int_equal(uses_count(plugin.uses_fd, "v", 1, &e), 0);
	assert_int_equal(uses_clear(plugin.uses_fd, "v", &e), 0);
	assert_int_equal(uses_clear(plugin.uses_fd, "v", &e), 0);
}

static void test_what_is_kept_is_whole_or_refused(void **state)
{
	static const char *const others[] = {
		"", "r", "ro", "rx,", "ro,ntfs", "ro,ext4,", "rw,EXT4"
	};
	const struct kept plain = { 0 }, both = { true, FILESYSTEM_BTRFS };
	struct kept kept;
	struct err e;

	assert_int_equal(kept_read(plugin.kept_fd, "v", &kept, &e), 0);
	assert_int_equal(kept_write(plugin.kept_fd, "v", &both, &e), 0);
	assert_int_equal(kept_read(plugin.kept_fd, "v", &kept, &e), 0);
	assert_true(kept.read_only && kept.filesystem == FILESYSTEM_BTRFS);
	assert_int_equal(kept_write(plugin.kept_fd, "v", &plain, &e), 0);
	assert_int_equal(kept_read(plugin.kept_fd, "v", &kept, &e), 0);
	assert_true(!kept.read_only && !kept.filesystem);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (*others[i])
			assert_int_equal(symlinkat(others[i], plugin.kept_fd, "v"), 0);
		else
			close(openat(plugin.kept_fd, "v", O_CREAT | O_WRONLY, 0600));
		if (kept_read(plugin.kept_fd, "v", &kept, &e) != -EUCLEAN)
			fail_msg("\"%s\" is taken", others[i]);
		kept_remove(plugin.kept_fd, "v");
	}
}

/* --- work that takes long ----------------------------------------------------------------- */

static int long_run(struct work *w, struct err *e)
{
	return store_slow(w->ask.volume, e);
}

static int long_finish(struct work *w, struct err *e)
{
	world.changed++;
	return 0;
}

static int long_work(const char *volume, const char *id, int timeout_ms, struct err *e)
{
	static const struct work_kind kind = { long_run, long_finish };
	struct ask ask;

	memset(&ask, 0, sizeof(ask));
	strcpy(ask.volume, volume);
	strcpy(ask.id, id);
	return works_run(&kind, &plugin, &ask, timeout_ms, e);
}

static void hold(bool now)
{
	set(&held, now);
}

static void test_work_that_takes_long_goes_on(void **state)
{
	struct err e;

	hold(true);
	assert_int_equal(long_work("slow", "a", 20, &e), -EAGAIN);
	assert_non_null(strstr(e.text, "ask again for its end"));
	assert_int_equal(long_work("slow", "b", 20, &e), -EAGAIN);
	assert_non_null(strstr(e.text, "something else is under way"));
	assert_int_equal(world.changed, 0); /* nobody was told */
	assert_int_equal(long_work("quick", "a", PATIENCE_MS, &e), 0);
	hold(false);
	assert_int_equal(long_work("slow", "a", PATIENCE_MS, &e), 0);
	assert_int_equal(world.changed, 2);
	assert_int_equal(long_work("slow", "b", PATIENCE_MS, &e), 0);
}

/* Its engine has given up, or asks again: until then it is nobody's. */
static void test_a_mount_nobody_heard_of_ends(void **state)
{
	static const char a[] = "{\"Name\":\"slow\",\"ID\":\"a\"}";
	struct ask ask;
	struct err e;

	memset(&ask, 0, sizeof(ask));
	strcpy(ask.volume, "slow");
	strcpy(ask.id, "a");
	row_add("slow");
	for (int again = 0; again < 2; again++) {
		plugin.unheard_ms = again ? PATIENCE_MS : 300;
		hold(true);
		assert_int_equal(works_run(&changes_mount, &plugin, &ask, 20, &e), -EAGAIN);
		hold(false);
		for (int i = 0; i < PATIENCE_MS / 5 && !row_find("slow")->mount; i++)
			clock_sleep_ms(5);
		assert_true(row_find("slow")->mount);
		assert_int_equal(nr_uses("slow"), 0);
		if (again) {
			WORKS("Mount", a);
			assert_int_equal(nr_uses("slow"), 1);
			WORKS("Unmount", a);
		}
		for (int i = 0; i < PATIENCE_MS / 10 && row_find("slow")->mount; i++)
			clock_sleep_ms(10);
		assert_true(!row_find("slow")->mount);
	}
	/* Behind it nothing is under way any more. */
	WORKS("Remove", a);
}

static void test_who_asks_again_is_told_how_it_failed(void **state)
{
	struct err e;

	for (int i = 0; i < 2; i++) {
		hold(true); /* what was told is not told again: it is begun anew */
		assert_int_equal(long_work("fails", "a", 20, &e), -EAGAIN);
		hold(false);
		clock_sleep_ms(i * 100); /* asked before its end, and behind it */
		assert_int_equal(long_work("fails", "a", PATIENCE_MS, &e), -ENOSPC);
		assert_string_equal(e.text, "the pool is full");
	}
}

/* Another's failure is not for who asks for something else. */
static void test_who_asks_for_something_else_is_not_told(void **state)
{
	struct err e;

	hold(true);
	assert_int_equal(long_work("fails", "a", 20, &e), -EAGAIN);
	hold(false);
	clock_sleep_ms(100);
	assert_int_equal(long_work("quick", "a", PATIENCE_MS, &e), 0);
	assert_int_equal(long_work("fails", "b", PATIENCE_MS, &e), -ENOSPC);
}

static void test_only_so_much_is_under_way(void **state)
{
	struct err e;

	for (int i = 0; i < WORKS_MAX; i++)
		assert_int_equal(works_enter(plugin.works, 0, &e), 0);
	assert_int_equal(works_enter(plugin.works, 20, &e), -EAGAIN);
	assert_int_equal(long_work("quick", "a", 20, &e), -EAGAIN);
	for (int i = 0; i < WORKS_MAX; i++)
		works_leave(plugin.works);
	assert_int_equal(long_work("quick", "a", PATIENCE_MS, &e), 0);
}

static int held_run(struct work *w, struct err *e)
{
	return store_slow("slow", e);
}

static void test_long_works_leave_room_for_questions(void **state)
{
	static const struct work_kind kind = { held_run, NULL };
	struct ask ask;
	struct err e;

	hold(true);
	memset(&ask, 0, sizeof(ask));
	for (int i = 0; i <= WORKS_LONG_MAX; i++) {
		snprintf(ask.volume, sizeof(ask.volume), "v%d", i);
		assert_int_equal(works_run(&kind, &plugin, &ask, 20, &e), -EAGAIN);
		if (!!strstr(e.text, "too much") != (i == WORKS_LONG_MAX))
			fail_msg("%d: %s", i, e.text);
	}
	for (int i = 0; i < WORKS_MAX - WORKS_LONG_MAX; i++)
		assert_int_equal(works_enter(plugin.works, 0, &e), 0);
	assert_int_equal(works_enter(plugin.works, 0, &e), -EAGAIN);
	hold(false);
	for (int i = 0; i < WORKS_MAX - WORKS_LONG_MAX; i++)
		works_leave(plugin.works);
	for (int i = 0; i < WORKS_LONG_MAX; i++) {
		snprintf(ask.volume, sizeof(ask.volume), "v%d", i);
		assert_int_equal(works_run(&kind, &plugin, &ask, PATIENCE_MS, &e), 0);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_request_says_what_is_wanted),
		TEST(test_what_is_no_request_is_refused),
		TEST(test_messages_are_clean),
		TEST(test_a_volume_is_made_once),
		TEST(test_what_was_made_unheard_is_as_it_was_asked_for),
		TEST(test_copies_and_snapshots),
		TEST(test_a_mount_lasts_as_long_as_its_uses),
		TEST(test_uses_end_with_their_mount),
		TEST(test_a_mount_that_is_held_is_nobodys_use),
		TEST(test_what_is_held_is_unmounted_once_it_is_not),
		TEST(test_a_mount_nobody_heard_of_ends),
		TEST(test_a_sweep_leaves_what_is_used),
		TEST(test_who_does_not_answer_loses_nothing),
		TEST(test_uses_are_counted_by_mount),
		TEST(test_what_is_kept_is_whole_or_refused),
		TEST(test_work_that_takes_long_goes_on),
		TEST(test_who_asks_again_is_told_how_it_failed),
		TEST(test_who_asks_for_something_else_is_not_told),
		TEST(test_only_so_much_is_under_way),
		TEST(test_long_works_leave_room_for_questions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
