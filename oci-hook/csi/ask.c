/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/csi/ask.h"

#include <errno.h>
#include <string.h>

#include "driver/base/clock.h"
#include "driver/base/text.h"
#include "oci-hook/csi/ids.h"
#include "oci-hook/quote.h"

#define ASK_AGAIN_MS 50
#define ASK_BUSY_MS 20000  /* as long the store may have too much to do */
#define ASK_TOKEN "after:" /* and an id */
#define ASK_PAGE_MAX 1000  /* entries of one answer */

enum code ask_store(struct call *c, enum store_type type, const struct store_ask *ask,
		    struct volumes *ret)
{
	const struct volumes_call call = {
		.ask = *ask,
		.type = type,
		.fd = -1,
		.timeout_ms = clock_left_ms(c->deadline_ms),
	};
	int64_t busy_ms = clock_deadline_ms(ASK_BUSY_MS);
	int r;

	while ((r = volumes_call(&call, ret, &c->e)) == -EAGAIN && clock_left_ms(busy_ms) &&
	       clock_left_ms(c->deadline_ms))
		clock_sleep_ms(ASK_AGAIN_MS);
	return code_of_errno(r);
}

static enum code find_none(struct call *c, const char *id, bool snapshot)
{
	char word[QUOTE_SIZE];

	return call_refuse(c, CODE_NOT_FOUND, "there is no %s %s", snapshot ? "snapshot" : "volume",
			   quote_text(word, sizeof(word), id));
}

enum code ask_find(struct call *c, const char *id, bool snapshot, struct store_volume *ret)
{
	auto_volumes struct volumes v = { 0 };
	struct store_ask ask = { 0 };
	enum code code;

	/* What is no name of the store's, the store does not have. */
	if (volumes_set_name(ask.name, id, NULL) < 0)
		return find_none(c, id, snapshot);
	code = ask_store(c, STORE_INSPECT, &ask, &v);
	if (code != CODE_OK)
		return code;
	if (v.nr != 1 || !(v.rows[0].flags & STORE_IS_SNAPSHOT) == snapshot)
		return find_none(c, id, snapshot);
	*ret = v.rows[0];
	return CODE_OK;
}

enum code ask_all(struct call *c, bool snapshots, struct volumes *ret)
{
	const struct store_ask ask = { 0 };
	enum code code = ask_store(c, STORE_LIST, &ask, ret);
	size_t nr = 0;

	for (size_t i = 0; i < ret->nr; i++) {
		if (!(ret->rows[i].flags & STORE_IS_SNAPSHOT) != snapshots)
			ret->rows[nr++] = ret->rows[i];
	}
	ret->nr = nr;
	return code;
}

enum code ask_page(struct call *c, const struct volumes *all, const char *token, int32_t most,
		   size_t *ret_first, size_t *ret_nr, char **ret_next)
{
	const char *after = token + strlen(ASK_TOKEN);
	size_t first = 0, nr;

	if (most < 0)
		return call_refuse(c, CODE_INVALID_ARGUMENT, "max_entries is less than 0");
	if (*token &&
	    (strncmp(token, ASK_TOKEN, strlen(ASK_TOKEN)) != 0 || !text_device_name_ok(after)))
		return call_refuse(c, CODE_ABORTED, "starting_token is none that was given out");
	/* The one it names may be gone by now: the next one is next all the same. */
	while (*token && first < all->nr && strcmp(all->rows[first].name, after) <= 0)
		first++;
	nr = all->nr - first;
	if (nr > ASK_PAGE_MAX)
		nr = ASK_PAGE_MAX;
	if (most && nr > (size_t)most)
		nr = (size_t)most;
	*ret_first = first;
	*ret_nr = nr;
	if (first + nr < all->nr)
		*ret_next = call_text(c, ASK_TOKEN "%s", all->rows[first + nr - 1].name);
	return CODE_OK;
}

/* --- in answers --------------------------------------------------------------------------- */

/* What it was made of may be gone; which kind it was, its id tells. */
static Csi__VolumeContentSource *source_message(struct call *c, const struct store_volume *v)
{
	Csi__VolumeContentSource *source = call_message(c, &csi__volume_content_source__descriptor);

	if (ids_is_snapshot(v->origin)) {
		source->type_case = CSI__VOLUME_CONTENT_SOURCE__TYPE_SNAPSHOT;
		source->snapshot =
			call_message(c, &csi__volume_content_source__snapshot_source__descriptor);
		source->snapshot->snapshot_id = call_text(c, "%s", v->origin);
		return source;
	}
	source->type_case = CSI__VOLUME_CONTENT_SOURCE__TYPE_VOLUME;
	source->volume = call_message(c, &csi__volume_content_source__volume_source__descriptor);
	source->volume->volume_id = call_text(c, "%s", v->origin);
	return source;
}

Csi__Volume *ask_volume_message(struct call *c, const struct store_volume *v)
{
	Csi__Volume *m = call_message(c, &csi__volume__descriptor);

	m->capacity_bytes = (int64_t)v->size_bytes;
	m->volume_id = call_text(c, "%s", v->name);
	if (*v->origin)
		m->content_source = source_message(c, v);
	m->n_accessible_topology = 1;
	m->accessible_topology = call_alloc(c, sizeof(*m->accessible_topology));
	m->accessible_topology[0] = ask_topology_message(c);
	return m;
}

Csi__Snapshot *ask_snapshot_message(struct call *c, const struct store_volume *v)
{
	Csi__Snapshot *m = call_message(c, &csi__snapshot__descriptor);

	m->size_bytes = (int64_t)v->size_bytes;
	m->snapshot_id = call_text(c, "%s", v->name);
	m->source_volume_id = call_text(c, "%s", v->origin);
	m->creation_time = call_message(c, &csi__timestamp__descriptor);
	m->creation_time->seconds = (int64_t)v->created;
	m->ready_to_use = true;
	return m;
}

Csi__VolumeCondition *ask_condition_message(struct call *c, const struct store_volume *v)
{
	Csi__VolumeCondition *m = call_message(c, &csi__volume_condition__descriptor);

	m->abnormal = v->flags & STORE_IS_UNKNOWN;
	m->message = call_text(c, "%s",
			       m->abnormal ? "ublk-ocid does not say whether it is attached"
			       : v->flags & STORE_IS_ATTACHED ? "attached"
							      : "not attached");
	return m;
}

Csi__Topology *ask_topology_message(struct call *c)
{
	Csi__Topology *t = call_message(c, &csi__topology__descriptor);

	t->n_segments = 1;
	t->segments = call_alloc(c, sizeof(*t->segments));
	t->segments[0] = call_message(c, &csi__pair__descriptor);
	t->segments[0]->key = call_text(c, ASK_TOPOLOGY_KEY);
	t->segments[0]->value = call_text(c, "%s", c->config->node_id);
	return t;
}

bool ask_topology_here(const struct call *c, const Csi__Topology *t)
{
	for (size_t i = 0; i < t->n_segments; i++) {
		if (!strcmp(t->segments[i]->key, ASK_TOPOLOGY_KEY))
			return !strcmp(t->segments[i]->value, c->config->node_id);
	}
	return false;
}
