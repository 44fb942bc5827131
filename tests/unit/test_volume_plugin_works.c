/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of the volume plug-in's work that takes long.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/clock.h"
#include "oci-hook/volume-plugin/changes.h"
#include "oci-hook/volume-plugin/works.h"
#include "tests/unit/plugin_world.h"

static int long_run(struct work *w, struct err *e)
{
	return store_slow(w->ask.volume, e);
}

static int long_finish(struct work *w, struct err *e)
{
	world.changed++;
	return 0;
}

static int long_work(const char *volume, const char *id, int timeout_ms, struct err *e)
{
	static const struct work_kind kind = { long_run, long_finish };
	struct ask ask;

	memset(&ask, 0, sizeof(ask));
	strcpy(ask.volume, volume);
	strcpy(ask.id, id);
	return works_run(&kind, &plugin, &ask, timeout_ms, e);
}

static void test_work_that_takes_long_goes_on(void **state)
{
	struct err e;

	hold(true);
	assert_int_equal(long_work("slow", "a", 20, &e), -EAGAIN);
	assert_non_null(strstr(e.text, "ask again for its end"));
	assert_int_equal(long_work("slow", "b", 20, &e), -EAGAIN);
	assert_non_null(strstr(e.text, "something else is under way"));
	assert_int_equal(world.changed, 0); /* nobody was told */
	assert_int_equal(long_work("quick", "a", PATIENCE_MS, &e), 0);
	hold(false);
	assert_int_equal(long_work("slow", "a", PATIENCE_MS, &e), 0);
	assert_int_equal(world.changed, 2);
	assert_int_equal(long_work("slow", "b", PATIENCE_MS, &e), 0);
}

/* Its engine has given up, or asks again: until then it is nobody's. */
static void test_a_mount_nobody_heard_of_ends(void **state)
{
	static const char a[] = "{\"Name\":\"slow\",\"ID\":\"a\"}";
	struct ask ask;
	struct err e;

	memset(&ask, 0, sizeof(ask));
	strcpy(ask.volume, "slow");
	strcpy(ask.id, "a");
	row_add("slow");
	for (int again = 0; again < 2; again++) {
		plugin.unheard_ms = again ? PATIENCE_MS : 300;
		hold(true);
		assert_int_equal(works_run(&changes_mount, &plugin, &ask, 20, &e), -EAGAIN);
		hold(false);
		for (int i = 0; i < PATIENCE_MS / 5 && !row_find("slow")->mount; i++)
			clock_sleep_ms(5);
		assert_true(row_find("slow")->mount);
		assert_int_equal(nr_uses("slow"), 0);
		if (again) {
			WORKS("Mount", a);
			assert_int_equal(nr_uses("slow"), 1);
			WORKS("Unmount", a);
		}
		for (int i = 0; i < PATIENCE_MS / 10 && row_find("slow")->mount; i++)
			clock_sleep_ms(10);
		assert_true(!row_find("slow")->mount);
	}
	/* Behind it nothing is under way any more. */
	WORKS("Remove", a);
}

/* Others wait for their turn, and none of them for it. */
static void test_a_mount_nobody_heard_of_makes_room(void **state)
{
	struct ask ask;
	struct err e;

	memset(&ask, 0, sizeof(ask));
	strcpy(ask.volume, "slow");
	strcpy(ask.id, "a");
	row_add("slow");
	plugin.unheard_ms = PATIENCE_MS;
	hold(true);
	assert_int_equal(works_run(&changes_mount, &plugin, &ask, 20, &e), -EAGAIN);
	hold(false);
	for (int i = 0; i < PATIENCE_MS / 5 && !row_find("slow")->mount; i++)
		clock_sleep_ms(5);
	assert_true(row_find("slow")->mount);
	hold(true);
	assert_int_equal(long_work("fails", "a", 20, &e), -EAGAIN);
	assert_int_equal(long_work("fails", "b", 1000, &e), -EAGAIN);
	assert_true(!row_find("slow")->mount);
	hold(false);
	assert_int_equal(long_work("fails", "a", PATIENCE_MS, &e), -ENOSPC);
}

static void test_who_asks_again_is_told_how_it_failed(void **state)
{
	struct err e;

	for (int i = 0; i < 2; i++) {
		hold(true); /* what was told is not told again: it is begun anew */
		assert_int_equal(long_work("fails", "a", 20, &e), -EAGAIN);
		hold(false);
		clock_sleep_ms(i * 100); /* asked before its end, and behind it */
		assert_int_equal(long_work("fails", "a", PATIENCE_MS, &e), -ENOSPC);
		assert_string_equal(e.text, "the pool is full");
	}
}

/* Another's failure is not for who asks for something else. */
static void test_who_asks_for_something_else_is_not_told(void **state)
{
	struct err e;

	hold(true);
	assert_int_equal(long_work("fails", "a", 20, &e), -EAGAIN);
	hold(false);
	clock_sleep_ms(100);
	assert_int_equal(long_work("quick", "a", PATIENCE_MS, &e), 0);
	assert_int_equal(long_work("fails", "b", PATIENCE_MS, &e), -ENOSPC);
}

static void test_only_so_much_is_under_way(void **state)
{
	struct err e;

	for (int i = 0; i < WORKS_MAX; i++)
		assert_int_equal(works_enter(plugin.works, 0, &e), 0);
	assert_int_equal(works_enter(plugin.works, 20, &e), -EAGAIN);
	assert_int_equal(long_work("quick", "a", 20, &e), -EAGAIN);
	for (int i = 0; i < WORKS_MAX; i++)
		works_leave(plugin.works);
	assert_int_equal(long_work("quick", "a", PATIENCE_MS, &e), 0);
}

static int held_run(struct work *w, struct err *e)
{
	return store_slow("slow", e);
}

static void test_long_works_leave_room_for_questions(void **state)
{
	static const struct work_kind kind = { held_run, NULL };
	struct ask ask;
	struct err e;

	hold(true);
	memset(&ask, 0, sizeof(ask));
	for (int i = 0; i <= WORKS_LONG_MAX; i++) {
		snprintf(ask.volume, sizeof(ask.volume), "v%d", i);
		assert_int_equal(works_run(&kind, &plugin, &ask, 20, &e), -EAGAIN);
		if (!!strstr(e.text, "too much") != (i == WORKS_LONG_MAX))
			fail_msg("%d: %s", i, e.text);
	}
	for (int i = 0; i < WORKS_MAX - WORKS_LONG_MAX; i++)
		assert_int_equal(works_enter(plugin.works, 0, &e), 0);
	assert_int_equal(works_enter(plugin.works, 0, &e), -EAGAIN);
	hold(false);
	for (int i = 0; i < WORKS_MAX - WORKS_LONG_MAX; i++)
		works_leave(plugin.works);
	for (int i = 0; i < WORKS_LONG_MAX; i++) {
		snprintf(ask.volume, sizeof(ask.volume), "v%d", i);
		assert_int_equal(works_run(&kind, &plugin, &ask, PATIENCE_MS, &e), 0);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, plugin_world_begin, plugin_world_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_work_that_takes_long_goes_on),
		TEST(test_a_mount_nobody_heard_of_ends),
		TEST(test_a_mount_nobody_heard_of_makes_room),
		TEST(test_who_asks_again_is_told_how_it_failed),
		TEST(test_who_asks_for_something_else_is_not_told),
		TEST(test_only_so_much_is_under_way),
		TEST(test_long_works_leave_room_for_questions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
