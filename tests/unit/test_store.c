/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes on disk: their records, their names, their pools, and copies of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "oci-hook/store/caller.h"
#include "tests/unit/policy_of.h"
#include "tests/unit/store_fixture.h"

static void test_a_record_is_read_as_it_was_written(void **state)
{
	struct volume v = a_volume("pg-data", 3 * MIB), got;
	char text[VOLUME_TEXT_MAX];
	struct err e;
	size_t size;

	v.snapshot = true;
	v.filesystem = FILESYSTEM_XFS;
	v.formatting = FILESYSTEM_BTRFS;
	strcpy(v.origin, "base");
	strcpy(v.found, "LVM2_member");
	size = volume_format(&v, text);
	assert_int_equal(volume_parse(&got, text, size, &e), 0);
	assert_memory_equal(&got, &v, sizeof(v));
	for (size_t n = 0; n < size; n++)
		assert_int_equal(volume_parse(&got, text, n, &e), -EINVAL);
}

static void test_another_text_is_no_record(void **state)
{
	static const char *const changes[][2] = {
		{ "\"version\": 1", "\"version\": 2" },
		{ "\"version\": 1", "\"version\": 01" },
		{ "pg-data", "../data" },
		{ "pg-data", "" },
		{ "3145728", "3145729" },
		{ "3145728", "0" },
		{ "3145728", "-4096" },
		{ "3145728", "\"3145728\"" },
		{ "1000", "4294967295" },
		{ "\"kind\": \"volume\"", "\"kind\": \"Volume\"" },
		{ "\"origin\": \"\"", "\"origin\": \"/\"" },
		{ "\"created\": 7", "\"created\": 7, \"created\": 7" },
		{ "\"created\": 7", "\"created\":  7" },
		{ "\"filesystem\": \"\"", "\"filesystem\": \"ntfs\"" },
		{ "\"filesystem\": \"\"", "\"filesystem\": null" },
		{ "\"filesystem\": \"\"", "\"filesystem\": \"\",\n\t\"formatting\": \"\"" },
		{ "\"filesystem\": \"\"", "\"filesystem\": \"\",\n\t\"formatting\": \"ntfs\"" },
		{ "\"filesystem\": \"\"", "\"filesystem\": \"\",\n\t\"found\": \"\"" },
		{ "\"filesystem\": \"\"", "\"filesystem\": \"\",\n\t\"found\": \"a\\\"b\"" },
		{ "\"filesystem\": \"\"",
		  "\"filesystem\": \"\",\n\t\"found\": \"gpt\",\n\t\"formatting\": \"ext4\"" },
		{ "\"created\": 7", "\"more\": 1,\n\t\"created\": 7" },
	};
	struct volume v = a_volume("pg-data", 3 * MIB), got;
	char text[VOLUME_TEXT_MAX], changed[VOLUME_TEXT_MAX];
	struct err e;

	volume_format(&v, text);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		const char *at = strstr(text, changes[i][0]);

		assert_non_null(at);
		snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(at - text), text,
			 changes[i][1], at + strlen(changes[i][0]));
		if (volume_parse(&got, changed, strlen(changed), &e) != -EINVAL)
			fail_msg("%s", changed);
	}
}

static void test_a_name_is_one_volume_in_all_pools(void **state)
{
	struct fixture *f = *state;
	struct volume v = a_volume("a", MIB);
	auto_place struct place p = PLACE_INIT;
	struct err e;

	must_make(f, 1, "a", MIB);
	assert_int_equal(make(f, 0, &v, -1, 0, &e), -EEXIST);
	assert_string_equal(e.text, "there is a volume a already, in pool second");
	assert_int_equal(nr_entries(f, 0), 0);
	assert_int_equal(pools_find(&f->pools, "a", LOCK_EX, &p, &e), 0);
	assert_int_equal(p.pool, 1);
	assert_int_equal(p.volume.owner_uid, 1000);
	assert_int_equal(pools_find(&f->pools, "b", 0, &p, &e), -ENOENT);
	assert_int_equal(pools_find(&f->pools, "../1/a", 0, &p, &e), -ENOENT);
	assert_int_equal(pools_find(&f->pools, ".", 0, &p, &e), -ENOENT);
}

static void test_what_is_worked_on_is_busy(void **state)
{
	struct fixture *f = *state;
	auto_place struct place p = PLACE_INIT, q = PLACE_INIT, s = PLACE_INIT;
	struct err e;

	must_make(f, 0, "a", MIB);
	assert_int_equal(pools_find(&f->pools, "a", LOCK_SH, &p, &e), 0);
	assert_int_equal(pools_find(&f->pools, "a", LOCK_SH, &s, &e), 0);
	assert_int_equal(pools_find(&f->pools, "a", LOCK_EX, &q, &e), -EBUSY);
	assert_string_equal(e.text, "somebody is working on volume a");
	assert_int_equal(pools_find(&f->pools, "a", 0, &q, &e), 0);
}

static void test_what_is_being_made_counts_and_has_its_name(void **state)
{
	struct fixture *f = *state;
	auto_making struct making m = MAKING_INIT, other = MAKING_INIT;
	struct volume v = a_volume("a", 15 * MIB);
	auto_place struct place p = PLACE_INIT;
	struct pools_sum sum;
	struct err e;

	assert_int_equal(making_begin(&m, &f->pools, 0, &v, &e), 0);
	assert_int_equal(pools_find(&f->pools, "a", 0, &p, &e), -ENOENT);
	assert_int_equal(making_begin(&other, &f->pools, 1, &v, &e), -EBUSY);
	assert_int_equal(pools_count(&f->pools, 0, NULL, &sum, &e), 0);
	assert_int_equal(sum.pool_bytes, 15 * MIB);
	assert_int_equal(sum.all_volumes, 1);
	pools_sweep(&f->pools);
	assert_int_equal(making_finish(&m, &e), 0);
	assert_int_equal(pools_find(&f->pools, "a", 0, &p, &e), 0);
}

static struct making *finishing;
static bool finishing_after;

/* Another process finishes it when it is about to be opened, or was opened and is not locked yet.
 */
static void finish_it(const char *name, bool after)
{
	struct err e = { "" };

	if (strcmp(name, POOLS_NEW "a") || after != finishing_after)
		return;
	step_open = NULL;
	if (making_finish(finishing, &e) < 0)
		fail_msg("%s", e.text);
}

static void begin_and_finish_later(const struct fixture *f, struct making *m, bool after)
{
	struct volume v = a_volume("a", MIB);
	struct err e = { "" };

	if (making_begin(m, &f->pools, 0, &v, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(pwrite(m->data_fd, "kept", 4, 4096), 4);
	finishing = m;
	finishing_after = after;
	step_open = finish_it;
}

/* And removes it. */
static void must_be_kept(const struct fixture *f)
{
	auto_place struct place p = PLACE_INIT;
	auto_close int fd = -1;
	struct err e = { "" };
	char at[4];

	assert_null(step_open);
	must_find(f, "a", &p);
	fd = place_data(&p);
	assert_int_equal(pread(fd, at, 4, 4096), 4);
	assert_memory_equal(at, "kept", 4);
	assert_int_equal(change_remove(&f->pools, &p, false, NULL, &e), 0);
	assert_int_equal(nr_entries(f, 0), 0);
}

static void test_what_is_finished_while_it_is_swept_stays(void **state)
{
	struct fixture *f = *state;

	for (int after = 0; after < 2; after++) {
		auto_making struct making m = MAKING_INIT;

		begin_and_finish_later(f, &m, after);
		pools_sweep(&f->pools);
		must_be_kept(f);
	}
}

static void test_what_is_finished_while_it_is_made_again_stays(void **state)
{
	struct fixture *f = *state;

	for (int after = 0; after < 2; after++) {
		auto_making struct making m = MAKING_INIT;
		struct volume again = a_volume("a", MIB);
		struct err e = { "" };

		begin_and_finish_later(f, &m, after);
		assert_int_equal(make(f, 1, &again, -1, 0, &e), -EEXIST);
		assert_string_equal(e.text, "there is a volume a already, in pool first");
		assert_int_equal(nr_entries(f, 1), 0);
		must_be_kept(f);
	}
}

static void test_a_pool_holds_what_its_overcommit_lets_it(void **state)
{
	struct fixture *f = *state;
	struct pools_sum sum;
	uint64_t room;
	struct err e;

	must_make(f, 0, "a", 15 * MIB);
	must_make(f, 1, "b", 50 * MIB);
	assert_int_equal(pools_count(&f->pools, 0, NULL, &sum, &e), 0);
	assert_int_equal(sum.pool_bytes, 15 * MIB);
	assert_int_equal(sum.all_bytes, 65 * MIB);
	assert_int_equal(pools_check_room(&f->pools, 0, &sum, 5 * MIB - 4096, &e), 0);
	assert_int_equal(pools_check_room(&f->pools, 0, &sum, 5 * MIB + 4096, &e), -ENOSPC);
	assert_non_null(strstr(e.text, "the volumes of pool first have 15M already"));
	assert_int_equal(pools_check_room(&f->pools, 0, &sum, UINT64_MAX, &e), -ENOSPC);
	assert_int_equal(pools_check_room(&f->pools, 1, &sum, UINT64_MAX, &e), 0);
	/* What is said to be left is what there is room for. */
	assert_int_equal(pools_room(&f->pools, 0, &sum, &room, &e), 0);
	assert_in_range(room, 4096, 5 * MIB - 4096);
	assert_int_equal(pools_check_room(&f->pools, 0, &sum, room, &e), 0);
	sum.pool_bytes = 30 * MIB;
	assert_int_equal(pools_room(&f->pools, 0, &sum, &room, &e), 0);
	assert_int_equal(room, 0);
	assert_int_equal(pools_room(&f->pools, 1, &sum, &room, &e), 0);
	assert_true(room && room % 4096 == 0);
	assert_int_equal(pools_count(&f->pools, 0, "a", &sum, &e), 0);
	assert_int_equal(sum.pool_bytes, 0);
}

/* The largest one is allowed, and one block more is not; what is there already counts. */
static void test_the_largest_volume_a_rule_allows(void **state)
{
	auto_policy struct policy *policy = policy_of(
		"{ \"version\": 1, \"worker_ids\": { \"first\": 910000, \"count\": 1 }, "
		"\"rules\": [ { \"id\": \"small\", \"principal\": { \"uid\": 7 }, \"may\": "
		"[ \"create\" ], \"targets\": [ \"file\" ], \"pools\": [ \"first\" ], "
		"\"max_size\": \"1M\", \"max_devices_per_container\": 1 }, { \"id\": \"large\", "
		"\"principal\": { \"uid\": 7 }, \"may\": [ \"create\" ], \"targets\": [ \"file\" "
		"], \"pools\": [ \"first\" ], \"max_size\": \"5G\", "
		"\"max_devices_per_container\": 1 } ] }");
	struct caller caller = { .uid = 7, .gids = { 7 }, .nr_gids = 1 };
	struct caller_act act = {
		.request = "create", .act = POLICY_CREATE, .volume = "v", .pool = "first"
	};
	struct err e;

	act.size_bytes = caller_largest(&caller, policy, &act);
	assert_int_equal(act.size_bytes, 5 * 1024 * MIB);
	assert_int_equal(caller_decide(&caller, policy, &act, &e), 0);
	act.size_bytes += 4096;
	assert_int_equal(caller_decide(&caller, policy, &act, &e), -EPERM);
	act.pool = "second";
	assert_int_equal(caller_largest(&caller, policy, &act), 0);
	act.pool = "first";
	act.act = POLICY_DELETE;
	assert_int_equal(caller_largest(&caller, policy, &act), 0);
	act.act = POLICY_CREATE;
	caller.uid = 8;
	assert_int_equal(caller_largest(&caller, policy, &act), 0);
}

static void test_a_copy_has_the_data_and_its_holes(void **state)
{
	struct fixture *f = *state;
	auto_close int image = an_image(f, 32 * MIB + 512), fd = -1, copy = -1;
	struct volume v = a_volume("a", 33 * MIB), w = a_volume("b", 33 * MIB);
	auto_place struct place p = PLACE_INIT, q = PLACE_INIT;
	struct err e = { "" };

	if (make(f, 1, &v, image, 32 * MIB + 512, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(pools_find(&f->pools, "a", 0, &p, &e), 0);
	fd = place_data(&p);
	must_be_image(fd, 32 * MIB + 512);
	assert_int_equal(make(f, 0, &w, fd, 33 * MIB, &e), 0);
	assert_int_equal(pools_find(&f->pools, "b", 0, &q, &e), 0);
	copy = place_data(&q);
	must_be_image(copy, 32 * MIB + 512);
}

/* Where the kernel cannot copy between the two: zeroes become holes by hand. */
static void test_a_copy_by_hand_has_holes_too(void **state)
{
	struct fixture *f = *state;
	auto_close int image = an_image(f, 8 * MIB), to = -1;
	char path[64];
	struct err e;

	snprintf(path, sizeof(path), "%s/to", f->dir);
	to = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(to, 8 * MIB), 0);
	fails_with = EXDEV;
	steps_left = 0;
	assert_int_equal(copy_data(image, to, 8 * MIB, NULL, &e), 0);
	steps_left = -1;
	fails_with = 0;
	must_be_image(to, 8 * MIB);
}

static int stop_at_once(void *arg, uint64_t done, uint64_t all)
{
	++*(int *)arg;
	return -ECANCELED;
}

static void test_a_copy_that_is_stopped_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	auto_close int image = an_image(f, 8 * MIB);
	struct volume v = a_volume("a", 8 * MIB);
	int asked = 0;
	const struct copy_watch watch = { stop_at_once, &asked };
	struct err e;

	{
		auto_making struct making m = MAKING_INIT;

		assert_int_equal(making_begin(&m, &f->pools, 0, &v, &e), 0);
		assert_int_equal(making_fill(&m, image, 8 * MIB, &watch, &e), -ECANCELED);
	}
	assert_int_equal(asked, 1);
	assert_int_equal(nr_entries(f, 0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, store_fixture_begin, store_fixture_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_record_is_read_as_it_was_written),
		cmocka_unit_test(test_another_text_is_no_record),
		TEST(test_a_name_is_one_volume_in_all_pools),
		TEST(test_what_is_worked_on_is_busy),
		TEST(test_what_is_being_made_counts_and_has_its_name),
		TEST(test_what_is_finished_while_it_is_swept_stays),
		TEST(test_what_is_finished_while_it_is_made_again_stays),
		TEST(test_a_pool_holds_what_its_overcommit_lets_it),
		cmocka_unit_test(test_the_largest_volume_a_rule_allows),
		TEST(test_a_copy_has_the_data_and_its_holes),
		TEST(test_a_copy_by_hand_has_holes_too),
		TEST(test_a_copy_that_is_stopped_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
