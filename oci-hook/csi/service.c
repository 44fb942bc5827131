/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/csi/service.h"

#include <csi.pb-c.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "oci-hook/csi/controller.h"
#include "oci-hook/csi/identity.h"
#include "oci-hook/csi/node.h"
#include "oci-hook/csi/publish.h"
#include "oci-hook/csi/snapshot.h"

#define ROW(service, method, message, run)                                                         \
	{                                                                                          \
		"/csi.v1." #service "/" #method, &csi__##message##_request__descriptor,            \
			&csi__##message##_response__descriptor, run                                \
	}

static const struct service_row service_rows[] = {
	ROW(Identity, GetPluginInfo, get_plugin_info, identity_info),
	ROW(Identity, GetPluginCapabilities, get_plugin_capabilities, identity_capabilities),
	ROW(Identity, Probe, probe, identity_probe),
	ROW(Controller, CreateVolume, create_volume, controller_create),
	ROW(Controller, DeleteVolume, delete_volume, controller_delete),
	ROW(Controller, ValidateVolumeCapabilities, validate_volume_capabilities,
	    controller_validate),
	ROW(Controller, ListVolumes, list_volumes, controller_list),
	ROW(Controller, GetCapacity, get_capacity, controller_capacity),
	ROW(Controller, ControllerGetCapabilities, controller_get_capabilities,
	    controller_capabilities),
	ROW(Controller, ControllerExpandVolume, controller_expand_volume, controller_expand),
	ROW(Controller, ControllerGetVolume, controller_get_volume, controller_get),
	ROW(Controller, CreateSnapshot, create_snapshot, snapshot_create),
	ROW(Controller, DeleteSnapshot, delete_snapshot, snapshot_delete),
	ROW(Controller, ListSnapshots, list_snapshots, snapshot_list),
	ROW(Node, NodeGetCapabilities, node_get_capabilities, node_capabilities),
	ROW(Node, NodeGetInfo, node_get_info, node_info),
	ROW(Node, NodeStageVolume, node_stage_volume, publish_stage),
	ROW(Node, NodeUnstageVolume, node_unstage_volume, publish_unstage),
	ROW(Node, NodePublishVolume, node_publish_volume, publish_publish),
	ROW(Node, NodeGetVolumeStats, node_get_volume_stats, node_stats),
	ROW(Node, NodeExpandVolume, node_expand_volume, node_expand),
	ROW(Node, NodeUnpublishVolume, node_unpublish_volume, publish_unpublish),
};

const struct service_row *service_find(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(service_rows); i++) {
		if (!strcmp(service_rows[i].path, path))
			return &service_rows[i];
	}
	return NULL;
}

enum code service_run(const struct service_row *row, struct call *c, const uint8_t *bytes,
		      size_t size, const uint8_t **ret, size_t *ret_size)
{
	ProtobufCAllocator allocator = call_allocator(c);
	const ProtobufCMessage *request =
		protobuf_c_message_unpack(row->request, &allocator, size, bytes);
	ProtobufCMessage *response;
	enum code code;
	uint8_t *packed;

	if (!request)
		return call_refuse(c, CODE_INVALID_ARGUMENT, "the message is no %s",
				   row->request->short_name);
	response = call_message(c, row->response);
	code = row->run(c, request, response);
	if (code != CODE_OK)
		return code;
	packed = call_alloc(c, protobuf_c_message_get_packed_size(response));
	*ret_size = protobuf_c_message_pack(response, packed);
	*ret = packed;
	return CODE_OK;
}
