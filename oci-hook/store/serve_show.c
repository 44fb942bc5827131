/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/store/serve_verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "driver/wire/packet.h"
#include "oci-hook/store/device.h"
#include "oci-hook/store/examine.h"
#include "oci-hook/store/remote.h"

struct rows {
	const struct serve *s;
	const struct client_devices *devices;
	bool unknown; /* the helper did not say */
};

static int rows_send(const struct rows *rows, const struct place *place)
{
	const struct volume *v = &place->volume;
	const struct wire_device *d = device_find(rows->devices, v->name);
	struct store_volume row = {
		.head = serve_head(STORE_VOLUME, sizeof(row)),
		.size_bytes = v->size_bytes,
		.created = v->created,
		.owner_uid = v->owner_uid,
		.filesystem = v->filesystem,
		.flags = (v->snapshot ? STORE_IS_SNAPSHOT : 0u) |
			 (rows->s->new_device ? STORE_IS_NEW : 0u) |
			 (rows->unknown ? STORE_IS_UNKNOWN : 0u),
	};
	struct stat st;

	if (fstatat(place->dir_fd, VOLUME_DATA, &st, AT_SYMLINK_NOFOLLOW) == 0)
		row.used_bytes = (uint64_t)st.st_blocks * 512;
	if (d) {
		row.flags |= STORE_IS_ATTACHED;
		row.flags |= d->flags & WIRE_READ_ONLY ? STORE_IS_READ_ONLY : 0u;
		row.dev_id = d->dev_id;
		row.generation = d->generation;
	}
	text_copy(row.name, sizeof(row.name), v->name);
	text_copy(row.origin, sizeof(row.origin), v->origin);
	text_copy(row.pool, sizeof(row.pool), pools_at(&rows->s->pools, place->pool)->name);
	return packet_send(rows->s->fd, &row, sizeof(row), NULL, 0, SERVE_ANSWER_MS);
}

static int rows_send_seen(void *arg, const struct place *place)
{
	const struct rows *rows = arg;

	return caller_owns(&rows->s->caller, &place->volume) ? rows_send(rows, place) : 0;
}

int serve_rows(struct serve *s, const struct place *one, struct err *e)
{
	auto_client_devices struct client_devices devices = { 0 };
	struct rows rows = { .s = s, .devices = &devices };
	int r;

	rows.unknown = device_list(&devices, NULL) < 0;
	if (one)
		r = rows_send(&rows, one);
	else
		r = pools_each(&s->pools, rows_send_seen, &rows, e);
	return r;
}

int serve_list(struct serve *s, struct err *e)
{
	return serve_rows(s, NULL, e);
}

/* What others write meanwhile is not looked at: it could be anything. */
static int inspect_look(struct serve *s, const struct place *place, struct err *e)
{
	const struct copy_watch watch = { serve_wait, s };
	const struct probing probing = { .watch = &watch, .lock_fd = -1 };
	struct store_found found;
	int r;

	if (remote_is(&place->volume) || device_check_free(s->ask.name, true, e) < 0)
		return 0;
	r = examine_look(place, &probing, &found, e);
	return r < 0 ? r : serve_found(s, &found);
}

int serve_inspect(struct serve *s, struct err *e)
{
	auto_place struct place place = PLACE_INIT;
	int r = serve_find(s, s->ask.name, 0, &place, e);

	if (r == 0)
		r = serve_rows(s, &place, e);
	if (r == 0 && s->ask.flags & STORE_LOOK)
		r = inspect_look(s, &place, e);
	return r;
}

int serve_capacity(struct serve *s, struct err *e)
{
	struct store_room room = { .head = serve_head(STORE_ROOM, sizeof(room)) };
	struct caller_act act = { .act = POLICY_CREATE };
	struct pools_sum sum;
	size_t pool = 0;
	int r;

	r = pools_find_pool(&s->pools, s->ask.pool, &pool, e);
	if (r == 0)
		r = pools_count(&s->pools, pool, NULL, &sum, e);
	if (r == 0)
		r = pools_room(&s->pools, pool, &sum, &room.room_bytes, e);
	if (r < 0)
		return r;
	act.pool = pools_at(&s->pools, pool)->name;
	act.volumes = sum.all_volumes;
	act.bytes = sum.all_bytes;
	room.largest_bytes = caller_largest(&s->caller, s->policy, &act);
	if (room.largest_bytes > room.room_bytes)
		room.largest_bytes = room.room_bytes;
	text_copy(room.pool, sizeof(room.pool), act.pool);
	return packet_send(s->fd, &room, sizeof(room), NULL, 0, SERVE_ANSWER_MS);
}
