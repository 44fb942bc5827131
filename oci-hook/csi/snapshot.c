/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/csi/snapshot.h"

#include <csi.pb-c.h>
#include <string.h>

#include "driver/base/text.h"
#include "oci-hook/csi/ask.h"
#include "oci-hook/csi/ids.h"
#include "oci-hook/quote.h"

/* Kubernetes' own parameters say nothing to us; others there are none. */
static enum code parameters_check(struct call *c, const Csi__CreateSnapshotRequest *q)
{
	static const char ours[] = "csi.storage.k8s.io/";
	char word[QUOTE_SIZE];

	for (size_t i = 0; i < q->n_parameters; i++) {
		if (strncmp(q->parameters[i]->key, ours, strlen(ours)) != 0)
			return call_refuse(c, CODE_INVALID_ARGUMENT,
					   "the parameter %s is not known; snapshots have none",
					   quote_text(word, sizeof(word), q->parameters[i]->key));
	}
	return CODE_OK;
}

static enum code create_new(struct call *c, const struct store_ask *ask, struct store_volume *ret)
{
	auto_volumes struct volumes v = { 0 };
	struct store_volume from;
	enum code code;

	code = ask_find(c, ask->from, false, &from);
	if (code != CODE_OK)
		return code;
	code = ask_store(c, STORE_SNAPSHOT, ask, &v);
	/* The store says both in one way: it is written, or somebody else works on it. */
	if (code == CODE_ABORTED && from.flags & STORE_IS_ATTACHED &&
	    !(from.flags & STORE_IS_READ_ONLY))
		return CODE_FAILED_PRECONDITION;
	if (code == CODE_OK && v.nr != 1)
		return call_refuse(c, CODE_ABORTED, "snapshot %s is gone again", ask->name);
	if (code == CODE_OK)
		*ret = v.rows[0];
	return code;
}

enum code snapshot_create(struct call *c, const void *request, void *response)
{
	const Csi__CreateSnapshotRequest *q = request;
	Csi__CreateSnapshotResponse *r = response;
	struct store_ask ask = { 0 };
	struct store_volume v;
	enum code code;

	if (!*q->name)
		return call_lacks(c, "a name");
	if (!*q->source_volume_id)
		return call_lacks(c, "a source_volume_id");
	if (ids_of_snapshot(q->name, ask.name) < 0)
		return call_refuse(c, CODE_INVALID_ARGUMENT, "a name has at most %d bytes",
				   IDS_NAME_MAX);
	code = parameters_check(c, q);
	if (code == CODE_OK)
		code = call_lock(c, ask.name, false);
	if (code == CODE_OK)
		code = ask_find(c, ask.name, true, &v);
	if (code == CODE_OK && strcmp(v.origin, q->source_volume_id) != 0)
		return call_refuse(c, CODE_ALREADY_EXISTS,
				   "there is a snapshot %s, of another volume", v.name);
	if (code == CODE_NOT_FOUND) {
		if (volumes_set_name(ask.from, q->source_volume_id, NULL) < 0)
			return call_refuse(c, CODE_NOT_FOUND, "there is no such volume");
		code = call_lock(c, ask.from, true);
		if (code == CODE_OK)
			code = create_new(c, &ask, &v);
	}
	if (code == CODE_OK)
		r->snapshot = ask_snapshot_message(c, &v);
	return code;
}

enum code snapshot_delete(struct call *c, const void *request, void *response)
{
	const Csi__DeleteSnapshotRequest *q = request;
	auto_volumes struct volumes none = { 0 };
	struct store_ask ask = { 0 };
	struct store_volume v;
	enum code code;

	if (!*q->snapshot_id)
		return call_lacks(c, "a snapshot_id");
	code = call_lock(c, q->snapshot_id, false);
	if (code == CODE_OK)
		code = ask_find(c, q->snapshot_id, true, &v);
	if (code == CODE_OK && v.flags & STORE_IS_ATTACHED)
		return call_refuse(c, CODE_FAILED_PRECONDITION, "snapshot %s is in use", v.name);
	if (code == CODE_OK) {
		text_copy(ask.name, sizeof(ask.name), v.name);
		code = ask_store(c, STORE_DELETE, &ask, &none);
	}
	return code == CODE_NOT_FOUND ? CODE_OK : code;
}

/* Of one volume, or the one with this id; without either all. */
static void list_choose(struct volumes *v, const Csi__ListSnapshotsRequest *q)
{
	size_t nr = 0;

	for (size_t i = 0; i < v->nr; i++) {
		if ((!*q->source_volume_id || !strcmp(v->rows[i].origin, q->source_volume_id)) &&
		    (!*q->snapshot_id || !strcmp(v->rows[i].name, q->snapshot_id)))
			v->rows[nr++] = v->rows[i];
	}
	v->nr = nr;
}

enum code snapshot_list(struct call *c, const void *request, void *response)
{
	const Csi__ListSnapshotsRequest *q = request;
	Csi__ListSnapshotsResponse *r = response;
	auto_volumes struct volumes v = { 0 };
	size_t first, nr;
	enum code code;

	code = ask_all(c, true, &v);
	if (code != CODE_OK)
		return code;
	list_choose(&v, q);
	code = ask_page(c, &v, q->starting_token, q->max_entries, &first, &nr, &r->next_token);
	if (code != CODE_OK)
		return code;
	r->entries = call_alloc(c, nr * sizeof(*r->entries));
	for (; r->n_entries < nr; r->n_entries++) {
		Csi__ListSnapshotsResponse__Entry *entry =
			call_message(c, &csi__list_snapshots_response__entry__descriptor);

		entry->snapshot = ask_snapshot_message(c, &v.rows[first + r->n_entries]);
		r->entries[r->n_entries] = entry;
	}
	return CODE_OK;
}
