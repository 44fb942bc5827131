/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two pages of counters, one after the other, as a worker may leave them: the
 * input is halved. Whatever is in them, what is said of them are numbers
 * within their limits, and JSON.
 *
 * Input: number of queues; the pages.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "oci-hook/cli/counters.h"
#include "oci-hook/cli/stats_show.h"
#include "tests/fuzz/fuzz.h"

#define TAGS 32u
#define READ_NS UINT64_C(1000000000000)

static_assert(STATS_VERSION == 1 && sizeof(struct stats_queue) == 1984, "mend seeds.py");

static void queue_must_hold(const struct stats_queue *q, double seconds)
{
	double fill = counters_fill(q, seconds, TAGS);

	must(fill >= 0 && fill <= 1);
	must(counters_in_flight(q, TAGS) <= TAGS);
	for (enum stats_op op = STATS_REFUSED; op < STATS_OP_END; op++) {
		uint64_t p50 = counters_percentile_ns(q, op, 50);
		uint64_t p99 = counters_percentile_ns(q, op, 99);

		must(isfinite(counters_mean_ns(q, op)) && counters_mean_ns(q, op) >= 0);
		must(p50 <= p99 && p99 <= stats_bucket_ns(STATS_BUCKETS));
		must(p99 || op == STATS_REFUSED || op > STATS_WRITE || !counters_timed(q, op));
	}
}

/* Shown twice: with what was before, and without. */
static void row_must_hold(struct stats_row *row)
{
	auto_json struct json_object *list = NULL, *again = NULL;
	double seconds = counters_seconds(row->now, row->before);
	struct stats_queue sum = counters_sum(row->now, row->before);

	must(isfinite(seconds) && seconds > 0);
	queue_must_hold(&sum, seconds);
	list = stats_show_json(row, 1);
	must(json_object_array_length(list) == 1);
	again = json_tokener_parse(json_object_to_json_string(list));
	must(again && json_object_array_length(again) == 1);
}

static struct counters *page_parse(unsigned int nr_queues, uint64_t read_ns, const uint8_t *bytes,
				   size_t size)
{
	struct counters *c = counters_new(nr_queues);
	int r;

	must(c != NULL);
	c->read_ns = read_ns;
	r = counters_parse(c, bytes, size, NULL);
	must(r < 0 || (size >= stats_size(nr_queues) && c->begun_ns <= c->read_ns));
	if (r < 0) {
		free(c);
		return NULL;
	}
	return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stats_row row = { .device = { .depth = TAGS }, .fd = -1 };
	auto_free struct counters *before = NULL, *now = NULL;
	unsigned int nr_queues;
	size_t half;

	if (!size)
		return 0;
	nr_queues = data[0] % STATS_QUEUES_MAX + 1;
	half = (size - 1) / 2;
	before = page_parse(nr_queues, READ_NS, data + 1, half);
	now = page_parse(nr_queues, 2 * READ_NS, data + 1 + half, half);
	if (!now)
		return 0;
	row.device.nr_queues = (uint16_t)nr_queues;
	row.now = now;
	row_must_hold(&row);
	row.before = before;
	row_must_hold(&row);
	return 0;
}
