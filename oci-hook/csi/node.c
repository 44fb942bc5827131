/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/csi/node.h"

#include <csi.pb-c.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/vfs.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "driver/base/text.h"
#include "oci-hook/csi/ask.h"
#include "oci-hook/csi/publish.h"

typedef Csi__NodeServiceCapability__RPC__Type capability;
#define NODE_BLOCK 4096 /* sizes are multiples of it, as the store's */
#define CAPABILITY(name) CSI__NODE_SERVICE_CAPABILITY__RPC__TYPE__##name

bool node_expands(const struct call *c)
{
	return c->config->online;
}

enum code node_capabilities(struct call *c, const void *request, void *response)
{
	static const capability claimed[] = {
		CAPABILITY(STAGE_UNSTAGE_VOLUME), CAPABILITY(GET_VOLUME_STATS),
		CAPABILITY(VOLUME_CONDITION),	  CAPABILITY(SINGLE_NODE_MULTI_WRITER),
		CAPABILITY(EXPAND_VOLUME), /* the last: not on every kernel */
	};
	Csi__NodeGetCapabilitiesResponse *r = response;

	r->n_capabilities = ARRAY_SIZE(claimed) - !node_expands(c);
	r->capabilities = call_alloc(c, r->n_capabilities * sizeof(*r->capabilities));
	for (size_t i = 0; i < r->n_capabilities; i++) {
		Csi__NodeServiceCapability *m =
			call_message(c, &csi__node_service_capability__descriptor);

		m->type_case = CSI__NODE_SERVICE_CAPABILITY__TYPE_RPC;
		m->rpc = call_message(c, &csi__node_service_capability__rpc__descriptor);
		m->rpc->type = claimed[i];
		r->capabilities[i] = m;
	}
	return CODE_OK;
}

enum code node_info(struct call *c, const void *request, void *response)
{
	Csi__NodeGetInfoResponse *r = response;

	r->node_id = call_text(c, "%s", c->config->node_id);
	r->accessible_topology = ask_topology_message(c);
	return CODE_OK;
}

/* --- a volume that is published ----------------------------------------------------------- */

static enum code find_at(struct call *c, const char *id, const char *path, struct store_volume *ret,
			 struct wire_device *ret_claim)
{
	enum code code;

	if (!*id)
		return call_lacks(c, "a volume_id");
	if (!*path)
		return call_lacks(c, "a volume_path");
	code = publish_find(c, id, ret);
	return code == CODE_OK ? publish_find_claim(c, ret, path, ret_claim) : code;
}

static Csi__VolumeUsage *usage(struct call *c, Csi__VolumeUsage__Unit unit, uint64_t total,
			       uint64_t free, uint64_t available)
{
	Csi__VolumeUsage *m = call_message(c, &csi__volume_usage__descriptor);

	m->unit = unit;
	m->total = (int64_t)total;
	m->used = (int64_t)(total - free);
	m->available = (int64_t)available;
	return m;
}

#define UNIT(name) CSI__VOLUME_USAGE__UNIT__##name

/* Only where it is mounted: what else is at the path is not asked, and not waited for. */
static enum code stats_of_mount(struct call *c, const char *path,
				Csi__NodeGetVolumeStatsResponse *r)
{
	auto_close int fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct statfs fs;
	uint64_t block;

	if (fd < 0 || fstatfs(fd, &fs) < 0)
		return call_refuse(c, CODE_INTERNAL, "cannot look at %s: %s", path,
				   strerror(errno));
	block = (uint64_t)fs.f_bsize;
	r->n_usage = 2;
	r->usage = call_alloc(c, 2 * sizeof(Csi__VolumeUsage *));
	r->usage[0] =
		usage(c, UNIT(BYTES), fs.f_blocks * block, fs.f_bfree * block, fs.f_bavail * block);
	r->usage[1] = usage(c, UNIT(INODES), fs.f_files, fs.f_ffree, fs.f_ffree);
	return CODE_OK;
}

enum code node_stats(struct call *c, const void *request, void *response)
{
	const Csi__NodeGetVolumeStatsRequest *q = request;
	Csi__NodeGetVolumeStatsResponse *r = response;
	struct wire_device claim;
	struct store_volume v;
	enum code code = find_at(c, q->volume_id, q->volume_path, &v, &claim);

	if (code != CODE_OK)
		return code;
	r->volume_condition = ask_condition_message(c, &v);
	if (claim.filesystem)
		return stats_of_mount(c, claim.path, r);
	r->n_usage = 1;
	r->usage = call_alloc(c, sizeof(Csi__VolumeUsage *));
	r->usage[0] = call_message(c, &csi__volume_usage__descriptor);
	r->usage[0]->unit = UNIT(BYTES);
	r->usage[0]->total = (int64_t)claim.size_bytes;
	return CODE_OK;
}

/* The store grows data, device and what is mounted, or what of that is still to be done. */
enum code node_expand(struct call *c, const void *request, void *response)
{
	const Csi__NodeExpandVolumeRequest *q = request;
	Csi__NodeExpandVolumeResponse *r = response;
	auto_volumes struct volumes done = { 0 };
	struct store_ask ask = { 0 };
	struct wire_device claim;
	struct store_volume v;
	enum code code = find_at(c, q->volume_id, q->volume_path, &v, &claim);

	if (code != CODE_OK)
		return code;
	if (!node_expands(c))
		return call_refuse(c, CODE_UNIMPLEMENTED,
				   "on this kernel a volume grows while it is not attached");
	ask.size_bytes = v.size_bytes;
	/* As ControllerExpandVolume rounds it. */
	if (q->capacity_range && q->capacity_range->required_bytes > (int64_t)v.size_bytes)
		ask.size_bytes =
			num_round_up((uint64_t)q->capacity_range->required_bytes, NODE_BLOCK);
	if (q->capacity_range && q->capacity_range->limit_bytes &&
	    ask.size_bytes > (uint64_t)q->capacity_range->limit_bytes)
		return call_refuse(c, CODE_OUT_OF_RANGE, "volume %s has %llu bytes", v.name,
				   (unsigned long long)v.size_bytes);
	text_copy(ask.name, sizeof(ask.name), v.name);
	code = call_lock(c, q->volume_id, false);
	if (code == CODE_OK)
		code = ask_store(c, STORE_RESIZE, &ask, &done);
	if (code != CODE_OK)
		return code;
	if (*done.warning)
		return call_refuse(c, CODE_INTERNAL, "%s", done.warning);
	r->capacity_bytes = (int64_t)ask.size_bytes;
	return CODE_OK;
}
