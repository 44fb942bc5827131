/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/plugin_world.h"

#include <errno.h>
#include <fcntl.h>
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

#include "driver/base/clock.h"
#include "oci-hook/client.h"
#include "oci-hook/volume-plugin/kept.h"
#include "oci-hook/volume-plugin/uses.h"
#include "oci-hook/volume-plugin/works.h"
#include "oci-hook/volumes.h"

struct world world;
struct plugin plugin;
struct json_object *reply;

static unsigned int status;
static bool held; /* what is slow goes on when it is not: for threads, so not in there */

int __wrap_volumes_call(const struct volumes_call *call, struct volumes *ret, struct err *e);
int __wrap_client_list(struct client_devices *ret, int timeout_ms, struct err *e);
int __wrap_client_claim(const struct wire_claim *req, int place_fd, int timeout_ms,
			struct wire_reply *ret, struct err *e);
int __wrap_client_detach(uint64_t generation, uint32_t flags, int timeout_ms,
			 struct wire_reply *ret, struct err *e);

struct row *row_find(const char *name)
{
	for (size_t i = 0; i < VOLUMES_MAX; i++) {
		if (!strcmp(world.rows[i].volume.name, name))
			return &world.rows[i];
	}
	return NULL;
}

struct row *row_add(const char *name)
{
	struct row *row = row_find("");

	assert_non_null(row);
	*row = (struct row){ .volume = { .size_bytes = 64 * MIB } };
	strcpy(row->volume.name, name);
	strcpy(row->volume.pool, "default");
	return row;
}

int store_slow(const char *name, struct err *e)
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
	if (__atomic_load_n(&world.crowd, __ATOMIC_ACQUIRE))
		return err_set(e, EAGAIN, "too many requests at once: try again");
	if (__atomic_load_n(&world.used, __ATOMIC_ACQUIRE))
		return err_set(e, EBUSY, "in use: cwd of pid 7");
	for (size_t i = 0; i < VOLUMES_MAX; i++) {
		if (world.rows[i].mount == generation)
			world.rows[i].mount = 0;
	}
	world.changed++;
	return 0;
}

void set(bool *flag, bool now)
{
	__atomic_store_n(flag, now, __ATOMIC_RELEASE);
}

const char *said(const char *key)
{
	return json_object_get_string(json_object_object_get(reply, key)) ?: "";
}

void calls_(unsigned int want, const char *why, const char *call, const char *body)
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

int nr_uses(const char *volume)
{
	struct row *row = row_find(volume);

	assert_non_null(row);
	return uses_count(plugin.uses_fd, volume, row->mount, NULL);
}

int plugin_world_begin(void **state)
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

int plugin_world_end(void **state)
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

void hold(bool now)
{
	set(&held, now);
}
