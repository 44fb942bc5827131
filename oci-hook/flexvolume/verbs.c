/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/flexvolume/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "driver/base/clock.h"
#include "driver/base/num.h"
#include "driver/base/text.h"
#include "oci-hook/cli/find.h"
#include "oci-hook/client.h"
#include "oci-hook/flexvolume/options.h"
#include "oci-hook/keys.h"
#include "oci-hook/keys_check.h"
#include "oci-hook/keys_files.h"
#include "oci-hook/keys_set.h"
#include "oci-hook/quote.h"
#include "oci-hook/volume_device.h"
#include "oci-hook/volumes.h"

#define VERBS_DEVICE_DIR "/dev/"
#define VERBS_NODE "ublkb%" PRIu32
#define VERBS_NODE_SIZE 24

struct call {
	bool attaches;
	int64_t deadline_ms;
	const char *dir;
	const char *device; /* or, as kubelet has it, a volume */
	struct options options;
	struct attach_options keys;
	struct json_object *reply;
};

enum verb_mode {
	VERB_MOUNTS = 1 << 0,
	VERB_ATTACHES = 1 << 1,
};

struct verb {
	const char *name;
	unsigned int modes; /* enum verb_mode */
	const char *words;  /* behind it: Directory, dEvice, Options, Node (which may be missing) */
	int (*run)(struct call *c, struct err *e);
};

static void reply_text(struct call *c, const char *key, const char *text)
{
	char words[2 * WIRE_REASON_SIZE];

	quote_text(words, sizeof(words), text);
	json_object_object_add(c->reply, key, json_object_new_string(words));
}

static void reply_device(struct call *c, uint32_t dev_id)
{
	char path[VERBS_NODE_SIZE];

	snprintf(path, sizeof(path), VERBS_DEVICE_DIR VERBS_NODE, dev_id);
	reply_text(c, "device", path);
}

static int left_ms(const struct call *c)
{
	return clock_left_ms(c->deadline_ms);
}

/* --- the volume --------------------------------------------------------------------------- */

static int volume_ask(const struct call *c, enum store_type type, struct volumes *ret,
		      struct err *e)
{
	struct volumes_call call = { .type = type, .fd = -1, .timeout_ms = left_ms(c) };

	text_copy(call.ask.name, sizeof(call.ask.name), c->options.volume);
	if (type == STORE_CREATE) {
		text_copy(call.ask.pool, sizeof(call.ask.pool), c->options.pool);
		call.ask.size_bytes = c->options.size_bytes;
		call.ask.filesystem = c->options.filesystem ?: FILESYSTEM_EXT4;
	}
	return volumes_call(&call, ret, e);
}

static int volume_one(const struct call *c, enum store_type type, struct store_volume *ret,
		      struct err *e)
{
	auto_volumes struct volumes v = { 0 };
	int r = volume_ask(c, type, &v, e);

	if (r < 0)
		return r;
	if (v.nr != 1)
		return err_set(e, EPROTO, "the store says nothing of volume %s", c->options.volume);
	*ret = v.rows[0];
	return 0;
}

/* One that is there is what it was asked to be, or nobody's to take for that. */
static int volume_check(const struct options *o, const struct store_volume *v, struct err *e)
{
	char has[NUM_SIZE_TEXT], asked[NUM_SIZE_TEXT];

	if (o->size_bytes > v->size_bytes)
		return err_set(e, EEXIST,
			       "volume %s has %s, and %s are asked for: make it larger (ublk-oci "
			       "volume resize %s --size %s), or ask for less",
			       o->volume, num_format_size(v->size_bytes, has),
			       num_format_size(o->size_bytes, asked), o->volume, asked);
	if (*o->pool && strcmp(o->pool, v->pool) != 0)
		return err_set(e, EEXIST,
			       "volume %s is in pool %s, not in %s: leave the pool out, or choose "
			       "another name",
			       o->volume, v->pool, o->pool);
	return 0;
}

/* Made, where a size is given and there is none; somebody else may make it meanwhile. */
static int volume_have(const struct call *c, struct store_volume *ret, struct err *e)
{
	int r = volume_one(c, STORE_INSPECT, ret, e);

	if (r == -ENOENT && !c->options.size_bytes)
		return err_set(e, ENOENT,
			       "there is no volume %s: make it (ublk-oci volume create), or give "
			       "the option size",
			       c->options.volume);
	if (r == -ENOENT) {
		r = volume_one(c, STORE_CREATE, ret, e);
		if (r == -EEXIST)
			r = volume_one(c, STORE_INSPECT, ret, e);
	}
	return r < 0 ? r : volume_check(&c->options, ret, e);
}

/* Attached, and as the device that is named. */
static int volume_look(const struct call *c, struct store_volume *ret, struct err *e)
{
	char path[VERBS_NODE_SIZE], word[QUOTE_SIZE];
	int r = volume_one(c, STORE_INSPECT, ret, e);

	if (r < 0)
		return r;
	if (ret->flags & STORE_IS_UNKNOWN)
		return err_set(
			e, EAGAIN,
			"the helper does not say whether volume %s is attached; is ublk-ocid "
			"running? (systemctl start ublk-ocid.socket)",
			c->options.volume);
	if (!c->device)
		return 0;
	if (!(ret->flags & STORE_IS_ATTACHED))
		return err_set(e, ENODEV, "volume %s is not attached: call attach first",
			       c->options.volume);
	snprintf(path, sizeof(path), VERBS_DEVICE_DIR VERBS_NODE, ret->dev_id);
	if (*c->device && strcmp(c->device, path) != 0)
		return err_set(e, ESTALE, "volume %s is %s, not %s: call attach again",
			       c->options.volume, path, quote_text(word, sizeof(word), c->device));
	return 0;
}

/* The name of a volume by its device; -ENODEV: there is none. */
static int volume_by_device(const struct call *c, char ret[STORE_NAME_SIZE], struct err *e)
{
	auto_client_devices struct client_devices all = { 0 };
	struct wire_device row;
	char word[QUOTE_SIZE];
	int r = client_list(&all, left_ms(c), e);

	if (r == 0)
		r = find_among(&row, &all, c->device, e);
	if (r < 0)
		return r;
	if (!(row.flags & WIRE_AHEAD))
		return err_set(e, EINVAL, "%s is not the device of a volume",
			       quote_text(word, sizeof(word), c->device));
	return volumes_set_name(ret, row.path + strlen(VERBS_DEVICE_DIR), e);
}

/* Is it none of those there are? */
static bool volume_is_gone(const struct call *c, const char *name)
{
	auto_volumes struct volumes all = { 0 };

	if (volume_ask(c, STORE_LIST, &all, NULL) < 0)
		return false;
	for (size_t i = 0; i < all.nr; i++) {
		if (!strcmp(all.rows[i].name, name))
			return false;
	}
	return true;
}

/* --- where it is mounted ------------------------------------------------------------------ */

/* What can be wrong with the place is said before anything is made. */
static int mount_open(struct call *c, int *ret_dir_fd, struct err *e)
{
	int r = keys_set(&c->keys, KEY_MOUNT, c->dir, e);

	return r < 0 ? r : keys_files_open_host(&c->keys, ret_dir_fd, e);
}

static int keys_of_volume(struct call *c, struct err *e)
{
	int r = keys_set(&c->keys, KEY_VOLUME, c->options.volume, e);

	return r < 0 ? r : keys_set(&c->keys, KEY_ACCESS, c->options.read_only ? "ro" : "rw", e);
}

/* The same again is the same mount. */
static int mount_claim(struct call *c, const struct store_volume *v, int dir_fd, struct err *e)
{
	enum catalog_filesystem fs = c->options.filesystem ?: v->filesystem ?: FILESYSTEM_EXT4;
	struct wire_reply reply = { 0 };
	int r;

	r = keys_set(&c->keys, KEY_FS, catalog_filesystem(fs) ?: "", e);
	if (r == 0)
		r = keys_of_volume(c, e);
	if (r == 0)
		r = keys_check(&c->keys, true, e);
	if (r == 0)
		r = volume_device_claim(&c->keys, "", "", dir_fd, left_ms(c), &reply, e);
	if (r == 0 && *reply.reason)
		reply_text(c, "message", reply.reason);
	return r;
}

/* ret: the volume that was mounted there; "" if nothing was, or no volume. */
static int mount_end(const struct call *c, char ret[STORE_NAME_SIZE], struct err *e)
{
	auto_client_devices struct client_devices all = { 0 };
	struct wire_device row;
	int r;

	*ret = '\0';
	r = client_list(&all, left_ms(c), e);
	if (r < 0)
		return r;
	r = find_on_host(&row, &all, c->dir, e);
	if (r < 0)
		return r == -ENODEV ? 0 : r;
	for (size_t i = 0; i < all.nr && row.flags & WIRE_CLAIMED; i++) {
		if (all.rows[i].flags & WIRE_AHEAD && all.rows[i].dev_id == row.dev_id)
			text_copy(ret, STORE_NAME_SIZE,
				  all.rows[i].path + strlen(VERBS_DEVICE_DIR));
	}
	return client_detach(row.generation, 0, left_ms(c), NULL, e);
}

/* --- the verbs ---------------------------------------------------------------------------- */

/*
 * kubelet itself gives a volume to the pod's fsGroup and label, and measures it, once it is
 * mounted. A volume grows by the store, not by kubelet.
 */
static int verb_init(struct call *c, struct err *e)
{
	const struct {
		const char *name;
		bool has;
	} rows[] = {
		{ "attach", c->attaches },     { "fsGroup", true },
		{ "selinuxRelabel", true },    { "supportsMetrics", true },
		{ "requiresFSResize", false },
	};
	struct json_object *o = json_object_new_object();

	if (!o)
		return err_sys(e, ENOMEM, "cannot answer");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		json_object_object_add(o, rows[i].name, json_object_new_boolean(rows[i].has));
	json_object_object_add(c->reply, "capabilities", o);
	return 0;
}

static int verb_get_volume_name(struct call *c, struct err *e)
{
	reply_text(c, "volumeName", c->options.volume);
	return 0;
}

static int verb_mount(struct call *c, struct err *e)
{
	auto_close int dir_fd = -1;
	struct store_volume v;
	int r = mount_open(c, &dir_fd, e);

	if (r == 0)
		r = volume_have(c, &v, e);
	return r < 0 ? r : mount_claim(c, &v, dir_fd, e);
}

/* What comes after the unmounting is no reason to unmount again: it is said, and no failure. */
static int verb_unmount(struct call *c, struct err *e)
{
	char volume[STORE_NAME_SIZE], words[ERR_TEXT_SIZE + STORE_NAME_SIZE + 64];
	struct err why;
	int r = mount_end(c, volume, e);

	if (r < 0 || !*volume)
		return r;
	r = volume_device_release(volume, left_ms(c), &why);
	if (r < 0 && r != -EBUSY && r != -ENODEV) {
		snprintf(words, sizeof(words), "volume %s is unmounted, and still attached: %s",
			 volume, why.text);
		reply_text(c, "message", words);
	}
	return 0;
}

static int verb_attach(struct call *c, struct err *e)
{
	struct store_volume v;
	int r;

	if (c->options.renamed)
		return err_set(
			e, EINVAL,
			"option volume differs from kubernetes.io/pvOrVolumeName, which is all "
			"that detach is told: leave it out, and call the PersistentVolume %s",
			c->options.volume);
	r = volume_have(c, &v, e);
	if (r == 0)
		r = keys_of_volume(c, e);
	if (r == 0)
		r = volume_device_make(&c->keys, left_ms(c), &v, e);
	if (r == 0)
		reply_device(c, v.dev_id);
	return r;
}

static int verb_wait_for_attach(struct call *c, struct err *e)
{
	struct store_volume v;
	int r = volume_look(c, &v, e);

	if (r == 0)
		reply_device(c, v.dev_id);
	return r;
}

static int verb_is_attached(struct call *c, struct err *e)
{
	struct store_volume v = { 0 };
	int r = volume_look(c, &v, e);

	if (r < 0 && r != -ENOENT)
		return r;
	json_object_object_add(c->reply, "attached",
			       json_object_new_boolean(r == 0 && v.flags & STORE_IS_ATTACHED));
	return 0;
}

static int verb_mount_device(struct call *c, struct err *e)
{
	auto_close int dir_fd = -1;
	struct store_volume v;
	int r = mount_open(c, &dir_fd, e);

	if (r == 0)
		r = volume_look(c, &v, e);
	return r < 0 ? r : mount_claim(c, &v, dir_fd, e);
}

static int verb_unmount_device(struct call *c, struct err *e)
{
	char volume[STORE_NAME_SIZE];

	return mount_end(c, volume, e);
}

/* kubelet names the volume, though the contract says the device. */
static int verb_detach(struct call *c, struct err *e)
{
	char name[STORE_NAME_SIZE];
	int r;

	if (!strncmp(c->device, VERBS_DEVICE_DIR, strlen(VERBS_DEVICE_DIR)))
		r = volume_by_device(c, name, e);
	else
		r = volumes_set_name(name, c->device, e);
	if (r < 0)
		return r == -ENODEV ? 0 : r;
	r = volume_device_release(name, left_ms(c), e);
	return r == -ENODEV || (r == -ENOENT && volume_is_gone(c, name)) ? 0 : r;
}

static const struct verb verbs[] = {
	{ "init", VERB_MOUNTS | VERB_ATTACHES, "", verb_init },
	{ "getvolumename", VERB_MOUNTS | VERB_ATTACHES, "O", verb_get_volume_name },
	{ "mount", VERB_MOUNTS, "DO", verb_mount },
	{ "unmount", VERB_MOUNTS, "D", verb_unmount },
	{ "attach", VERB_ATTACHES, "ON", verb_attach },
	{ "waitforattach", VERB_ATTACHES, "EO", verb_wait_for_attach },
	{ "isattached", VERB_ATTACHES, "ON", verb_is_attached },
	{ "mountdevice", VERB_ATTACHES, "DEO", verb_mount_device },
	{ "unmountdevice", VERB_ATTACHES, "D", verb_unmount_device },
	{ "detach", VERB_ATTACHES, "EN", verb_detach },
};

static const struct verb *verb_find(bool attaches, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (!strcmp(name, verbs[i].name) &&
		    verbs[i].modes & (attaches ? VERB_ATTACHES : VERB_MOUNTS))
			return &verbs[i];
	}
	return NULL;
}

static int call_take(struct call *c, const struct verb *verb, int nr, char *const *words,
		     struct err *e)
{
	const char *want = verb->words;
	int r = 0;

	for (int i = 0; i < nr && *want && r == 0; i++, want++) {
		if (*want == 'D')
			c->dir = words[i];
		else if (*want == 'E')
			c->device = words[i];
		else if (*want == 'O')
			r = options_parse(&c->options, words[i], e);
	}
	if (r == 0 && (nr > (int)strlen(verb->words) || (*want && *want != 'N')))
		return err_set(e, EINVAL, "%s takes %zu words behind it, not %d", verb->name,
			       strlen(verb->words), nr);
	return r;
}

struct json_object *verbs_run(bool attaches, int nr_words, char *const *words, int timeout_ms,
			      bool *ret_done)
{
	const struct verb *verb = nr_words ? verb_find(attaches, words[0]) : NULL;
	struct call c = {
		.attaches = attaches,
		.deadline_ms = clock_deadline_ms(timeout_ms),
		.reply = json_object_new_object(),
	};
	const char *status = "Not supported";
	struct err e = { "" };
	int r = -EOPNOTSUPP;

	if (!c.reply)
		return NULL;
	keys_init(&c.keys);
	if (verb) {
		r = call_take(&c, verb, nr_words - 1, words + 1, &e);
		if (r == 0)
			r = verb->run(&c, &e);
		status = r < 0 ? "Failure" : "Success";
		if (r < 0)
			reply_text(&c, "message", e.text);
	}
	json_object_object_add(c.reply, "status", json_object_new_string(status));
	*ret_done = r == 0;
	return c.reply;
}
