/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/counters.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"

#define COUNTERS_SECONDS_MIN 0.001

/* A queue is nothing but numbers that grow. */
#define COUNTERS_WORDS (sizeof(struct stats_queue) / sizeof(uint64_t))
static_assert(COUNTERS_WORDS * sizeof(uint64_t) == sizeof(struct stats_queue), "words");

struct counters *counters_new(unsigned int nr_queues)
{
	struct counters *c = calloc(1, sizeof(*c) + nr_queues * sizeof(c->queues[0]));

	if (c)
		c->nr_queues = nr_queues;
	return c;
}

int counters_parse(struct counters *c, const void *bytes, size_t size, struct err *e)
{
	struct stats_page page;

	if (!size)
		return err_set(e, ENODEV, "the device is gone");
	if (size < stats_size(c->nr_queues))
		return err_set(e, EPROTO, "%zu bytes of counters for %u queues", size,
			       c->nr_queues);
	memcpy(&page, bytes, sizeof(page));
	if (page.magic != STATS_MAGIC || page.version != STATS_VERSION)
		return err_set(e, EPROTO,
			       "the device's counters are of another release, or spoilt by its "
			       "worker");
	c->begun_ns = page.begun_ns < c->read_ns ? page.begun_ns : c->read_ns;
	memcpy(c->queues, (const unsigned char *)bytes + sizeof(page),
	       c->nr_queues * sizeof(c->queues[0]));
	return 0;
}

/* Not mapped: a file that is cut while it is read is a short read, and nothing changes later. */
int counters_read(struct counters *c, int fd, struct err *e)
{
	size_t size = stats_size(c->nr_queues);
	auto_free unsigned char *bytes = malloc(size);
	ssize_t n;

	if (!bytes)
		return err_sys(e, ENOMEM, "cannot read the counters");
	n = pread(fd, bytes, size, 0);
	if (n < 0)
		return err_sys(e, errno, "cannot read the counters");
	c->read_ns = (uint64_t)clock_now_ns();
	return counters_parse(c, bytes, (size_t)n, e);
}

static void counters_to_words(uint64_t words[COUNTERS_WORDS], const struct stats_queue *q)
{
	memcpy(words, q, sizeof(*q));
}

struct stats_queue counters_queue(const struct counters *c, const struct counters *before,
				  unsigned int queue)
{
	uint64_t now[COUNTERS_WORDS], then[COUNTERS_WORDS];
	struct stats_queue q = c->queues[queue];

	if (!before)
		return q;
	counters_to_words(now, &q);
	counters_to_words(then, &before->queues[queue]);
	for (size_t i = 0; i < COUNTERS_WORDS; i++)
		now[i] = now[i] > then[i] ? now[i] - then[i] : 0;
	memcpy(&q, now, sizeof(q));
	return q;
}

struct stats_queue counters_sum(const struct counters *c, const struct counters *before)
{
	uint64_t sum[COUNTERS_WORDS] = { 0 }, words[COUNTERS_WORDS];
	struct stats_queue q;

	for (unsigned int i = 0; i < c->nr_queues; i++) {
		q = counters_queue(c, before, i);
		counters_to_words(words, &q);
		for (size_t k = 0; k < COUNTERS_WORDS; k++) {
			if (__builtin_add_overflow(sum[k], words[k], &sum[k]))
				sum[k] = UINT64_MAX;
		}
	}
	memcpy(&q, sum, sizeof(q));
	return q;
}

double counters_seconds(const struct counters *c, const struct counters *before)
{
	uint64_t from_ns = before ? before->read_ns : c->begun_ns;
	double seconds = from_ns < c->read_ns ? (double)(c->read_ns - from_ns) / 1e9 : 0;

	return seconds > COUNTERS_SECONDS_MIN ? seconds : COUNTERS_SECONDS_MIN;
}

uint64_t counters_in_flight(const struct stats_queue *q, unsigned int tags)
{
	uint64_t n = q->taken > q->lost ? q->taken - q->lost : 0;

	for (size_t op = 0; op < STATS_OP_END; op++)
		n = n > q->ops[op].ios ? n - q->ops[op].ios : 0;
	return n < tags ? n : tags;
}

static bool counters_has_histogram(enum stats_op op)
{
	return op == STATS_READ || op == STATS_WRITE;
}

uint64_t counters_timed(const struct stats_queue *q, enum stats_op op)
{
	uint64_t sum = 0;

	if (!counters_has_histogram(op))
		return q->ops[op].ios;
	for (size_t i = 0; i < STATS_BUCKETS; i++) {
		if (__builtin_add_overflow(sum, q->latency[op - STATS_READ][i], &sum))
			return UINT64_MAX;
	}
	return sum;
}

double counters_mean_ns(const struct stats_queue *q, enum stats_op op)
{
	uint64_t timed = counters_timed(q, op);

	return timed ? (double)q->ops[op].time_ns / (double)timed : 0;
}

/* The end of the bucket where so many of them are reached. */
uint64_t counters_percentile_ns(const struct stats_queue *q, enum stats_op op, unsigned int percent)
{
	uint64_t timed = counters_timed(q, op), sum = 0, wanted;
	unsigned int i = 0;

	if (!timed || !counters_has_histogram(op))
		return 0;
	wanted = timed - timed / 100 * (100 - percent) - timed % 100 * (100 - percent) / 100;
	while (i < STATS_BUCKETS - 1) {
		if (__builtin_add_overflow(sum, q->latency[op - STATS_READ][i], &sum) ||
		    sum >= wanted)
			break;
		i++;
	}
	return stats_bucket_ns(i + 1);
}

/* What each took, times how many there were: of those that were not timed, the others' mean. */
double counters_fill(const struct stats_queue *q, double seconds, unsigned int tags)
{
	double busy_ns = 0, fill;

	for (enum stats_op op = STATS_READ; op < STATS_OP_END; op++)
		busy_ns += counters_mean_ns(q, op) * (double)q->ops[op].ios;
	fill = busy_ns / 1e9 / seconds / tags;
	return fill < 1 ? fill : 1;
}
