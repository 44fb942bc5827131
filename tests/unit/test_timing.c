/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/wire/timing.h"

static uint64_t sum_of(const struct wire_timing *report)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < WIRE_SPANS_MAX; i++)
		sum += report->spans[i].us;
	return sum;
}

static void test_every_step_has_a_name_of_its_own(void **state)
{
	assert_null(timing_name(WIRE_STEP_NONE));
	assert_null(timing_name(WIRE_STEP_END));
	assert_null(timing_name(UINT32_MAX));
	for (uint32_t i = WIRE_STEP_NONE + 1; i < WIRE_STEP_END; i++) {
		assert_non_null(timing_name(i));
		for (uint32_t j = WIRE_STEP_NONE + 1; j < i; j++)
			assert_string_not_equal(timing_name(i), timing_name(j));
	}
}

static void test_a_step_is_from_one_mark_to_the_next(void **state)
{
	struct wire_timing report;
	struct timing t;

	timing_begin(&t);
	clock_sleep_ms(20);
	timing_mark(&t, WIRE_STEP_LOOK);
	timing_mark(&t, WIRE_STEP_ADD);
	report = timing_report(&t);
	assert_int_equal(report.head.type, WIRE_TIMING);
	assert_int_equal(report.head.size, sizeof(report));
	assert_int_equal(report.spans[0].step, WIRE_STEP_LOOK);
	assert_in_range(report.spans[0].us, 20000, UINT32_MAX);
	assert_int_equal(report.spans[1].step, WIRE_STEP_ADD);
	assert_true(report.spans[1].us < report.spans[0].us);
	assert_int_equal(report.spans[2].step, WIRE_STEP_NONE);
	assert_in_range(sum_of(&report), 20000, report.total_us);
	assert_true(timing_report_ok(&report));
}

static void test_a_step_done_twice_is_one_span(void **state)
{
	struct wire_timing report;
	struct timing t;
	uint32_t once;

	timing_begin(&t);
	clock_sleep_ms(2);
	timing_mark(&t, WIRE_STEP_STOP);
	once = t.spans[0].us;
	timing_mark(&t, WIRE_STEP_LEAVE);
	clock_sleep_ms(2);
	timing_mark(&t, WIRE_STEP_STOP);
	report = timing_report(&t);
	assert_in_range(report.spans[0].us, once + 2000, UINT32_MAX);
	assert_int_equal(report.spans[1].step, WIRE_STEP_LEAVE);
	assert_int_equal(report.spans[2].step, WIRE_STEP_NONE);
	assert_true(timing_report_ok(&report));
}

/* What finds no room is not told, and is no other step's either. */
static void test_more_steps_than_spans(void **state)
{
	struct wire_timing report;
	struct timing t;

	static_assert(WIRE_STEP_END - 1 > WIRE_SPANS_MAX, "there are more");
	timing_begin(&t);
	for (int i = WIRE_STEP_NONE + 1; i <= WIRE_SPANS_MAX; i++)
		timing_mark(&t, (enum wire_step)i);
	clock_sleep_ms(2);
	timing_mark(&t, (enum wire_step)(WIRE_SPANS_MAX + 1));
	timing_mark(&t, WIRE_STEP_ACCEPT);
	report = timing_report(&t);
	assert_int_equal(report.spans[WIRE_SPANS_MAX - 1].step, WIRE_SPANS_MAX);
	assert_in_range(report.total_us - sum_of(&report), 2000, UINT32_MAX);
	assert_true(timing_report_ok(&report));
}

static void test_nobody_counts(void **state)
{
	timing_mark(NULL, WIRE_STEP_ADD);
}

static void test_what_is_no_report(void **state)
{
	const struct wire_timing good = {
		.total_us = 10,
		.spans = { { WIRE_STEP_ADD, 3 }, { WIRE_STEP_START, 7 } },
	};
	struct wire_timing bad[6];

	assert_true(timing_report_ok(&good));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		bad[i] = good;
	bad[0].total_us = 9;		       /* less than its parts */
	bad[1].spans[0].step = WIRE_STEP_NONE; /* a hole */
	bad[2].spans[1].step = WIRE_STEP_END;
	bad[3].spans[5].us = 0, bad[3].spans[5].step = WIRE_STEP_NODE; /* behind the end */
	bad[4].spans[0].us = UINT32_MAX, bad[4].spans[1].us = 11;      /* no wrapping */
	bad[5].pad = 1;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(timing_report_ok(&bad[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_step_has_a_name_of_its_own),
		cmocka_unit_test(test_a_step_is_from_one_mark_to_the_next),
		cmocka_unit_test(test_a_step_done_twice_is_one_span),
		cmocka_unit_test(test_more_steps_than_spans),
		cmocka_unit_test(test_nobody_counts),
		cmocka_unit_test(test_what_is_no_report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
