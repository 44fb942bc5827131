/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/orphan.h"

#include <inttypes.h>
#include <stdio.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "driver/privileged/cgroup.h"

/* --- whose it is --------------------------------------------------------------------------- */

static bool orphan_of_generation(const struct record *rec, const struct orphan_key *key)
{
	return rec->generation == key->generation;
}

/* A number by itself says nothing: it may have been another device's in this cgroup. */
static bool orphan_of_cgroup(const struct record *rec, const struct orphan_key *key)
{
	return !(rec->flags & WIRE_NO_CONTAINER) && rec->cgroup_inode == key->cgroup_inode &&
	       (!key->major || (rec->major == key->major && rec->minor == key->minor));
}

/* What no container has, and no file of the host is, has no node of ours. */
static bool orphan_of_number(const struct record *rec, const struct orphan_key *key)
{
	return (!(rec->flags & WIRE_NO_CONTAINER) || record_is_host_file(rec)) &&
	       rec->major == key->major && rec->minor == key->minor;
}

/* One that a claim made is that claim's; the others are known by their numbers only. */
static bool orphan_of_node(const struct record *rec, const struct orphan_key *key)
{
	return orphan_of_number(rec, key) &&
	       (!key->generation || rec->generation == key->generation);
}

static const struct {
	bool (*owns)(const struct record *rec, const struct orphan_key *key);
	const char *why; /* it is nobody's */
} orphan_kinds[WIRE_ORPHAN_END] = {
	[WIRE_ORPHAN_RECORD] = { orphan_of_generation, "" },
	[WIRE_ORPHAN_FILTER] = { orphan_of_cgroup,
				 "no device on record has this number in this cgroup" },
	[WIRE_ORPHAN_NODE] = { orphan_of_node, "no container's device on record has this number" },
	[WIRE_ORPHAN_PLACE] = { orphan_of_number,
				"no container's device on record has this number" },
	[WIRE_ORPHAN_WORKER] = { orphan_of_generation, "it is in a cgroup that no record names" },
	[WIRE_ORPHAN_DEVICE] = { orphan_of_generation, "it has our mark, and no record names it" },
	[WIRE_ORPHAN_CGROUP] = { orphan_of_generation, "no record names it" },
	[WIRE_ORPHAN_KEPT] = { orphan_of_generation, "no record names it" },
	[WIRE_ORPHAN_COUNTERS] = { orphan_of_generation, "no record names it" },
	[WIRE_ORPHAN_ENTRY] = { orphan_of_generation, "no record names it" },
	[WIRE_ORPHAN_FILE] = { orphan_of_generation, "it is no record, and none that is written" },
};

bool orphan_owned(const struct registry *reg, const struct orphan_key *key)
{
	if (key->kind <= WIRE_ORPHAN_NONE || key->kind >= WIRE_ORPHAN_END)
		return true; /* what is not known is not touched */
	for (size_t i = 0; i < reg->nr_devices; i++) {
		if (orphan_kinds[key->kind].owns(&reg->devices[i]->rec, key))
			return true;
	}
	return false;
}

/* One that is tried for the first time is not abandoned: it is begun in a moment. */
bool orphan_abandoned(const struct device *d)
{
	return !d->op_pid && d->nr_tries > 1 &&
	       (d->rec.state == WIRE_STATE_ATTACHING || d->rec.state == WIRE_STATE_DETACHING);
}

/* --- what it is called --------------------------------------------------------------------- */

static void orphan_name(struct orphan *o)
{
	const struct orphan_key *key = &o->key;
	char *name = o->name;
	size_t size = sizeof(o->name);

	switch (key->kind) {
	case WIRE_ORPHAN_RECORD:
	case WIRE_ORPHAN_DEVICE:
		snprintf(name, size, "ublkb%" PRIu32, o->dev_id);
		break;
	case WIRE_ORPHAN_FILTER:
		if (key->major)
			snprintf(name, size, "%" PRIu32 ":%" PRIu32 " in cgroup %" PRIu64,
				 key->major, key->minor, key->cgroup_inode);
		else
			snprintf(name, size, "pins of cgroup %" PRIu64, key->cgroup_inode);
		break;
	case WIRE_ORPHAN_NODE:
		snprintf(name, size, "%" PRIu32 ":%" PRIu32, key->major, key->minor);
		break;
	case WIRE_ORPHAN_PLACE:
		snprintf(name, size, "%" PRIu32 ":%" PRIu32 " at %.128s, where pid %d is",
			 key->major, key->minor, o->path, (int)o->pid);
		break;
	case WIRE_ORPHAN_WORKER:
		snprintf(name, size, "pid %d", (int)o->pid);
		break;
	case WIRE_ORPHAN_CGROUP:
	case WIRE_ORPHAN_FILE:
		text_copy(name, size, o->path);
		break;
	case WIRE_ORPHAN_KEPT:
	case WIRE_ORPHAN_COUNTERS:
	case WIRE_ORPHAN_ENTRY:
		snprintf(name, size, "%016" PRIx64, key->generation);
		break;
	case WIRE_ORPHAN_NONE:
	case WIRE_ORPHAN_END:
		break;
	}
}

void orphan_describe(struct orphan *o, const struct device *d)
{
	orphan_name(o);
	if (!d)
		text_copy(o->why, sizeof(o->why), orphan_kinds[o->key.kind].why);
	else
		snprintf(o->why, sizeof(o->why), "its %s did not come to an end in %u tries",
			 d->rec.state == WIRE_STATE_ATTACHING ? "attach" : "detach", d->nr_tries);
}

/* --- taking it away ------------------------------------------------------------------------ */

int orphan_order(const void *a, const void *b)
{
	const struct orphan *x = a, *y = b;

	if (x->key.kind != y->key.kind)
		return x->key.kind < y->key.kind ? -1 : 1;
	return (x->dev_id > y->dev_id) - (x->dev_id < y->dev_id);
}

static bool orphan_has_part(const struct orphan *o)
{
	return o->key.kind >= WIRE_ORPHAN_WORKER && o->key.kind <= WIRE_ORPHAN_COUNTERS;
}

bool orphan_together(const struct orphan *a, const struct orphan *b)
{
	return orphan_has_part(a) && orphan_has_part(b) && a->key.generation == b->key.generation;
}

bool orphan_opens(const struct orphan *o, uint32_t major, uint32_t minor)
{
	return (o->key.kind == WIRE_ORPHAN_FILTER || o->key.kind == WIRE_ORPHAN_NODE) && major &&
	       o->key.major == major && o->key.minor == minor;
}

/* Whom it was for is not known: what opened it is an orphan of its own. */
struct record orphan_record(const struct orphan *o, const struct orphan *all, size_t nr)
{
	struct record rec = {
		.generation = o->key.generation,
		.dev_id = o->dev_id,
		.flags = WIRE_HOST,
	};

	for (size_t i = 0; i < nr; i++) {
		if (!orphan_together(o, &all[i]))
			continue;
		if (all[i].key.kind == WIRE_ORPHAN_DEVICE) {
			rec.dev_id = all[i].dev_id;
			rec.major = all[i].key.major;
			rec.minor = all[i].key.minor;
		}
		/* By its worker's the one of its back end is found. */
		if (all[i].key.kind == WIRE_ORPHAN_CGROUP &&
		    (!*rec.cgroup || cgroup_is_backend(rec.cgroup)))
			text_copy(rec.cgroup, sizeof(rec.cgroup), all[i].path);
	}
	return rec;
}
