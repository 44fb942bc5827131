/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of calls, to all handlers, with a store in memory. The first byte is which call; the
 * second how many of them come. Whatever comes is answered by a message of its kind, or refused
 * with one line of plain words; what the store is asked for has a name of the store's.
 */
#include <csi.pb-c.h>
#include <stdint.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "oci-hook/csi/service.h"
#include "tests/fake/store_fake.h"
#include "tests/fuzz/fuzz.h"

static const char *const paths[] = {
	"Identity/GetPluginInfo",
	"Identity/GetPluginCapabilities",
	"Identity/Probe",
	"Controller/CreateVolume",
	"Controller/DeleteVolume",
	"Controller/ValidateVolumeCapabilities",
	"Controller/ListVolumes",
	"Controller/GetCapacity",
	"Controller/ControllerGetCapabilities",
	"Controller/ControllerExpandVolume",
	"Controller/ControllerGetVolume",
	"Controller/CreateSnapshot",
	"Controller/DeleteSnapshot",
	"Controller/ListSnapshots",
	"Node/NodeGetCapabilities",
	"Node/NodeGetInfo",
	"Node/NodeUnpublishVolume",
};

static const struct config config = { .node_id = "node", .online = true };

static void must_be_plain(const char *text)
{
	must(*text);
	for (; *text; text++)
		must((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void must_hold(void)
{
	for (size_t i = 0; i < store_fake.nr; i++) {
		const struct store_volume *v = &store_fake.rows[i];

		must(text_device_name_ok(v->name) && v->size_bytes && v->size_bytes % 4096 == 0);
		must(!*v->pool || text_name_ok(v->pool, STORE_POOL_SIZE - 1));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const struct service_row *row;
	char path[64];

	if (size < 2)
		return 0;
	snprintf(path, sizeof(path), "/csi.v1.%s", paths[bytes[0] % ARRAY_SIZE(paths)]);
	row = service_find(path);
	must(row != NULL);
	store_fake_begin();
	for (int times = bytes[1] % 3; times >= 0; times--) {
		auto_call struct call c = {
			.config = &config,
			.locks_fd = -1,
			.deadline_ms = INT64_MAX,
		};
		const uint8_t *answer = NULL;
		size_t answer_size = 0;
		enum code code = service_run(row, &c, bytes + 2, size - 2, &answer, &answer_size);

		must_hold();
		if (code != CODE_OK) {
			must(code < CODE_END && code != CODE_INTERNAL);
			must_be_plain(c.e.text);
			continue;
		}
		ProtobufCAllocator allocator = call_allocator(&c);

		must(protobuf_c_message_unpack(row->response, &allocator, answer_size, answer));
	}
	return 0;
}
