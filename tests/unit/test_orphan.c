/* SPDX-License-Identifier: Apache-2.0 */
/* What of the things that carry our mark is somebody's, by what is on record; and what goes
 * together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/orphan.h"

#define MARK (RECORD_GENERATION_MARK << 32)
#define LIVE (MARK | 7)
#define HOST (MARK | 8)
#define LOST (MARK | 9)
#define CGROUP 4711

/* On record: 7 is 252:0 in a container's cgroup, 8 is 252:1 for the host. */
static struct device live = {
	.rec = { .state = WIRE_STATE_LIVE,
		 .generation = LIVE,
		 .dev_id = 0,
		 .major = 252,
		 .minor = 0,
		 .cgroup_inode = CGROUP },
};
static struct device host = {
	.rec = { .state = WIRE_STATE_LIVE,
		 .generation = HOST,
		 .dev_id = 1,
		 .flags = WIRE_HOST,
		 .major = 252,
		 .minor = 1 },
};
/* Being made: what it will have is not known yet. */
static struct device begun = {
	.rec = { .state = WIRE_STATE_ATTACHING, .generation = MARK | 10, .cgroup_inode = 4712 },
	.op_pid = 77,
};
/* Made ahead, 252:3; a container has it. */
static struct device ahead = {
	.rec = { .state = WIRE_STATE_LIVE,
		 .generation = MARK | 11,
		 .dev_id = 3,
		 .flags = WIRE_AHEAD,
		 .major = 252,
		 .minor = 3 },
};
static struct device claimed = {
	.rec = { .state = WIRE_STATE_LIVE,
		 .generation = MARK | 12,
		 .dev_id = 3,
		 .flags = WIRE_CLAIMED,
		 .major = 252,
		 .minor = 3,
		 .cgroup_inode = CGROUP },
};
/* The same, and none has it: 252:4. */
static struct device idle = {
	.rec = { .state = WIRE_STATE_LIVE,
		 .generation = MARK | 13,
		 .dev_id = 4,
		 .flags = WIRE_AHEAD,
		 .major = 252,
		 .minor = 4 },
};
static struct device *on_record[] = { &live, &host, &begun, &ahead, &claimed, &idle };
static const struct registry registry = {
	.devices = on_record,
	.nr_devices = ARRAY_SIZE(on_record),
};

static const struct {
	const char *what;
	struct orphan_key key;
	bool owned;
} rows[] = {
	{ "a device on record", { WIRE_ORPHAN_DEVICE, 252, 0, LIVE, 0 }, true },
	{ "a device that is being made", { WIRE_ORPHAN_DEVICE, 0, 0, MARK | 10, 0 }, true },
	{ "a claim's node", { WIRE_ORPHAN_NODE, 252, 3, MARK | 12, 0 }, true },
	{ "a node by the name of the claimed device",
	  { WIRE_ORPHAN_NODE, 252, 3, MARK | 11, 0 },
	  false },
	{ "a filter of a claim's container", { WIRE_ORPHAN_FILTER, 252, 3, 0, CGROUP }, true },
	{ "a node of what no container has", { WIRE_ORPHAN_NODE, 252, 4, 0, 0 }, false },
	{ "a filter that lets it through all the same",
	  { WIRE_ORPHAN_FILTER, 252, 4, 0, CGROUP },
	  false },
	{ "an entry of what is on record", { WIRE_ORPHAN_ENTRY, 0, 0, MARK | 11, 0 }, true },
	{ "an entry of what is not", { WIRE_ORPHAN_ENTRY, 0, 0, LOST, 0 }, false },
	{ "a node by the name of who is on record", { WIRE_ORPHAN_NODE, 252, 0, LIVE, 0 }, true },
	{ "a node by another name, of a number on record",
	  { WIRE_ORPHAN_NODE, 252, 0, LOST, 0 },
	  false },
	{ "a device without a record", { WIRE_ORPHAN_DEVICE, 252, 2, LOST, 0 }, false },
	{ "a device without a record, by a number on record",
	  { WIRE_ORPHAN_DEVICE, 252, 0, LOST, 0 },
	  false },
	{ "a worker on record", { WIRE_ORPHAN_WORKER, 0, 0, HOST, 0 }, true },
	{ "a worker without", { WIRE_ORPHAN_WORKER, 0, 0, LOST, 0 }, false },
	{ "a cgroup on record", { WIRE_ORPHAN_CGROUP, 0, 0, LIVE, 0 }, true },
	{ "a cgroup without", { WIRE_ORPHAN_CGROUP, 0, 0, LOST, 0 }, false },
	{ "a kept file on record", { WIRE_ORPHAN_KEPT, 0, 0, LIVE, 0 }, true },
	{ "a kept file without", { WIRE_ORPHAN_KEPT, 0, 0, LOST, 0 }, false },
	{ "counters on record", { WIRE_ORPHAN_COUNTERS, 0, 0, LIVE, 0 }, true },
	{ "counters without", { WIRE_ORPHAN_COUNTERS, 0, 0, LOST, 0 }, false },
	{ "a record that is being written", { WIRE_ORPHAN_FILE, 0, 0, LIVE, 0 }, true },
	{ "a record that was begun", { WIRE_ORPHAN_FILE, 0, 0, LOST, 0 }, false },
	{ "a file that was set aside", { WIRE_ORPHAN_FILE, 0, 0, 0, 0 }, false },

	{ "a filter of a device on record", { WIRE_ORPHAN_FILTER, 252, 0, 0, CGROUP }, true },
	{ "a filter of that device, in another cgroup",
	  { WIRE_ORPHAN_FILTER, 252, 0, 0, CGROUP + 9 },
	  false },
	{ "a filter of another device, in its cgroup",
	  { WIRE_ORPHAN_FILTER, 252, 2, 0, CGROUP },
	  false },
	{ "a filter of the host's device", { WIRE_ORPHAN_FILTER, 252, 1, 0, 0 }, false },
	{ "an empty filter of a cgroup on record", { WIRE_ORPHAN_FILTER, 0, 0, 0, CGROUP }, true },
	{ "an empty filter of a cgroup that gets a device",
	  { WIRE_ORPHAN_FILTER, 0, 0, 0, 4712 },
	  true },
	{ "an empty filter of another cgroup", { WIRE_ORPHAN_FILTER, 0, 0, 0, 99 }, false },
	{ "a node of a device on record", { WIRE_ORPHAN_NODE, 252, 0, 0, 0 }, true },
	{ "a node of another", { WIRE_ORPHAN_NODE, 252, 2, 0, 0 }, false },
	{ "a container's node of what is the host's", { WIRE_ORPHAN_NODE, 252, 1, 0, 0 }, false },
	{ "a node at its place", { WIRE_ORPHAN_PLACE, 252, 0, 0, 0 }, true },
	{ "a node at no device's place", { WIRE_ORPHAN_PLACE, 252, 2, 0, 0 }, false },

	{ "nothing we know", { WIRE_ORPHAN_NONE, 0, 0, LOST, 0 }, true },
	{ "a kind that does not exist", { WIRE_ORPHAN_END, 0, 0, LOST, 0 }, true },
};

static void test_owned(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (orphan_owned(&registry, &rows[i].key) != rows[i].owned)
			fail_msg("%s: %s", rows[i].what, rows[i].owned ? "nobody's" : "somebody's");
	}
}

static void test_abandoned(void **state)
{
	static const struct {
		enum wire_state state;
		pid_t op_pid;
		unsigned int nr_tries;
		bool abandoned;
	} devices[] = {
		{ WIRE_STATE_ATTACHING, 0, 2, true },	{ WIRE_STATE_DETACHING, 0, 9, true },
		{ WIRE_STATE_ATTACHING, 77, 2, false }, { WIRE_STATE_DETACHING, 0, 1, false },
		{ WIRE_STATE_LIVE, 0, 2, false },	{ WIRE_STATE_RECOVERING, 0, 2, false },
		{ WIRE_STATE_FAILED, 0, 2, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		struct device d = { .rec.state = devices[i].state,
				    .op_pid = devices[i].op_pid,
				    .nr_tries = devices[i].nr_tries };

		assert_int_equal(orphan_abandoned(&d), devices[i].abandoned);
	}
}

#define THING(kind_, generation_, ...)                                                             \
	{                                                                                          \
		.key = {.kind = (kind_), .generation = (generation_), __VA_ARGS__ }                \
	}

/* Out of reach, then what serves, then the device, then what is left. */
static void test_order(void **state)
{
	static const enum wire_orphan_kind order[] = {
		WIRE_ORPHAN_RECORD,   WIRE_ORPHAN_FILTER, WIRE_ORPHAN_NODE,   WIRE_ORPHAN_PLACE,
		WIRE_ORPHAN_WORKER,   WIRE_ORPHAN_DEVICE, WIRE_ORPHAN_CGROUP, WIRE_ORPHAN_KEPT,
		WIRE_ORPHAN_COUNTERS, WIRE_ORPHAN_FILE,	  WIRE_ORPHAN_ENTRY,
	};
	struct orphan list[ARRAY_SIZE(order)] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		list[ARRAY_SIZE(order) - 1 - i].key.kind = order[i];
	qsort(list, ARRAY_SIZE(list), sizeof(*list), orphan_order);
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		assert_int_equal(list[i].key.kind, order[i]);
}

static void test_what_goes_together_is_one_record(void **state)
{
	struct orphan all[] = {
		THING(WIRE_ORPHAN_FILTER, 0, .major = 252, .minor = 5),
		THING(WIRE_ORPHAN_WORKER, LOST),
		THING(WIRE_ORPHAN_DEVICE, LOST, .major = 252, .minor = 5),
		THING(WIRE_ORPHAN_DEVICE, MARK | 99, .major = 252, .minor = 6),
		THING(WIRE_ORPHAN_CGROUP, LOST),
		THING(WIRE_ORPHAN_CGROUP, MARK | 99),
		THING(WIRE_ORPHAN_COUNTERS, LOST),
		THING(WIRE_ORPHAN_FILE, LOST),
	};
	struct record rec;

	all[2].dev_id = 31;
	strcpy(all[4].path, "/sys/fs/cgroup/a/workers/one");
	strcpy(all[5].path, "/sys/fs/cgroup/a/workers/other");
	rec = orphan_record(&all[6], all, ARRAY_SIZE(all));
	assert_int_equal(rec.generation, LOST);
	assert_int_equal(rec.dev_id, 31);
	assert_int_equal(rec.major, 252);
	assert_int_equal(rec.minor, 5);
	assert_string_equal(rec.cgroup, "/sys/fs/cgroup/a/workers/one");
	assert_int_equal(rec.flags, WIRE_HOST);
	assert_int_equal(rec.worker_pid, 0);
	/* The worker's is the one from which the back end's is found. */
	strcpy(all[5].path, "/sys/fs/cgroup/a/workers/backend-75626f6300000009");
	all[5].key.generation = LOST;
	rec = orphan_record(&all[5], all, ARRAY_SIZE(all));
	assert_string_equal(rec.cgroup, "/sys/fs/cgroup/a/workers/one");
	rec = orphan_record(&all[5], all + 5, 1);
	assert_string_equal(rec.cgroup, all[5].path);
	assert_true(orphan_together(&all[1], &all[6]));
	assert_false(orphan_together(&all[2], &all[3]));
	assert_false(orphan_together(&all[6], &all[7])); /* it has a way of its own */
	assert_false(orphan_together(&all[0], &all[0]));
	assert_true(orphan_opens(&all[0], 252, 5));
	assert_false(orphan_opens(&all[0], 252, 6));
	assert_false(orphan_opens(&all[2], 252, 5));
	assert_false(orphan_opens(&(struct orphan){ .key.kind = WIRE_ORPHAN_FILTER }, 0, 0));
}

static void test_names(void **state)
{
	struct orphan filter =
		THING(WIRE_ORPHAN_FILTER, 0, .major = 252, .minor = 5, .cgroup_inode = 12);
	struct orphan pins = THING(WIRE_ORPHAN_FILTER, 0, .cgroup_inode = 12);
	struct orphan kept = THING(WIRE_ORPHAN_KEPT, LOST);
	struct orphan half = THING(WIRE_ORPHAN_RECORD, LIVE);
	struct device d = { .rec.state = WIRE_STATE_DETACHING, .nr_tries = 3 };

	orphan_describe(&filter, NULL);
	assert_string_equal(filter.name, "252:5 in cgroup 12");
	orphan_describe(&pins, NULL);
	assert_string_equal(pins.name, "pins of cgroup 12");
	orphan_describe(&kept, NULL);
	assert_string_equal(kept.name, "75626f6300000009");
	assert_string_equal(kept.why, "no record names it");
	orphan_describe(&half, &d);
	assert_string_equal(half.name, "ublkb0");
	assert_string_equal(half.why, "its detach did not come to an end in 3 tries");
	/* Each kind has words of its own. */
	for (int kind = WIRE_ORPHAN_FILTER; kind < WIRE_ORPHAN_END; kind++) {
		struct orphan o = { .key.kind = (enum wire_orphan_kind)kind };

		strcpy(o.path, "path");
		orphan_describe(&o, NULL);
		assert_true(*o.name && *o.why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_owned),
		cmocka_unit_test(test_abandoned),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_what_goes_together_is_one_record),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
