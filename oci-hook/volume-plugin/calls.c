/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/volume-plugin/calls.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "driver/base/clock.h"
#include "driver/base/log.h"
#include "driver/base/text.h"
#include "oci-hook/client.h"
#include "oci-hook/quote.h"
#include "oci-hook/volume-plugin/ask.h"
#include "oci-hook/volume-plugin/changes.h"
#include "oci-hook/volume-plugin/mounts.h"
#include "oci-hook/volume-plugin/uses.h"
#include "oci-hook/volume-plugin/works.h"
#include "oci-hook/volumes.h"

#define CALLS_SWEEP_MS 2000
#define CALLS_TIME_SIZE 32

struct call {
	const struct plugin *plugin;
	struct ask ask;
	int64_t deadline_ms;
	struct json_object *reply;
};

static int left_ms(const struct call *c)
{
	return clock_left_ms(c->deadline_ms);
}

static void put_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

static void put_number(struct json_object *o, const char *key, uint64_t n)
{
	json_object_object_add(o, key, json_object_new_int64((int64_t)n));
}

/* --- what there is ------------------------------------------------------------------------ */

static void volume_status(const struct store_volume *v, struct json_object *o)
{
	put_text(o, "pool", v->pool);
	put_number(o, "size_bytes", v->size_bytes);
	put_number(o, "used_bytes", v->used_bytes);
	if (v->filesystem)
		put_text(o, "filesystem", catalog_filesystem(v->filesystem) ?: "");
	if (*v->origin)
		put_text(o, v->flags & STORE_IS_SNAPSHOT ? "snapshot_of" : "copy_of", v->origin);
}

static struct json_object *volume_shown(const struct plugin *p, const struct store_volume *v,
					const struct mounts *m)
{
	struct json_object *o = json_object_new_object(), *status = json_object_new_object();
	char path[WIRE_PATH_SIZE] = "", made[CALLS_TIME_SIZE] = "";
	time_t created = (time_t)v->created;
	struct tm tm;

	if (m->there)
		mounts_path(p, v->name, path);
	if (gmtime_r(&created, &tm))
		strftime(made, sizeof(made), "%Y-%m-%dT%H:%M:%SZ", &tm);
	put_text(o, "Name", v->name);
	put_text(o, "Mountpoint", path);
	put_text(o, "CreatedAt", made);
	volume_status(v, status);
	json_object_object_add(o, "Status", status);
	return o;
}

struct seen {
	struct volumes volumes;
	struct client_devices devices; /* empty also where the helper does not answer */
};

static void seen_fini(struct seen *s)
{
	volumes_fini(&s->volumes);
	client_devices_fini(&s->devices);
}

/* All volumes, or the one that is asked for. */
static int seen_look(struct call *c, struct seen *ret, struct err *e)
{
	struct volumes_call call = { .type = *c->ask.volume ? STORE_INSPECT : STORE_LIST,
				     .fd = -1 };
	struct err why;
	int r;

	r = works_enter(c->plugin->works, left_ms(c), e);
	if (r < 0)
		return r;
	call.timeout_ms = left_ms(c);
	text_copy(call.ask.name, sizeof(call.ask.name), c->ask.volume);
	r = volumes_call(&call, &ret->volumes, e);
	if (r == 0 && client_list(&ret->devices, left_ms(c), &why) < 0)
		log_warning("what is mounted is not known: %s", why.text);
	works_leave(c->plugin->works);
	if (r == 0 && *c->ask.volume && ret->volumes.nr != 1)
		r = err_set(e, EPROTO, "the store says nothing of volume %s", c->ask.volume);
	return r;
}

static int call_get(struct call *c, struct err *e)
{
	__attribute__((cleanup(seen_fini))) struct seen seen = { 0 };
	struct mounts m;
	int r = seen_look(c, &seen, e);

	if (r < 0)
		return r;
	m = mounts_among(c->plugin, &seen.devices, c->ask.volume);
	json_object_object_add(c->reply, "Volume", volume_shown(c->plugin, seen.volumes.rows, &m));
	return 0;
}

static int call_path(struct call *c, struct err *e)
{
	__attribute__((cleanup(seen_fini))) struct seen seen = { 0 };
	char path[WIRE_PATH_SIZE] = "";
	int r = seen_look(c, &seen, e);

	if (r < 0)
		return r;
	if (mounts_among(c->plugin, &seen.devices, c->ask.volume).there)
		mounts_path(c->plugin, c->ask.volume, path);
	put_text(c->reply, "Mountpoint", path);
	return 0;
}

static int call_list(struct call *c, struct err *e)
{
	__attribute__((cleanup(seen_fini))) struct seen seen = { 0 };
	struct json_object *all = json_object_new_array();
	int r = seen_look(c, &seen, e);

	for (size_t i = 0; i < seen.volumes.nr && r == 0; i++) {
		const struct store_volume *v = &seen.volumes.rows[i];
		struct mounts m = mounts_among(c->plugin, &seen.devices, v->name);

		json_object_array_add(all, volume_shown(c->plugin, v, &m));
	}
	json_object_object_add(c->reply, "Volumes", all);
	return r;
}

/* --- what changes it ---------------------------------------------------------------------- */

static int call_create(struct call *c, struct err *e)
{
	return works_run(&changes_create, c->plugin, &c->ask, left_ms(c), e);
}

static int call_remove(struct call *c, struct err *e)
{
	return works_run(&changes_remove, c->plugin, &c->ask, left_ms(c), e);
}

static int call_mount(struct call *c, struct err *e)
{
	char path[WIRE_PATH_SIZE];
	int r = works_run(&changes_mount, c->plugin, &c->ask, left_ms(c), e);

	if (r < 0)
		return r;
	mounts_path(c->plugin, c->ask.volume, path);
	put_text(c->reply, "Mountpoint", path);
	return 0;
}

static int call_unmount(struct call *c, struct err *e)
{
	return works_run(&changes_unmount, c->plugin, &c->ask, left_ms(c), e);
}

/* --- all of them -------------------------------------------------------------------------- */

static int call_activate(struct call *c, struct err *e)
{
	struct json_object *what = json_object_new_array();

	json_object_array_add(what, json_object_new_string("VolumeDriver"));
	json_object_object_add(c->reply, "Implements", what);
	return 0;
}

static int call_capabilities(struct call *c, struct err *e)
{
	struct json_object *what = json_object_new_object();

	put_text(what, "Scope", "local");
	json_object_object_add(c->reply, "Capabilities", what);
	return 0;
}

static const struct call_row {
	const char *path;
	unsigned int members; /* enum ask_member; 0: its body is not read */
	int (*run)(struct call *c, struct err *e);
} calls[] = {
	{ "/Plugin.Activate", 0, call_activate },
	{ "/VolumeDriver.Capabilities", 0, call_capabilities },
	{ "/VolumeDriver.Create", ASK_NAME | ASK_OPTIONS, call_create },
	{ "/VolumeDriver.Remove", ASK_NAME, call_remove },
	{ "/VolumeDriver.Mount", ASK_NAME | ASK_ID, call_mount },
	{ "/VolumeDriver.Unmount", ASK_NAME | ASK_ID, call_unmount },
	{ "/VolumeDriver.Path", ASK_NAME, call_path },
	{ "/VolumeDriver.Get", ASK_NAME, call_get },
	{ "/VolumeDriver.List", 0, call_list },
};

static const struct call_row *call_find(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		if (!strcmp(path, calls[i].path))
			return &calls[i];
	}
	return NULL;
}

/* What strangers wrote comes back as one line of text, whatever it was. */
static void call_failed(struct call *c, const char *path, const char *why)
{
	char words[2 * ERR_TEXT_SIZE];

	quote_text(words, sizeof(words), why);
	put_text(c->reply, "Err", words);
	log_info("%s %s: %s", path, c->ask.volume, words);
}

struct json_object *calls_serve(const struct plugin *p, const char *path, const char *body,
				size_t size, unsigned int *ret_status)
{
	const struct call_row *row = call_find(path);
	struct call c = {
		.plugin = p,
		.deadline_ms = clock_deadline_ms(CALLS_ANSWER_MS),
		.reply = json_object_new_object(),
	};
	struct err e = { "" };
	char word[QUOTE_SIZE];
	int r = 0;

	if (!c.reply)
		return NULL;
	*ret_status = row ? 400 : 404;
	if (!row) {
		call_failed(&c, quote_text(word, sizeof(word), path), "there is no such call");
		return c.reply;
	}
	if (row->members)
		r = ask_parse(&c.ask, body, size, row->members, &e);
	if (r == 0) {
		r = row->run(&c, &e);
		*ret_status = r < 0 ? 500 : 200;
	}
	if (r < 0)
		call_failed(&c, row->path, e.text);
	else
		put_text(c.reply, "Err", "");
	return c.reply;
}

void calls_sweep(const struct plugin *p)
{
	auto_client_devices struct client_devices all = { 0 };
	size_t length = strlen(p->dir);
	struct ask ask;
	struct err e;

	if (client_list(&all, CALLS_SWEEP_MS, &e) < 0) {
		log_warning("what is mounted is not known: %s", e.text);
		return;
	}
	for (size_t i = 0; i < all.nr; i++) {
		const struct wire_device *row = &all.rows[i];

		memset(&ask, 0, sizeof(ask));
		if (!(row->flags & WIRE_HOST) || !row->filesystem ||
		    strncmp(row->path, p->dir, length) != 0 || row->path[length] != '/' ||
		    volumes_set_name(ask.volume, row->path + length + 1, NULL) < 0 ||
		    uses_count(p->uses_fd, ask.volume, row->generation, NULL) != 0)
			continue;
		log_info("volume %s is mounted, and nobody uses it", ask.volume);
		if (works_run(&changes_unmount, p, &ask, CALLS_ANSWER_MS, &e) < 0)
			log_warning("%s", e.text);
	}
}
