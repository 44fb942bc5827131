/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/volume_device.h"

#include <errno.h>
#include <string.h>

#include "driver/base/clock.h"
#include "driver/base/text.h"
#include "oci-hook/volumes.h"

int volume_device_make(const struct attach_options *o, int timeout_ms, struct store_volume *ret,
		       struct err *e)
{
	auto_volumes struct volumes v = { 0 };
	struct volumes_call call = { .type = STORE_ATTACH, .fd = -1, .timeout_ms = timeout_ms };
	struct wire_attach asked = { 0 };
	int r;

	keys_fill(o, false, &asked);
	call.ask = (struct store_ask){
		.device_flags = asked.flags,
		.uid = asked.uid,
		.gid = asked.gid,
		.mode = asked.mode,
		.nr_queues = asked.nr_queues,
		.depth = asked.depth,
	};
	text_copy(call.ask.name, sizeof(call.ask.name), o->volume);
	r = volumes_call(&call, &v, e);
	if (r < 0)
		return r;
	if (v.nr != 1 || !(v.rows[0].flags & STORE_IS_ATTACHED))
		return err_set(e, EAGAIN, "volume %s has no device any more; try again", o->volume);
	*ret = v.rows[0];
	return 0;
}

static int volume_device_find(const char *volume, int timeout_ms, struct store_volume *ret,
			      struct err *e)
{
	auto_volumes struct volumes v = { 0 };
	struct volumes_call call = { .type = STORE_INSPECT, .fd = -1, .timeout_ms = timeout_ms };
	int r;

	text_copy(call.ask.name, sizeof(call.ask.name), volume);
	r = volumes_call(&call, &v, e);
	if (r < 0)
		return r;
	if (v.nr != 1 || !(v.rows[0].flags & STORE_IS_ATTACHED))
		return err_set(e, ENODEV, "volume %s is not attached", volume);
	*ret = v.rows[0];
	return 0;
}

/* One mount may be read-only, and others of the same file system not; a device is one or the other.
 */
static int volume_device_have(const struct attach_options *o, int timeout_ms,
			      struct store_volume *ret, struct err *e)
{
	if (o->read_only && o->filesystem &&
	    volume_device_find(o->volume, timeout_ms, ret, NULL) == 0)
		return 0;
	return volume_device_make(o, timeout_ms, ret, e);
}

int volume_device_claim(const struct attach_options *o, const char *container, const char *engine,
			int place_fd, int timeout_ms, struct wire_reply *ret, struct err *e)
{
	int64_t deadline_ms = clock_deadline_ms(timeout_ms);
	struct wire_claim claim = { 0 };
	struct store_volume v = { 0 };
	int r;

	r = volume_device_have(o, timeout_ms, &v, e);
	if (r < 0)
		return r;
	claim.generation = v.generation;
	text_copy(claim.container, sizeof(claim.container), container);
	text_copy(claim.engine, sizeof(claim.engine), engine);
	text_copy(claim.path, sizeof(claim.path), o->path);
	claim.filesystem = o->filesystem;
	if (o->filesystem || o->on_file)
		claim.flags = WIRE_HOST | (o->read_only ? WIRE_READ_ONLY : 0u);
	r = client_claim(&claim, place_fd, clock_left_ms(deadline_ms), ret, e);
	if (r < 0 && v.flags & STORE_IS_NEW)
		volume_device_release(o->volume, timeout_ms, NULL);
	return r < 0 ? err_prefix(e, r, "volume %s", o->volume) : 0;
}

int volume_device_release(const char *volume, int timeout_ms, struct err *e)
{
	auto_volumes struct volumes none = { 0 };
	struct volumes_call call = { .type = STORE_DETACH, .fd = -1, .timeout_ms = timeout_ms };

	text_copy(call.ask.name, sizeof(call.ask.name), volume);
	return volumes_call(&call, &none, e);
}
