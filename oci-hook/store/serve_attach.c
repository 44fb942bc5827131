/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/store/serve_verbs.h"

#include <errno.h>
#include <sys/file.h>

#include "oci-hook/store/device.h"
#include "oci-hook/store/remote.h"

/*
 * One that is there, made otherwise, and that nobody has: it is left of a container that ended, and
 * made anew. The helper refuses to remove what somebody has.
 */
static int attach_device(struct serve *s, const struct place *place, struct err *e)
{
	auto_client_devices struct client_devices d = { 0 };
	struct wire_reply reply = { 0 };
	int r;

	r = device_list(&d, e);
	if (r < 0)
		return r;
	s->new_device = !device_find(&d, s->ask.name);
	r = device_attach(place, &s->ask, &reply, e);
	if (r != -EEXIST || s->new_device)
		return r;
	r = device_detach(s->ask.name, e);
	s->new_device = true;
	return r < 0 ? r : device_attach(place, &s->ask, &reply, e);
}

int serve_attach(struct serve *s, struct err *e)
{
	auto_place struct place place = PLACE_INIT;
	int r;

	r = serve_find(s, s->ask.name, LOCK_EX, &place, e);
	if (r < 0)
		return r;
	if (place.volume.snapshot && !(s->ask.device_flags & WIRE_READ_ONLY))
		return err_set(e, EROFS, "%s is a snapshot: attach it read-only, or a clone of it",
			       s->ask.name);
	r = serve_decide(s, POLICY_ATTACH, &place, s->ask.device_flags & WIRE_READ_ONLY, e);
	if (r == 0)
		r = attach_device(s, &place, e);
	return r < 0 ? r : serve_rows(s, &place, e);
}

int serve_detach(struct serve *s, struct err *e)
{
	auto_place struct place place = PLACE_INIT;
	int r;

	r = serve_find(s, s->ask.name, LOCK_EX, &place, e);
	if (r < 0)
		return r;
	r = device_detach(s->ask.name, e);
	/* Nobody needs its server; one that goes on does no harm. */
	if (remote_is(&place.volume) && (r == 0 || r == -ENODEV))
		remote_ask(&place.volume, POOL_STOP, 0, &s->warning);
	return r;
}
