/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/csi/node.h"

#include <csi.pb-c.h>

#include "oci-hook/csi/ask.h"

bool node_expands(const struct call *c)
{
	return false;
}

enum code node_capabilities(struct call *c, const void *request, void *response)
{
	return CODE_OK;
}

enum code node_info(struct call *c, const void *request, void *response)
{
	Csi__NodeGetInfoResponse *r = response;

	r->node_id = call_text(c, "%s", c->config->node_id);
	r->accessible_topology = ask_topology_message(c);
	return CODE_OK;
}

enum code node_unpublish(struct call *c, const void *request, void *response)
{
	const Csi__NodeUnpublishVolumeRequest *q = request;

	if (!*q->volume_id)
		return call_lacks(c, "a volume_id");
	return *q->target_path ? CODE_OK : call_lacks(c, "a target_path");
}
