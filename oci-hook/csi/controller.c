/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/csi/controller.h"

#include <csi.pb-c.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "driver/base/text.h"
#include "oci-hook/csi/access.h"
#include "oci-hook/csi/ask.h"
#include "oci-hook/csi/ids.h"
#include "oci-hook/csi/node.h"
#include "oci-hook/quote.h"

#define CONTROLLER_SIZE (UINT64_C(1) << 30) /* where none is asked for */
#define CONTROLLER_BLOCK 4096		    /* sizes are multiples of it, as the store's */
#define CONTROLLER_SIZE_MAX (INT64_MAX & ~(uint64_t)(CONTROLLER_BLOCK - 1))

/* --- sizes -------------------------------------------------------------------------------- */

/* What mkfs needs at least. */
static const uint64_t least_bytes[FILESYSTEM_END] = {
	[FILESYSTEM_NONE] = CONTROLLER_BLOCK,
	[FILESYSTEM_EXT4] = 1 << 20,
	[FILESYSTEM_XFS] = 300 << 20,
	[FILESYSTEM_BTRFS] = 112 << 20,
};

static enum code range_check(struct call *c, const Csi__CapacityRange *range)
{
	if (range->required_bytes < 0 || range->limit_bytes < 0)
		return call_refuse(c, CODE_OUT_OF_RANGE, "a size is less than 0");
	if (range->limit_bytes && range->required_bytes > range->limit_bytes)
		return call_refuse(c, CODE_OUT_OF_RANGE, "required_bytes is more than limit_bytes");
	return CODE_OK;
}

/* The smallest size in the range (NULL: any) that is no less than least. */
static enum code range_size(struct call *c, const Csi__CapacityRange *range, uint64_t usual,
			    uint64_t least, uint64_t *ret)
{
	uint64_t bytes = usual, limit = 0;
	enum code code;

	if (range) {
		code = range_check(c, range);
		if (code != CODE_OK)
			return code;
		limit = (uint64_t)range->limit_bytes;
		if (range->required_bytes)
			bytes = (uint64_t)range->required_bytes;
		else if (limit && bytes > limit)
			bytes = limit & ~(uint64_t)(CONTROLLER_BLOCK - 1);
	}
	if (bytes < least)
		bytes = least;
	if (bytes > CONTROLLER_SIZE_MAX)
		return call_refuse(c, CODE_OUT_OF_RANGE, "so large no volume can be");
	bytes = num_round_up(bytes, CONTROLLER_BLOCK);
	if (limit && bytes > limit)
		return call_refuse(c, CODE_OUT_OF_RANGE,
				   "limit_bytes leaves no size: it would have %llu bytes at least",
				   (unsigned long long)bytes);
	*ret = bytes;
	return CODE_OK;
}

static bool range_has(const Csi__CapacityRange *range, uint64_t bytes)
{
	return !range || (bytes >= (uint64_t)range->required_bytes &&
			  (!range->limit_bytes || bytes <= (uint64_t)range->limit_bytes));
}

/* --- creating ----------------------------------------------------------------------------- */

struct create {
	const Csi__CreateVolumeRequest *request;
	struct access access;
	struct store_ask ask; /* with name, from, pool */
	bool from_snapshot;
	bool from_written; /* by who uses it */
};

/* Keys with the prefix are Kubernetes' own (csi.storage.k8s.io/pvc/name, ...). */
static enum code parameters_parse(struct call *c, Csi__Pair *const *rows, size_t nr,
				  char pool[STORE_POOL_SIZE])
{
	static const char ours[] = "csi.storage.k8s.io/";
	char word[QUOTE_SIZE];

	for (size_t i = 0; i < nr; i++) {
		const char *key = rows[i]->key, *value = rows[i]->value;

		if (!strncmp(key, ours, strlen(ours)))
			continue;
		if (strcmp(key, "pool") != 0)
			return call_refuse(c, CODE_INVALID_ARGUMENT,
					   "the parameter %s is not known; there is: pool",
					   quote_text(word, sizeof(word), key));
		if (!text_name_ok(value, STORE_POOL_SIZE - 1))
			return call_refuse(c, CODE_INVALID_ARGUMENT, "\"%s\" is no name of a pool",
					   quote_text(word, sizeof(word), value));
		text_copy(pool, STORE_POOL_SIZE, value);
	}
	return CODE_OK;
}

/* A volume is on this node; so at least one of the places has to be this one. */
static enum code topology_check(struct call *c, const Csi__TopologyRequirement *t)
{
	bool here = !t || (!t->n_requisite && !t->n_preferred);

	for (size_t i = 0; t && i < t->n_requisite; i++)
		here |= ask_topology_here(c, t->requisite[i]);
	for (size_t i = 0; t && !t->n_requisite && i < t->n_preferred; i++)
		here |= ask_topology_here(c, t->preferred[i]);
	return here ? CODE_OK
		    : call_refuse(c, CODE_RESOURCE_EXHAUSTED,
				  "volumes of node %s cannot be reached from there",
				  c->config->node_id);
}

static enum code source_parse(struct call *c, struct create *x)
{
	const Csi__VolumeContentSource *source = x->request->volume_content_source;
	struct store_volume from;
	const char *id;
	enum code code;

	if (!source)
		return CODE_OK;
	x->from_snapshot = source->type_case == CSI__VOLUME_CONTENT_SOURCE__TYPE_SNAPSHOT;
	if (!x->from_snapshot && source->type_case != CSI__VOLUME_CONTENT_SOURCE__TYPE_VOLUME)
		return call_lacks(c, "a snapshot or a volume in its content source");
	id = x->from_snapshot ? source->snapshot->snapshot_id : source->volume->volume_id;
	if (!*id)
		return call_lacks(c, "the id of its content source");
	if (volumes_set_name(x->ask.from, id, NULL) < 0)
		return call_refuse(c, CODE_NOT_FOUND, "there is nothing of the id it is made of");
	code = call_lock(c, id, true);
	if (code == CODE_OK)
		code = ask_find(c, id, x->from_snapshot, &from);
	if (code == CODE_OK)
		code = access_check(c, &x->access, &from);
	if (code != CODE_OK)
		return code;
	x->from_written = from.flags & STORE_IS_ATTACHED && !(from.flags & STORE_IS_READ_ONLY);
	return range_size(c, x->request->capacity_range, from.size_bytes, from.size_bytes,
			  &x->ask.size_bytes);
}

static enum code create_parse(struct call *c, struct create *x)
{
	const Csi__CreateVolumeRequest *q = x->request;
	enum code code;

	if (!*q->name)
		return call_lacks(c, "a name");
	if (ids_of_volume(q->name, x->ask.name) < 0)
		return call_refuse(c, CODE_INVALID_ARGUMENT, "a name has at most %d bytes",
				   IDS_NAME_MAX);
	code = access_parse(c, q->volume_capabilities, q->n_volume_capabilities, &x->access);
	if (code == CODE_OK)
		code = parameters_parse(c, q->parameters, q->n_parameters, x->ask.pool);
	if (code == CODE_OK && q->n_mutable_parameters)
		code = call_refuse(c, CODE_INVALID_ARGUMENT, "there are no mutable parameters");
	if (code == CODE_OK)
		code = topology_check(c, q->accessibility_requirements);
	if (code == CODE_OK && q->capacity_range)
		code = range_check(c, q->capacity_range);
	return code;
}

/* Is the volume that is there the one that is asked for? */
static enum code create_compare(struct call *c, const struct create *x,
				const struct store_volume *v)
{
	const Csi__VolumeContentSource *source = x->request->volume_content_source;
	const char *from = !source	      ? ""
			   : x->from_snapshot ? source->snapshot->snapshot_id
					      : source->volume->volume_id;
	const char *other = NULL;

	if (!range_has(x->request->capacity_range, v->size_bytes))
		other = "another size";
	else if (*x->ask.pool && strcmp(x->ask.pool, v->pool) != 0)
		other = "another pool";
	else if (strcmp(from, v->origin) != 0)
		other = "another content";
	else if (access_check(c, &x->access, v) != CODE_OK)
		other = "another file system";
	return other ? call_refuse(c, CODE_ALREADY_EXISTS, "there is a volume %s, with %s", v->name,
				   other)
		     : CODE_OK;
}

static enum code create_new(struct call *c, struct create *x, struct store_volume *ret)
{
	auto_volumes struct volumes v = { 0 };
	enum code code = source_parse(c, x);

	if (code == CODE_OK && !*x->ask.from) {
		x->ask.filesystem = access_filesystem(&x->access);
		code = range_size(c, x->request->capacity_range, CONTROLLER_SIZE,
				  least_bytes[x->ask.filesystem], &x->ask.size_bytes);
	}
	if (code != CODE_OK)
		return code;
	code = ask_store(c, STORE_CREATE, &x->ask, &v);
	/* What it is made of is there: so it is the pool. */
	if (code == CODE_NOT_FOUND)
		return CODE_INVALID_ARGUMENT;
	/* As of a snapshot: who waits for it to be free waits for its pod to end. */
	if (code == CODE_ABORTED && x->from_written)
		return CODE_FAILED_PRECONDITION;
	if (code == CODE_OK && v.nr != 1)
		return call_refuse(c, CODE_ABORTED, "volume %s is gone again", x->ask.name);
	if (code == CODE_OK)
		*ret = v.rows[0];
	return code;
}

enum code controller_create(struct call *c, const void *request, void *response)
{
	struct create x = { .request = request };
	Csi__CreateVolumeResponse *r = response;
	struct store_volume v;
	enum code code;

	code = create_parse(c, &x);
	if (code == CODE_OK)
		code = call_lock(c, x.ask.name, false);
	if (code != CODE_OK)
		return code;
	code = ask_find(c, x.ask.name, false, &v);
	if (code == CODE_OK) {
		x.from_snapshot = x.request->volume_content_source &&
				  x.request->volume_content_source->type_case ==
					  CSI__VOLUME_CONTENT_SOURCE__TYPE_SNAPSHOT;
		code = create_compare(c, &x, &v);
	} else if (code == CODE_NOT_FOUND) {
		code = create_new(c, &x, &v);
	}
	if (code == CODE_OK)
		r->volume = ask_volume_message(c, &v);
	return code;
}

/* --- those there are ---------------------------------------------------------------------- */

enum code controller_delete(struct call *c, const void *request, void *response)
{
	const Csi__DeleteVolumeRequest *q = request;
	auto_volumes struct volumes none = { 0 };
	struct store_ask ask = { 0 };
	struct store_volume v;
	enum code code;

	if (!*q->volume_id)
		return call_lacks(c, "a volume_id");
	code = call_lock(c, q->volume_id, false);
	if (code == CODE_OK)
		code = ask_find(c, q->volume_id, false, &v);
	if (code == CODE_OK && v.flags & STORE_IS_ATTACHED)
		return call_refuse(c, CODE_FAILED_PRECONDITION, "volume %s is in use", v.name);
	if (code == CODE_OK) {
		text_copy(ask.name, sizeof(ask.name), v.name);
		code = ask_store(c, STORE_DELETE, &ask, &none);
	}
	return code == CODE_NOT_FOUND ? CODE_OK : code;
}

enum code controller_validate(struct call *c, const void *request, void *response)
{
	const Csi__ValidateVolumeCapabilitiesRequest *q = request;
	Csi__ValidateVolumeCapabilitiesResponse *r = response;
	Csi__ValidateVolumeCapabilitiesResponse__Confirmed *confirmed;
	char pool[STORE_POOL_SIZE] = "";
	struct store_volume v;
	struct access a;
	enum code code;

	if (!*q->volume_id)
		return call_lacks(c, "a volume_id");
	if (!q->n_volume_capabilities)
		return call_lacks(c, "a volume capability");
	code = ask_find(c, q->volume_id, false, &v);
	if (code != CODE_OK)
		return code;
	code = access_parse(c, q->volume_capabilities, q->n_volume_capabilities, &a);
	if (code == CODE_OK)
		code = access_check(c, &a, &v);
	if (code == CODE_OK)
		code = parameters_parse(c, q->parameters, q->n_parameters, pool);
	if (code == CODE_OK && *pool && strcmp(pool, v.pool) != 0)
		code = call_refuse(c, CODE_INVALID_ARGUMENT, "volume %s is in pool %s", v.name,
				   v.pool);
	if (code != CODE_OK) {
		r->message = call_text(c, "%s", c->e.text);
		return CODE_OK;
	}
	confirmed =
		call_message(c, &csi__validate_volume_capabilities_response__confirmed__descriptor);
	confirmed->n_volume_context = q->n_volume_context;
	confirmed->volume_context = q->volume_context;
	confirmed->n_volume_capabilities = q->n_volume_capabilities;
	confirmed->volume_capabilities = q->volume_capabilities;
	confirmed->n_parameters = q->n_parameters;
	confirmed->parameters = q->parameters;
	r->confirmed = confirmed;
	return CODE_OK;
}

static Csi__ListVolumesResponse__Entry *list_entry(struct call *c, const struct store_volume *v)
{
	Csi__ListVolumesResponse__Entry *entry =
		call_message(c, &csi__list_volumes_response__entry__descriptor);

	entry->volume = ask_volume_message(c, v);
	entry->status = call_message(c, &csi__list_volumes_response__volume_status__descriptor);
	entry->status->volume_condition = ask_condition_message(c, v);
	return entry;
}

enum code controller_list(struct call *c, const void *request, void *response)
{
	const Csi__ListVolumesRequest *q = request;
	Csi__ListVolumesResponse *r = response;
	auto_volumes struct volumes v = { 0 };
	size_t first, nr;
	enum code code;

	code = ask_all(c, false, &v);
	if (code == CODE_OK)
		code = ask_page(c, &v, q->starting_token, q->max_entries, &first, &nr,
				&r->next_token);
	if (code != CODE_OK)
		return code;
	r->entries = call_alloc(c, nr * sizeof(*r->entries));
	for (; r->n_entries < nr; r->n_entries++)
		r->entries[r->n_entries] = list_entry(c, &v.rows[first + r->n_entries]);
	return CODE_OK;
}

enum code controller_get(struct call *c, const void *request, void *response)
{
	const Csi__ControllerGetVolumeRequest *q = request;
	Csi__ControllerGetVolumeResponse *r = response;
	struct store_volume v;
	enum code code;

	if (!*q->volume_id)
		return call_lacks(c, "a volume_id");
	code = ask_find(c, q->volume_id, false, &v);
	if (code != CODE_OK)
		return code;
	r->volume = ask_volume_message(c, &v);
	r->status =
		call_message(c, &csi__controller_get_volume_response__volume_status__descriptor);
	r->status->volume_condition = ask_condition_message(c, &v);
	return CODE_OK;
}

enum code controller_capacity(struct call *c, const void *request, void *response)
{
	const Csi__GetCapacityRequest *q = request;
	Csi__GetCapacityResponse *r = response;
	auto_volumes struct volumes v = { 0 };
	struct store_ask ask = { 0 };
	struct access a = { 0 };
	enum code code;

	code = parameters_parse(c, q->parameters, q->n_parameters, ask.pool);
	if (code == CODE_OK && q->n_volume_capabilities)
		code = access_parse(c, q->volume_capabilities, q->n_volume_capabilities, &a);
	if (code != CODE_OK)
		return code;
	if (q->accessible_topology && !ask_topology_here(c, q->accessible_topology))
		return CODE_OK; /* there is nothing elsewhere */
	code = ask_store(c, STORE_CAPACITY, &ask, &v);
	if (code == CODE_NOT_FOUND)
		return CODE_INVALID_ARGUMENT; /* there is no such pool */
	if (code != CODE_OK)
		return code;
	r->available_capacity = (int64_t)v.room.room_bytes;
	r->maximum_volume_size = call_message(c, &csi__int64_value__descriptor);
	r->maximum_volume_size->value = (int64_t)v.room.largest_bytes;
	r->minimum_volume_size = call_message(c, &csi__int64_value__descriptor);
	r->minimum_volume_size->value = (int64_t)least_bytes[access_filesystem(&a)];
	return CODE_OK;
}

/* --- growing ------------------------------------------------------------------------------ */

/*
 * A device that is used grows where the kernel can; elsewhere the volume has to be unpublished
 * first, as its size would be wrong until then. The store is asked also for the size the volume
 * has: what is in it may be smaller, where that failed before. What is left to do the node does
 * (more), or it is a failure.
 */
static enum code expand(struct call *c, const Csi__CapacityRange *range, bool more,
			struct store_volume *v)
{
	auto_volumes struct volumes grown = { 0 };
	struct store_ask ask = { 0 };
	enum code code;

	code = range_size(c, range, v->size_bytes, v->size_bytes, &ask.size_bytes);
	if (code != CODE_OK)
		return code;
	if (v->flags & STORE_IS_ATTACHED && !c->config->online)
		return ask.size_bytes == v->size_bytes
			       ? CODE_OK
			       : call_refuse(c, CODE_FAILED_PRECONDITION,
					     "volume %s is in use, and this kernel makes no device "
					     "larger that is (Linux 6.16 does)",
					     v->name);
	text_copy(ask.name, sizeof(ask.name), v->name);
	code = ask_store(c, STORE_RESIZE, &ask, &grown);
	if (code == CODE_OK && *grown.warning && !more)
		return call_refuse(c, CODE_INTERNAL, "volume %s: %s", v->name, grown.warning);
	if (code == CODE_OK)
		v->size_bytes = ask.size_bytes;
	return code;
}

enum code controller_expand(struct call *c, const void *request, void *response)
{
	const Csi__ControllerExpandVolumeRequest *q = request;
	Csi__ControllerExpandVolumeResponse *r = response;
	struct store_volume v;
	struct access a = { 0 };
	bool more = false;
	enum code code;

	if (!*q->volume_id)
		return call_lacks(c, "a volume_id");
	if (!q->capacity_range)
		return call_lacks(c, "a capacity_range");
	code = call_lock(c, q->volume_id, false);
	if (code == CODE_OK)
		code = ask_find(c, q->volume_id, false, &v);
	if (code == CODE_OK && q->volume_capability)
		code = access_parse(c, &q->volume_capability, 1, &a);
	if (code == CODE_OK) {
		more = v.filesystem && !a.block && node_expands(c);
		code = expand(c, q->capacity_range, more, &v);
	}
	if (code != CODE_OK)
		return code;
	r->capacity_bytes = (int64_t)v.size_bytes;
	r->node_expansion_required = more;
	return CODE_OK;
}

/* --- what is claimed ---------------------------------------------------------------------- */

#define RPC(name) CSI__CONTROLLER_SERVICE_CAPABILITY__RPC__TYPE__##name

enum code controller_capabilities(struct call *c, const void *request, void *response)
{
	static const Csi__ControllerServiceCapability__RPC__Type types[] = {
		RPC(CREATE_DELETE_VOLUME), RPC(LIST_VOLUMES),
		RPC(GET_CAPACITY),	   RPC(CREATE_DELETE_SNAPSHOT),
		RPC(LIST_SNAPSHOTS),	   RPC(CLONE_VOLUME),
		RPC(EXPAND_VOLUME),	   RPC(VOLUME_CONDITION),
		RPC(GET_VOLUME),	   RPC(SINGLE_NODE_MULTI_WRITER),
	};
	Csi__ControllerGetCapabilitiesResponse *r = response;

	r->capabilities = call_alloc(c, ARRAY_SIZE(types) * sizeof(*r->capabilities));
	for (; r->n_capabilities < ARRAY_SIZE(types); r->n_capabilities++) {
		Csi__ControllerServiceCapability *m =
			call_message(c, &csi__controller_service_capability__descriptor);

		m->type_case = CSI__CONTROLLER_SERVICE_CAPABILITY__TYPE_RPC;
		m->rpc = call_message(c, &csi__controller_service_capability__rpc__descriptor);
		m->rpc->type = types[r->n_capabilities];
		r->capabilities[r->n_capabilities] = m;
	}
	return CODE_OK;
}
