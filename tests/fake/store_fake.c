/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/store_fake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct store_fake store_fake;

int __wrap_volumes_call(const struct volumes_call *call, struct volumes *ret, struct err *e);

void store_fake_begin(void)
{
	store_fake = (struct store_fake){ 0 };
}

struct store_volume *store_fake_find(const char *name)
{
	for (size_t i = 0; i < store_fake.nr; i++) {
		if (!strcmp(store_fake.rows[i].name, name))
			return &store_fake.rows[i];
	}
	return NULL;
}

static int tell(struct volumes *ret, const struct store_volume *rows, size_t nr)
{
	ret->rows = malloc((nr + !nr) * sizeof(*rows));
	if (!ret->rows)
		abort();
	if (nr)
		memcpy(ret->rows, rows, nr * sizeof(*rows));
	ret->nr = nr;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct store_volume *)a)->name,
		      ((const struct store_volume *)b)->name);
}

static int make(const struct volumes_call *call, struct volumes *ret, struct err *e)
{
	const struct store_volume *from = store_fake_find(call->ask.from);
	struct store_volume row = {
		.size_bytes = call->ask.size_bytes,
		.filesystem = call->ask.filesystem,
		.created = 1700000000,
		.flags = call->type == STORE_SNAPSHOT ? STORE_IS_SNAPSHOT : 0,
	};

	if (store_fake_find(call->ask.name))
		return err_set(e, EEXIST, "there is a volume %s already", call->ask.name);
	if (*call->ask.from && !from)
		return err_set(e, ENOENT, "there is no volume %s", call->ask.from);
	if (from && from->flags & STORE_IS_ATTACHED && !(from->flags & STORE_IS_READ_ONLY))
		return err_set(e, EBUSY, "volume %s is attached", call->ask.from);
	if (!strcmp(call->ask.pool, "nowhere"))
		return err_set(e, ENOENT, "the policy names no pool nowhere");
	if (store_fake.nr == STORE_FAKE_MAX || row.size_bytes > STORE_FAKE_ROOM)
		return err_set(e, ENOSPC, "the pool is full");
	if (from && !row.size_bytes)
		row.size_bytes = from->size_bytes;
	if (from)
		row.filesystem = from->filesystem;
	strcpy(row.name, call->ask.name);
	strcpy(row.origin, call->ask.from);
	strcpy(row.pool, *call->ask.pool ? call->ask.pool : "default");
	store_fake.rows[store_fake.nr++] = row;
	store_fake.changed++;
	tell(ret, &row, 1);
	qsort(store_fake.rows, store_fake.nr, sizeof(row), by_name);
	return 0;
}

static int change(const struct volumes_call *call, struct store_volume *row, struct volumes *ret,
		  struct err *e)
{
	if (call->type == STORE_INSPECT)
		return tell(ret, row, 1);
	if (call->type == STORE_DETACH && !(row->flags & STORE_IS_ATTACHED))
		return err_set(e, ENODEV, "volume %s is not attached", row->name);
	store_fake.changed++;
	if (call->type == STORE_DETACH) {
		row->flags &= ~(uint32_t)STORE_IS_ATTACHED;
		return 0;
	}
	if (call->type == STORE_RESIZE) {
		row->size_bytes = call->ask.size_bytes;
		strcpy(ret->warning, store_fake.warning);
		return tell(ret, row, 1);
	}
	memmove(row, row + 1, (size_t)(store_fake.rows + store_fake.nr - row - 1) * sizeof(*row));
	store_fake.nr--;
	return 0;
}

int __wrap_volumes_call(const struct volumes_call *call, struct volumes *ret, struct err *e)
{
	struct store_volume *row = store_fake_find(call->ask.name);
	int r = store_fake.fails;

	store_fake.asked++;
	store_fake.fails = 0;
	if (r)
		return err_set(e, -r, "it was told to fail");
	if (call->type == STORE_LIST)
		return tell(ret, store_fake.rows, store_fake.nr);
	if (call->type == STORE_CAPACITY) {
		ret->room.room_bytes = STORE_FAKE_ROOM;
		ret->room.largest_bytes = STORE_FAKE_ROOM / 2;
		return strcmp(call->ask.pool, "nowhere") ? 0
							 : err_set(e, ENOENT, "no pool nowhere");
	}
	if (call->type == STORE_CREATE || call->type == STORE_SNAPSHOT)
		return make(call, ret, e);
	return row ? change(call, row, ret, e)
		   : err_set(e, ENOENT, "there is no volume %s", call->ask.name);
}
