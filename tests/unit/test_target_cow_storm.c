/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Target cow with many requests at a time, and an end at any moment: of the worker, whose
 * operations may still be done and whose successor may have been there before, or of the power.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "tests/unit/cow_world.h"
#include "tests/unit/model.h"

#define HISTORY 64

/* The values a sector may have: those from `safe` on after a power cut, from `done` on before. */
struct sector {
	uint64_t values[HISTORY];
	unsigned int nr, safe, done;
	bool busy; /* a change of it is under way */
};

/* A test is one thread, and request_done() has no argument for this. */
static struct {
	struct sector *sectors;
	unsigned int *seen; /* of each request, of each sector: where its history stood */
	uint64_t value;
} storm;

static unsigned int *seen_of(const struct request *r)
{
	return storm.seen + (uint64_t)(r - world->requests) * (world->layout.dev_bytes / SECTOR);
}

static struct sector *sectors_of(const struct io *io, uint64_t *ret_nr)
{
	*ret_nr = io->len / SECTOR;
	return &storm.sectors[io->off / SECTOR];
}

static uint64_t sector_read(const unsigned char *bytes)
{
	uint64_t v, w;

	memcpy(&v, bytes, sizeof(v));
	for (unsigned int i = 8; i < SECTOR; i += 8) {
		memcpy(&w, bytes + i, sizeof(w));
		assert_true(v == w);
	}
	return v;
}

static void must_be_one_of(const struct sector *s, uint64_t value, unsigned int from,
			   const char *what)
{
	for (unsigned int i = from; i < s->nr; i++) {
		if (s->values[i] == value)
			return;
	}
	fail_msg("%s: sector %zu has %#llx, which is none of its last %u values (%#llx)", what,
		 s - storm.sectors, (unsigned long long)value, s->nr - from,
		 (unsigned long long)s->values[s->nr - 1]);
}

static void change_done(struct request *r)
{
	uint64_t nr;
	struct sector *s = sectors_of(&r->io, &nr);

	for (uint64_t i = 0; i < nr; i++) {
		s[i].busy = false;
		if (r->error)
			continue; /* it may be there or not */
		s[i].done = s[i].nr - 1;
		if (seen_of(r)[0])
			s[i].safe = s[i].done;
	}
}

static void flush_done(struct request *r)
{
	for (uint64_t i = 0; !r->error && i < world->layout.dev_bytes / SECTOR; i++) {
		if (storm.sectors[i].safe < seen_of(r)[i])
			storm.sectors[i].safe = seen_of(r)[i];
	}
}

static void read_done(struct request *r)
{
	uint64_t nr;
	struct sector *s = sectors_of(&r->io, &nr);

	for (uint64_t i = 0; !r->error && i < nr; i++)
		must_be_one_of(&s[i], sector_read(r->buffer + i * SECTOR), seen_of(r)[i], "read");
}

static void request_done(struct request *r)
{
	if (r->io.op == IO_READ)
		read_done(r);
	else if (r->io.op == IO_FLUSH)
		flush_done(r);
	else
		change_done(r);
}

static void storm_begin(uint64_t dev_bytes, uint32_t cluster_bytes, uint64_t seed)
{
	uint64_t nr = dev_bytes / SECTOR;

	world_begin(dev_bytes, cluster_bytes, 0, seed, request_done);
	storm.value = 0;
	storm.sectors = calloc(nr, sizeof(*storm.sectors));
	storm.seen = calloc(TAGS * nr, sizeof(*storm.seen));
	assert_true(storm.sectors && storm.seen);
	for (uint64_t i = 0; i < nr; i++) {
		storm.sectors[i].values[0] = world_base_value(i);
		storm.sectors[i].nr = 1;
	}
}

static void storm_end(void)
{
	free(storm.sectors);
	free(storm.seen);
	world_end();
}

static bool storm_range(struct io *io)
{
	uint64_t most = world_draw(40) ? 24 : 600, all = world->layout.dev_bytes / SECTOR;
	uint64_t len = 1 + world_draw(most < all ? most : all), off = world_draw(all - len + 1);

	io->off = off * SECTOR;
	io->len = len * SECTOR;
	for (uint64_t i = 0; io->op != IO_READ && i < len; i++) {
		const struct sector *s = &storm.sectors[off + i];

		if (s->busy || s->nr == HISTORY)
			return false;
	}
	return true;
}

static void storm_change(struct request *r, bool fua)
{
	uint64_t nr, v = r->io.op == IO_WRITE ? ++storm.value : 0;
	struct sector *s = sectors_of(&r->io, &nr);

	r->io.fua = fua;
	seen_of(r)[0] = fua;
	for (uint64_t i = 0; i < nr; i++) {
		s[i].busy = true;
		s[i].values[s[i].nr++] = v;
		for (unsigned int k = 0; v && k < SECTOR; k += 8)
			memcpy(r->buffer + i * SECTOR + k, &v, sizeof(v));
	}
}

static void storm_submit(struct request *r)
{
	static const enum io_op ops[] = { IO_READ,  IO_READ,  IO_WRITE,	  IO_WRITE,
					  IO_WRITE, IO_WRITE, IO_DISCARD, IO_WRITE_ZEROES };
	bool flush = !world_draw(12);

	r->io = (struct io){ .op = flush ? IO_FLUSH : ops[world_draw(ARRAY_SIZE(ops))],
			     .buf = r->buffer };
	if (!flush && !storm_range(&r->io))
		return;
	if (flush) {
		for (uint64_t i = 0; i < world->layout.dev_bytes / SECTOR; i++)
			seen_of(r)[i] = storm.sectors[i].done;
	} else if (r->io.op == IO_READ) {
		for (uint64_t i = 0; i < r->io.len / SECTOR; i++)
			seen_of(r)[i] = storm.sectors[r->io.off / SECTOR + i].done;
	} else {
		storm_change(r, r->io.op == IO_WRITE && !world_draw(6));
	}
	world_submit(r);
}

/* Nothing is under way any more: whoever had asked hears nothing. */
static void storm_stop(bool power)
{
	/* What the kernel had begun it may have finished, in any order. */
	while (!power && core.nr_ops) {
		struct core_fake_op op = core_fake_take(core.nr_ops - 1);

		if (world_draw(2))
			world_try(&op);
	}
	core_fake_drop();
	for (unsigned int i = 0; i < TAGS; i++)
		world->requests[i].busy = false;
	for (uint64_t i = 0; i < world->layout.dev_bytes / SECTOR; i++)
		storm.sectors[i].busy = false;
}

/* Every sector has a value it may have, which is its only one from here on. */
static void storm_check(bool power)
{
	unsigned int fail_of = world->fail_of;

	world->fail_of = 0;
	for (uint64_t off = 0, len; off < world->layout.dev_bytes; off += len) {
		len = world->layout.dev_bytes - off;
		len = len < MODEL_IO_BYTES_MAX ? len : MODEL_IO_BYTES_MAX;
		assert_int_equal(world_run(IO_READ, off, len, NULL, NULL, false), 0);
		for (uint64_t i = 0; i < len / SECTOR; i++) {
			struct sector *s = &storm.sectors[off / SECTOR + i];
			uint64_t v = sector_read(world->requests[0].buffer + i * SECTOR);

			must_be_one_of(s, v, power ? s->safe : s->done, power ? "power" : "death");
			if (power) {
				s->values[0] = v;
				s->nr = 1;
				s->safe = s->done = 0;
			} else {
				s->values[s->nr < HISTORY ? s->nr++ : s->nr - 1] = v;
				s->done = s->nr - 1;
			}
		}
	}
	world->fail_of = fail_of;
}

static void storm_run(unsigned int rounds, unsigned int steps)
{
	for (unsigned int i = 0; i < rounds; i++) {
		/* Death first, so that histories do not fill. */
		bool power = world_draw(3) != 0;
		unsigned int n = 1 + (unsigned int)world_draw(steps);
		/* As for an upgrade: the next worker is there before this one ends. */
		bool prepared = world_draw(2);

		if (prepared)
			assert_int_equal(world_prepare(false), 0);
		for (unsigned int k = 0; k < n; k++) {
			struct request *r = &world->requests[1 + world_draw(TAGS - 1)];

			if (!r->busy && world_draw(2))
				storm_submit(r);
			else if (core.nr_ops)
				world_step();
		}
		storm_stop(power);
		/* What a sync has lost reads as if it were there until the power goes. */
		power |= world->sync_failed;
		world->sync_failed = false;
		if (power)
			world_power_cut();
		assert_int_equal(prepared ? world_take_over() : world_open(false), 0);
		storm_check(power);
	}
}

static void test_an_end_at_any_moment_leaves_what_was_promised(void **state)
{
	static const struct {
		uint64_t bytes;
		uint32_t cluster;
	} rows[] = { { 1 << 20, 4096 }, { 2 << 20, 16384 }, { (4 << 20) + 512, 65536 } };

	for (uint64_t seed = 1; seed <= 24; seed++) {
		size_t i = seed % ARRAY_SIZE(rows);

		storm_begin(rows[i].bytes, rows[i].cluster, seed);
		storm_run(12, 400);
		storm_end();
	}
}

static void test_failures_of_the_disk_lose_nothing_that_was_acknowledged(void **state)
{
	for (uint64_t seed = 1; seed <= 24; seed++) {
		storm_begin(1 << 20, 4096 << seed % 4, seed + 1000);
		world->fail_of = 10 + (unsigned int)seed;
		storm_run(12, 400);
		storm_end();
	}
}

static void test_all_that_is_asked_is_answered(void **state)
{
	storm_begin(256 << 10, 16384, 99);
	for (unsigned int i = 0; i < 300; i++) {
		for (unsigned int k = 1; k < TAGS; k++)
			storm_submit(&world->requests[k]);
		while (core.nr_ops)
			world_step();
		for (unsigned int k = 1; k < TAGS; k++)
			assert_false(world->requests[k].busy);
		assert_int_equal(world_run(IO_FLUSH, 0, 0, NULL, NULL, false), 0);
		for (uint64_t k = 0; k < world->layout.dev_bytes / SECTOR; k++)
			storm.sectors[k].safe = storm.sectors[k].done;
		world_power_cut();
		assert_int_equal(world_open(false), 0);
		storm_check(true);
	}
	storm_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_end_at_any_moment_leaves_what_was_promised),
		cmocka_unit_test(test_failures_of_the_disk_lose_nothing_that_was_acknowledged),
		cmocka_unit_test(test_all_that_is_asked_is_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
