/* SPDX-License-Identifier: Apache-2.0 */
/* Counters: where a latency goes, and what is read of a page that a worker wrote. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "oci-hook/cli/counters.h"

#define NR 2
#define PAGE_SIZE (sizeof(struct stats_page) + NR * sizeof(struct stats_queue))

static union {
	struct stats_page head;
	unsigned char bytes[PAGE_SIZE];
} page;

static struct stats_queue *queue(unsigned int i)
{
	return &page.head.queues[i];
}

static void page_begin(void)
{
	memset(&page, 0, sizeof(page));
	page.head = (struct stats_page){ .magic = STATS_MAGIC, .version = STATS_VERSION };
}

static struct counters *parsed(uint64_t read_ns)
{
	struct counters *c = counters_new(NR);

	assert_non_null(c);
	c->read_ns = read_ns;
	assert_int_equal(counters_parse(c, &page, sizeof(page), NULL), 0);
	return c;
}

static void test_buckets_are_in_order_and_have_no_holes(void **state)
{
	for (unsigned int i = 0; i < STATS_BUCKETS; i++) {
		assert_int_equal(stats_bucket(stats_bucket_ns(i)), i);
		assert_int_equal(stats_bucket(stats_bucket_ns(i + 1) - 1), i);
		/* No wider than a quarter of what is in it, and of the first 1 us. */
		assert_true((stats_bucket_ns(i + 1) - stats_bucket_ns(i)) * 4 <=
			    stats_bucket_ns(i) + 1024);
	}
	assert_int_equal(stats_bucket(0), 0);
	assert_int_equal(stats_bucket(UINT64_MAX), STATS_BUCKETS - 1);
	assert_true(stats_bucket_ns(STATS_BUCKETS) > UINT64_C(100000000000));
}

static void test_percentiles_are_upper_bounds(void **state)
{
	struct stats_queue q = { 0 };
	uint64_t *latency = q.latency[0];

	assert_int_equal(counters_percentile_ns(&q, STATS_READ, 99), 0);
	latency[10] = 1;
	assert_int_equal(counters_percentile_ns(&q, STATS_READ, 99), stats_bucket_ns(11));
	latency[10] = 99;
	latency[50] = 1;
	assert_int_equal(counters_percentile_ns(&q, STATS_READ, 99), stats_bucket_ns(11));
	assert_int_equal(counters_percentile_ns(&q, STATS_READ, 100), stats_bucket_ns(51));
	latency[50] = 2;
	assert_int_equal(counters_percentile_ns(&q, STATS_READ, 99), stats_bucket_ns(51));
	assert_int_equal(counters_percentile_ns(&q, STATS_READ, 50), stats_bucket_ns(11));
	assert_int_equal(counters_percentile_ns(&q, STATS_WRITE, 99), 0);
	assert_int_equal(counters_percentile_ns(&q, STATS_FLUSH, 99), 0);
}

static void test_queues_are_summed_and_the_past_is_taken_off(void **state)
{
	auto_free struct counters *before = NULL, *now = NULL;
	struct stats_queue sum;

	page_begin();
	page.head.begun_ns = 1000;
	queue(0)->ops[STATS_READ] = (struct stats_ops){ 10, 40960, 1, 5000 };
	queue(1)->ops[STATS_READ] = (struct stats_ops){ 5, 20480, 0, 2500 };
	queue(1)->latency[0][7] = 15;
	before = parsed(1000000000);
	queue(0)->ops[STATS_READ].ios = 14;
	queue(1)->ops[STATS_READ].ios = 6;
	queue(1)->latency[0][7] = 20;
	now = parsed(3000000000);

	sum = counters_sum(now, NULL);
	assert_int_equal(sum.ops[STATS_READ].ios, 20);
	assert_int_equal(sum.ops[STATS_READ].bytes, 61440);
	assert_int_equal(sum.ops[STATS_READ].errors, 1);
	assert_int_equal(sum.latency[0][7], 20);
	sum = counters_sum(now, before);
	assert_int_equal(sum.ops[STATS_READ].ios, 5);
	assert_int_equal(sum.ops[STATS_READ].bytes, 0);
	assert_int_equal(sum.latency[0][7], 5);
	assert_int_equal(counters_queue(now, before, 0).ops[STATS_READ].ios, 4);
	assert_true(counters_seconds(now, before) == 2);
	assert_true(counters_seconds(now, NULL) > 2.9 && counters_seconds(now, NULL) < 3);
}

/* One of four was timed: the others took as long. */
static void test_fill_counts_those_that_were_not_timed(void **state)
{
	struct stats_queue q = { 0 };

	q.ops[STATS_WRITE] = (struct stats_ops){ .ios = 400, .time_ns = 100 * 1000000 };
	q.latency[1][40] = 100;
	assert_true(counters_mean_ns(&q, STATS_WRITE) == 1000000);
	assert_true(counters_fill(&q, 1, 1) == 0.4);
	assert_true(counters_fill(&q, 1, 4) == 0.1);
	q.ops[STATS_FLUSH] = (struct stats_ops){ .ios = 100, .time_ns = 100 * 1000000 };
	assert_true(counters_fill(&q, 1, 1) == 0.5);
	q.ops[STATS_FLUSH].time_ns = UINT64_MAX;
	assert_true(counters_fill(&q, 1, 1) == 1);
}

static void test_what_is_in_flight(void **state)
{
	struct stats_queue q = { .taken = 10 };

	assert_int_equal(counters_in_flight(&q, 32), 10);
	q.ops[STATS_READ].ios = 4;
	q.ops[STATS_DISCARD].ios = 3;
	q.ops[STATS_REFUSED].ios = 1;
	assert_int_equal(counters_in_flight(&q, 32), 2);
	q.lost = 1;
	assert_int_equal(counters_in_flight(&q, 32), 1);
	q.lost = 11;
	assert_int_equal(counters_in_flight(&q, 32), 0);
	q.lost = 0;
	assert_int_equal(counters_in_flight(&q, 1), 1);
	q.ops[STATS_WRITE].ios = 20;
	assert_int_equal(counters_in_flight(&q, 32), 0);
}

static void test_numbers_that_cannot_be(void **state)
{
	auto_free struct counters *before = NULL, *now = NULL;
	struct stats_queue sum;

	page_begin();
	memset(page.bytes + sizeof(page.head), 0xff, sizeof(page) - sizeof(page.head));
	page.head.begun_ns = UINT64_MAX;
	before = parsed(5000000000);
	assert_int_equal(before->begun_ns, before->read_ns);
	assert_true(counters_seconds(before, NULL) > 0);
	sum = counters_sum(before, NULL);
	assert_true(sum.ops[STATS_READ].ios == UINT64_MAX);
	assert_true(counters_timed(&sum, STATS_READ) == UINT64_MAX);
	assert_true(counters_percentile_ns(&sum, STATS_READ, 99) <= stats_bucket_ns(STATS_BUCKETS));
	assert_true(counters_fill(&sum, 0.001, 1) == 1);
	/* They only grow: what is less than before is none. */
	page_begin();
	now = parsed(4000000000);
	sum = counters_sum(now, before);
	assert_true(sum.ops[STATS_READ].ios == 0 && counters_timed(&sum, STATS_WRITE) == 0);
	assert_true(counters_seconds(now, before) > 0);
}

static void test_what_is_no_page(void **state)
{
	auto_free struct counters *c = counters_new(NR);
	struct err e;

	page_begin();
	c->read_ns = 1;
	assert_int_equal(counters_parse(c, &page, 0, &e), -ENODEV);
	assert_int_equal(counters_parse(c, &page, sizeof(page) - 1, &e), -EPROTO);
	assert_int_equal(counters_parse(c, &page, sizeof(page), &e), 0);
	page.head.magic++;
	assert_int_equal(counters_parse(c, &page, sizeof(page), &e), -EPROTO);
	page_begin();
	page.head.version++;
	assert_int_equal(counters_parse(c, &page, sizeof(page), &e), -EPROTO);
}

/* As the helper leaves it when the device ends: cut, under whoever reads. */
static void test_a_file_is_read_until_it_is_cut(void **state)
{
	auto_free struct counters *c = counters_new(NR);
	auto_close int fd = memfd_create("counters", MFD_CLOEXEC);
	struct err e;

	page_begin();
	queue(1)->ops[STATS_WRITE].ios = 7;
	assert_int_equal(write(fd, &page, sizeof(page)), sizeof(page));
	assert_int_equal(counters_read(c, fd, &e), 0);
	assert_int_equal(counters_sum(c, NULL).ops[STATS_WRITE].ios, 7);
	assert_true(c->read_ns <= (uint64_t)clock_now_ns());
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_int_equal(counters_read(c, fd, &e), -EPROTO);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(counters_read(c, fd, &e), -ENODEV);
	assert_int_equal(counters_read(c, -1, &e), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets_are_in_order_and_have_no_holes),
		cmocka_unit_test(test_percentiles_are_upper_bounds),
		cmocka_unit_test(test_queues_are_summed_and_the_past_is_taken_off),
		cmocka_unit_test(test_fill_counts_those_that_were_not_timed),
		cmocka_unit_test(test_what_is_in_flight),
		cmocka_unit_test(test_numbers_that_cannot_be),
		cmocka_unit_test(test_what_is_no_page),
		cmocka_unit_test(test_a_file_is_read_until_it_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
