/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/csi/publish.h"

#include <csi.pb-c.h>
#include <errno.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/num.h"
#include "driver/base/text.h"
#include "oci-hook/csi/access.h"
#include "oci-hook/csi/ask.h"
#include "oci-hook/csi/ids.h"
#include "oci-hook/csi/target.h"
#include "oci-hook/keys.h"
#include "oci-hook/quote.h"
#include "oci-hook/volume_device.h"

#define PUBLISH_EPHEMERAL "csi.storage.k8s.io/ephemeral"
#define PUBLISH_KUBERNETES "csi.storage.k8s.io/" /* what kubelet says of the pod */
#define PUBLISH_INLINE_SIZE (UINT64_C(1) << 30)	 /* where none is asked for */

/* The helper is given an end also by a call that has none. */
static int left_ms(const struct call *c)
{
	int left = clock_left_ms(c->deadline_ms);

	return left < 0 || left > CLIENT_TIMEOUT_MS ? CLIENT_TIMEOUT_MS : left;
}

/* --- what there is ------------------------------------------------------------------------ */

enum code publish_find(struct call *c, const char *id, struct store_volume *ret)
{
	char inline_id[IDS_SIZE];
	enum code code = ask_find(c, id, false, ret);

	if (code != CODE_NOT_FOUND || ids_of_inline(id, inline_id) < 0)
		return code;
	return ask_find(c, inline_id, false, ret) == CODE_OK ? CODE_OK : code;
}

/* Without the helper's word the store's row looks like that of a volume nobody has. */
static enum code known_check(struct call *c, const struct store_volume *v)
{
	if (!(v->flags & STORE_IS_UNKNOWN))
		return CODE_OK;
	return call_refuse(c, CODE_UNAVAILABLE,
			   "the helper did not say whether volume %s is attached; ask again",
			   v->name);
}

/* Own ones only: so many are shown. */
static bool claim_is(const struct wire_device *row, const struct store_volume *v)
{
	return v->flags & STORE_IS_ATTACHED && row->flags & WIRE_CLAIMED &&
	       row->flags & WIRE_HOST && row->dev_id == v->dev_id;
}

enum code publish_find_claim(struct call *c, const struct store_volume *v, const char *path,
			     struct wire_device *ret)
{
	auto_client_devices struct client_devices all = { 0 };
	enum code code = known_check(c, v);
	char word[QUOTE_SIZE];
	int r;

	if (code != CODE_OK)
		return code;
	r = client_list(&all, left_ms(c), &c->e);
	if (r < 0)
		return code_of_errno(r);
	for (size_t i = 0; i < all.nr; i++) {
		if (!claim_is(&all.rows[i], v) || strcmp(all.rows[i].path, path) != 0)
			continue;
		*ret = all.rows[i];
		return CODE_OK;
	}
	return call_refuse(c, CODE_NOT_FOUND, "volume %s is not published at %s", v->name,
			   quote_text(word, sizeof(word), path));
}

/* Where else it is: "" nowhere. */
static enum code claim_elsewhere(struct call *c, const struct store_volume *v, const char *path,
				 char ret[WIRE_PATH_SIZE])
{
	auto_client_devices struct client_devices all = { 0 };
	enum code code = known_check(c, v);
	int r;

	*ret = '\0';
	if (code != CODE_OK)
		return code;
	r = client_list(&all, left_ms(c), &c->e);
	for (size_t i = 0; r == 0 && i < all.nr; i++) {
		if (claim_is(&all.rows[i], v) && strcmp(all.rows[i].path, path) != 0)
			text_copy(ret, WIRE_PATH_SIZE, all.rows[i].path);
	}
	return code_of_errno(r);
}

static enum code path_check(struct call *c, const char *path, const char *what)
{
	if (!*path)
		return call_lacks(c, what);
	return target_check(path, &c->e) < 0 ? CODE_INVALID_ARGUMENT : CODE_OK;
}

/* --- staging ------------------------------------------------------------------------------ */

static void keys_of(const struct store_volume *v, bool read_only, struct attach_options *ret)
{
	keys_init(ret);
	text_copy(ret->volume, sizeof(ret->volume), v->name);
	ret->read_only = read_only;
}

static enum code release(struct call *c, const char *name)
{
	int r = volume_device_release(name, left_ms(c), &c->e);

	if (r == -EBUSY)
		return CODE_FAILED_PRECONDITION; /* it is published */
	return r == -ENODEV || r == -ENOENT ? CODE_OK : code_of_errno(r);
}

static enum code capability_check(struct call *c, Csi__VolumeCapability *capability,
				  const struct store_volume *v, struct access *ret)
{
	enum code code = access_parse(c, &capability, 1, ret);

	return code == CODE_OK && v ? access_check(c, ret, v) : code;
}

enum code publish_stage(struct call *c, const void *request, void *response)
{
	const Csi__NodeStageVolumeRequest *q = request;
	struct attach_options keys;
	struct store_volume v;
	struct access a;
	enum code code;
	int r;

	if (!*q->volume_id)
		return call_lacks(c, "a volume_id");
	if (!q->volume_capability)
		return call_lacks(c, "a volume capability");
	code = path_check(c, q->staging_target_path, "a staging_target_path");
	if (code == CODE_OK)
		code = call_lock(c, q->volume_id, false);
	if (code == CODE_OK)
		code = ask_find(c, q->volume_id, false, &v);
	if (code == CODE_OK)
		code = capability_check(c, q->volume_capability, &v, &a);
	/* How it is attached while it is published, is as it should be. */
	if (code != CODE_OK || v.flags & STORE_IS_ATTACHED)
		return code;
	keys_of(&v, a.block && a.read_only, &keys);
	r = volume_device_make(&keys, left_ms(c), &v, &c->e);
	return code_of_errno(r);
}

enum code publish_unstage(struct call *c, const void *request, void *response)
{
	const Csi__NodeUnstageVolumeRequest *q = request;
	struct store_volume v;
	enum code code;

	if (!*q->volume_id)
		return call_lacks(c, "a volume_id");
	if (!*q->staging_target_path)
		return call_lacks(c, "a staging_target_path");
	code = call_lock(c, q->volume_id, false);
	if (code == CODE_OK)
		code = ask_find(c, q->volume_id, false, &v);
	if (code != CODE_OK)
		return code == CODE_NOT_FOUND ? CODE_OK : code;
	return release(c, v.name);
}

/* --- volumes of a pod's own --------------------------------------------------------------- */

static const char *context_value(const Csi__NodePublishVolumeRequest *q, const char *key)
{
	for (size_t i = 0; i < q->n_volume_context; i++) {
		if (!strcmp(q->volume_context[i]->key, key))
			return q->volume_context[i]->value;
	}
	return "";
}

static enum code inline_parse(struct call *c, const Csi__NodePublishVolumeRequest *q,
			      struct store_ask *ret)
{
	const char *size = context_value(q, "size"), *pool = context_value(q, "pool");
	char word[QUOTE_SIZE];

	for (size_t i = 0; i < q->n_volume_context; i++) {
		const char *key = q->volume_context[i]->key;

		if (strcmp(key, "size") != 0 && strcmp(key, "pool") != 0 &&
		    strncmp(key, PUBLISH_KUBERNETES, strlen(PUBLISH_KUBERNETES)) != 0)
			return call_refuse(c, CODE_INVALID_ARGUMENT,
					   "the attribute %s is not known; there are: size, pool",
					   quote_text(word, sizeof(word), key));
	}
	ret->size_bytes = PUBLISH_INLINE_SIZE;
	if (*size && num_parse_size(size, &ret->size_bytes) < 0)
		return call_refuse(c, CODE_INVALID_ARGUMENT, "\"%s\" is no size such as 64M or 10G",
				   quote_text(word, sizeof(word), size));
	if (*pool && !text_name_ok(pool, STORE_POOL_SIZE - 1))
		return call_refuse(c, CODE_INVALID_ARGUMENT, "\"%s\" is no name of a pool",
				   quote_text(word, sizeof(word), pool));
	text_copy(ret->pool, sizeof(ret->pool), pool);
	return CODE_OK;
}

static enum code inline_have(struct call *c, const Csi__NodePublishVolumeRequest *q,
			     const struct access *a, struct store_volume *ret, bool *ret_made)
{
	auto_volumes struct volumes v = { 0 };
	struct store_ask ask = { .filesystem = access_filesystem(a) };
	enum code code;

	if (ids_of_inline(q->volume_id, ask.name) < 0)
		return call_refuse(c, CODE_INVALID_ARGUMENT, "the volume_id is too long");
	code = ask_find(c, ask.name, false, ret);
	if (code != CODE_NOT_FOUND)
		return code;
	code = inline_parse(c, q, &ask);
	if (code == CODE_OK)
		code = ask_store(c, STORE_CREATE, &ask, &v);
	if (code == CODE_OK && v.nr != 1)
		return call_refuse(c, CODE_ABORTED, "volume %s is gone again", ask.name);
	*ret_made = code == CODE_OK;
	if (code == CODE_OK)
		*ret = v.rows[0];
	return code;
}

/* With the last place of it. */
static enum code inline_end(struct call *c, const struct store_volume *v)
{
	auto_volumes struct volumes none = { 0 };
	struct store_ask ask = { 0 };
	enum code code = release(c, v->name);

	if (code != CODE_OK)
		return code;
	text_copy(ask.name, sizeof(ask.name), v->name);
	code = ask_store(c, STORE_DELETE, &ask, &none);
	return code == CODE_NOT_FOUND ? CODE_OK : code;
}

/* What was never published kubelet does not unpublish: nobody else would remove it. */
static void inline_undo(struct call *c, const struct store_volume *v)
{
	struct err why = c->e;

	inline_end(c, v);
	c->e = why;
}

/* --- publishing --------------------------------------------------------------------------- */

static enum code publish_alone(struct call *c, const struct access *a, const struct store_volume *v,
			       const char *path)
{
	char other[WIRE_PATH_SIZE];
	enum code code;

	if (a->several)
		return CODE_OK;
	code = claim_elsewhere(c, v, path, other);
	if (code != CODE_OK || !*other)
		return code;
	return call_refuse(c, CODE_FAILED_PRECONDITION,
			   "volume %s is published at %s already, and only one may write it",
			   v->name, other);
}

static enum code publish_claim(struct call *c, const struct access *a, const struct store_volume *v,
			       const char *path, bool read_only)
{
	struct attach_options keys;
	struct wire_reply reply;
	auto_close int fd = -1;
	bool made = false;
	int r;

	fd = target_open(path, a->block, &made, &c->e);
	if (fd < 0)
		return fd == -ENOENT ? CODE_FAILED_PRECONDITION : code_of_errno(fd);
	keys_of(v, read_only, &keys);
	text_copy(keys.path, sizeof(keys.path), path);
	keys.on_file = a->block;
	keys.filesystem = a->block ? FILESYSTEM_NONE : v->filesystem;
	r = volume_device_claim(&keys, "", "", fd, left_ms(c), &reply, &c->e);
	close_fdp(&fd);
	if (r < 0 && made)
		target_remove(path, NULL);
	return code_of_errno(r);
}

static enum code publish_found(struct call *c, const Csi__NodePublishVolumeRequest *q,
			       const struct access *a, const struct store_volume *v)
{
	enum code code = access_check(c, a, v);

	if (code == CODE_OK)
		code = publish_alone(c, a, v, q->target_path);
	return code == CODE_OK ? publish_claim(c, a, v, q->target_path, q->readonly || a->read_only)
			       : code;
}

enum code publish_publish(struct call *c, const void *request, void *response)
{
	const Csi__NodePublishVolumeRequest *q = request;
	bool ephemeral = !strcmp(context_value(q, PUBLISH_EPHEMERAL), "true"), made = false;
	struct store_volume v;
	struct access a;
	enum code code;

	if (!*q->volume_id)
		return call_lacks(c, "a volume_id");
	if (!q->volume_capability)
		return call_lacks(c, "a volume capability");
	code = path_check(c, q->target_path, "a target_path");
	if (code == CODE_OK)
		code = capability_check(c, q->volume_capability, NULL, &a);
	if (code == CODE_OK)
		code = call_lock(c, q->volume_id, false);
	if (code == CODE_OK)
		code = ephemeral ? inline_have(c, q, &a, &v, &made)
				 : ask_find(c, q->volume_id, false, &v);
	if (code == CODE_OK && !ephemeral && !*q->staging_target_path)
		code = call_refuse(
			c, CODE_FAILED_PRECONDITION,
			"the request has no staging_target_path: volumes are staged first");
	if (code == CODE_OK)
		code = publish_found(c, q, &a, &v);
	if (code != CODE_OK && made)
		inline_undo(c, &v);
	return code;
}

static enum code unpublish_claim(struct call *c, const struct store_volume *v, const char *path)
{
	struct wire_device row;
	enum code code = publish_find_claim(c, v, path, &row);
	int r;

	if (code != CODE_OK)
		return code == CODE_NOT_FOUND ? CODE_OK : code;
	r = client_detach(row.generation, 0, left_ms(c), NULL, &c->e);
	return r == -ENOENT ? CODE_OK : code_of_errno(r);
}

enum code publish_unpublish(struct call *c, const void *request, void *response)
{
	const Csi__NodeUnpublishVolumeRequest *q = request;
	char inline_id[IDS_SIZE];
	struct store_volume v;
	enum code code;
	bool there;
	int r;

	if (!*q->volume_id)
		return call_lacks(c, "a volume_id");
	code = path_check(c, q->target_path, "a target_path");
	if (code == CODE_OK)
		code = call_lock(c, q->volume_id, false);
	if (code != CODE_OK)
		return code;
	code = publish_find(c, q->volume_id, &v);
	there = code == CODE_OK;
	if (there)
		code = unpublish_claim(c, &v, q->target_path);
	if (code != CODE_OK && code != CODE_NOT_FOUND)
		return code;
	r = target_remove(q->target_path, &c->e);
	if (r < 0)
		return r == -EBUSY ? CODE_ABORTED : code_of_errno(r);
	if (there && ids_of_inline(q->volume_id, inline_id) == 0 && !strcmp(v.name, inline_id))
		return inline_end(c, &v);
	return CODE_OK;
}
