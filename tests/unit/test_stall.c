/* SPDX-License-Identifier: Apache-2.0 */
/* When a device counts as stalled, and which of the workers of such devices hang. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/stall.h"

/* --- what the kernel says of disks ------------------------------------------------------- */

static const struct {
	const char *line;
	bool ok;
	struct stall_disk disk;
} lines[] = {
	{ " 259       3 ublkb3 10 1 2 3 200 4 5 6 7 8 9 3000 10 11 12 40000 13\n",
	  true,
	  { 259, 3, 7, 43210 } },
	{ "   8 0 sda 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n", true, { 8, 0, 0, 0 } },
	{ "259 4 ublkb4 18446744073709551614 0 0 0 0 0 0 0 1 0 0 1 0 0 0 0 0\n",
	  true,
	  { 259, 4, 1, UINT64_MAX } },
	/* Kernels before 5.5 say less. */
	{ "259 3 ublkb3 10 1 2 3 200 4 5 6 7 8 9 3000 10 11 12\n", false, { 0 } },
	{ "259 3 ublkb3\n", false, { 0 } },
	{ "ublkb3 259 3 10 1 2 3 200 4 5 6 7 8 9 3000 10 11 12 40000 13\n", false, { 0 } },
	{ "", false, { 0 } },
};

static void test_lines(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct stall_disk disk = { 0 };

		assert_int_equal(stall_parse_disk(lines[i].line, &disk), lines[i].ok);
		assert_memory_equal(&disk, &lines[i].disk, sizeof(disk));
	}
}

/* --- when nothing ends -------------------------------------------------------------------- */

#define LIMIT_MS 1000

struct pass {
	int64_t now_ms;
	uint64_t in_flight, finished;
	bool suspect;
	bool told; /* before it */
};

/* One life: each row is a pass. */
static const struct pass passes[] = {
	{ 1, 0, 5, false, false },     /* idle */
	{ 5000, 0, 5, false, false },  /* for long */
	{ 5250, 1, 5, false, false },  /* a request */
	{ 6249, 1, 5, false, false },  /* is waiting */
	{ 6250, 1, 5, true, false },   /* for long enough */
	{ 6500, 1, 5, false, true },   /* this was said */
	{ 7249, 3, 5, false, true },   /* others make no difference */
	{ 7250, 3, 5, true, true },    /* it is said again */
	{ 7500, 3, 6, false, false },  /* one ended */
	{ 8499, 3, 6, false, false },  /* the others */
	{ 8500, 3, 6, true, false },   /* do not */
	{ 8750, 0, 9, false, false },  /* now they have */
	{ 9750, 1, 9, false, false },  /* the next one begins */
	{ 10749, 1, 9, false, false }, /* its time with it */
	{ 10750, 0, 9, false, false }, /* gone without an end, as when its device is given up */
	{ 11800, 1, 9, false, false }, /* the next one */
	{ 12000, 1, 4, false, false }, /* less than before: another disk */
	{ 12999, 1, 4, false, false }, { 13000, 1, 4, true, false },
};

static void test_a_device_on_which_nothing_ends_is_suspect(void **state)
{
	struct stall s = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(passes); i++) {
		const struct pass *p = &passes[i];
		const struct stall_disk disk = { 259, 0, p->in_flight, p->finished };

		if (stall_note(&s, &disk, p->now_ms, LIMIT_MS) != p->suspect)
			fail_msg("pass at %lld ms", (long long)p->now_ms);
		/* Whoever told of it does so again when something ended meanwhile. */
		assert_int_equal(s.told, p->told);
		s.told |= p->suspect;
	}
}

static void test_passes_are_four_in_a_limit_and_one_in_a_second_at_most(void **state)
{
	assert_int_equal(stall_interval_ms(1000), 1000);
	assert_int_equal(stall_interval_ms(3000), 1000);
	assert_int_equal(stall_interval_ms(4000), 1000);
	assert_int_equal(stall_interval_ms(30000), 7500);
	assert_int_equal(stall_interval_ms(3600000), 900000);
}

/* --- threads ---------------------------------------------------------------------------------- */

#define STAT(state, flags, user, system)                                                           \
	"914 (ublk-oci-worker) " state " 801 914 914 0 -1 " flags " 1 2 3 4 " user " " system      \
	" 0 0 20 0 1 0 4711 1000 200 18446744073709551615 0\n"
#define STATUS(sleeps)                                                                             \
	"Name:\tublk-oci-worker\nState:\tS\nvoluntary_ctxt_switches:\t" sleeps                     \
	"\nnonvoluntary_ctxt_switches:\t7\n"

static const struct {
	const char *stat, *status;
	bool ok;
	struct stall_thread thread;
} texts[] = {
	{ STAT("S", "4194560", "20", "3"),
	  STATUS("99"),
	  true,
	  { .tid = 914, .state = 'S', .ticks = 23, .sleeps = 99 } },
	{ STAT("R", "4210768", "0", "0"),
	  STATUS("1"),
	  true,
	  { .tid = 914, .state = 'R', .kernels = true, .sleeps = 1 } },
	/* A name may look like what follows it. */
	{ "7 (a) T 1 2) t 1 7 7 0 -1 0 1 2 3 4 5 6 0\n",
	  "Name:\tvoluntary_ctxt_switches: 3\nvoluntary_ctxt_switches:\t4\n",
	  true,
	  { .tid = 7, .state = 't', .ticks = 11, .sleeps = 4 } },
	{ "7 a S 1 7 7 0 -1 0 1 2 3 4 5 6 0\n", STATUS("1"), false, { 0 } },
	{ "7 (a) S 1 7\n", STATUS("1"), false, { 0 } },
	{ STAT("S", "0", "1", "1"), "Name:\ta\n", false, { 0 } },
	{ STAT("S", "0", "1", "1"), "Name:\ta\nvoluntary_ctxt_switches:\tx\n", false, { 0 } },
	{ "", "", false, { 0 } },
};

static void test_threads_are_read(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct stall_thread t = { 0 };
		const struct stall_thread *wanted = &texts[i].thread;

		assert_int_equal(stall_parse_thread(texts[i].stat, texts[i].status, &t),
				 texts[i].ok);
		assert_int_equal(t.tid, wanted->tid);
		assert_int_equal(t.state, wanted->state);
		assert_int_equal(t.kernels, wanted->kernels);
		assert_int_equal(t.ticks, wanted->ticks);
		assert_int_equal(t.sleeps, wanted->sleeps);
	}
}

#define SLEEPS                                                                                     \
	{                                                                                          \
		.tid = 1, .state = 'S', .ticks = 5, .sleeps = 9                                    \
	}

static const struct {
	const char *what;
	struct stall_look first, second;
	enum stall_cause cause;
} looks[] = {
	{ "it sleeps",
	  { .nr_threads = 1, .threads = { SLEEPS } },
	  { .nr_threads = 1, .threads = { SLEEPS } },
	  STALL_WAITS },
	{ "it waits for a disk",
	  { .nr_threads = 1, .threads = { { .tid = 1, .state = 'D' } } },
	  { .nr_threads = 1, .threads = { { .tid = 1, .state = 'D' } } },
	  STALL_WAITS },
	{ "it is not there", { 0 }, { 0 }, STALL_WAITS },
	{ "frozen",
	  { .frozen = true, .nr_threads = 1, .threads = { SLEEPS } },
	  { .frozen = true, .nr_threads = 1, .threads = { SLEEPS } },
	  STALL_FROZEN },
	{ "it was frozen", { .frozen = true }, { 0 }, STALL_WAITS },
	{ "it is being frozen", { 0 }, { .frozen = true }, STALL_WAITS },
	{ "stopped",
	  { .nr_threads = 1, .threads = { { .tid = 1, .state = 'T' } } },
	  { .nr_threads = 1, .threads = { { .tid = 1, .state = 'T' } } },
	  STALL_STOPPED },
	{ "traced",
	  { .nr_threads = 1, .threads = { { .tid = 1, .state = 't' } } },
	  { .nr_threads = 1, .threads = { { .tid = 1, .state = 't' } } },
	  STALL_STOPPED },
	{ "it was stopped",
	  { .nr_threads = 1, .threads = { { .tid = 1, .state = 'T' } } },
	  { .nr_threads = 1, .threads = { SLEEPS } },
	  STALL_WAITS },
	{ "stopped just now",
	  { .nr_threads = 1, .threads = { SLEEPS } },
	  { .nr_threads = 1, .threads = { { .tid = 1, .state = 'T' } } },
	  STALL_WAITS },
	{ "spins",
	  { .nr_threads = 1, .threads = { { 1, 'R', false, 100, 9 } } },
	  { .nr_threads = 1, .threads = { { 1, 'R', false, 300, 9 } } },
	  STALL_SPINS },
	{ "it runs, and sleeps between",
	  { .nr_threads = 1, .threads = { { 1, 'R', false, 100, 9 } } },
	  { .nr_threads = 1, .threads = { { 1, 'R', false, 300, 10 } } },
	  STALL_WAITS },
	{ "it would run, and gets no processor",
	  { .nr_threads = 1, .threads = { { 1, 'R', false, 100, 9 } } },
	  { .nr_threads = 1, .threads = { { 1, 'R', false, 100, 9 } } },
	  STALL_WAITS },
	{ "it ran",
	  { .nr_threads = 1, .threads = { { 1, 'R', false, 100, 9 } } },
	  { .nr_threads = 1, .threads = { { 1, 'S', false, 300, 9 } } },
	  STALL_WAITS },
	{ "it runs now",
	  { .nr_threads = 1, .threads = { { 1, 'S', false, 100, 9 } } },
	  { .nr_threads = 1, .threads = { { 1, 'R', false, 300, 9 } } },
	  STALL_WAITS },
	{ "the kernel's thread works",
	  { .nr_threads = 1, .threads = { { 1, 'R', true, 100, 9 } } },
	  { .nr_threads = 1, .threads = { { 1, 'R', true, 300, 9 } } },
	  STALL_WAITS },
	{ "one of its threads spins",
	  { .nr_threads = 2, .threads = { SLEEPS, { 2, 'R', false, 100, 9 } } },
	  { .nr_threads = 2, .threads = { SLEEPS, { 2, 'R', false, 300, 9 } } },
	  STALL_SPINS },
	{ "in another order",
	  { .nr_threads = 2, .threads = { SLEEPS, { 2, 'R', false, 100, 9 } } },
	  { .nr_threads = 2, .threads = { { 2, 'R', false, 300, 9 }, SLEEPS } },
	  STALL_SPINS },
	{ "another thread each time",
	  { .nr_threads = 1, .threads = { { 1, 'R', false, 100, 9 } } },
	  { .nr_threads = 1, .threads = { { 2, 'R', false, 300, 9 } } },
	  STALL_WAITS },
};

static void test_looks_are_judged(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(looks); i++) {
		enum stall_cause cause = stall_judge(&looks[i].first, &looks[i].second);

		if (cause != looks[i].cause)
			fail_msg("%s: %u", looks[i].what, cause);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_a_device_on_which_nothing_ends_is_suspect),
		cmocka_unit_test(test_passes_are_four_in_a_limit_and_one_in_a_second_at_most),
		cmocka_unit_test(test_threads_are_read),
		cmocka_unit_test(test_looks_are_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
