/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/worker/spec.h"
#include "targets/catalog.h"

static struct start_spec good(void)
{
	return (struct start_spec){
		.head = { START_MAGIC, START_VERSION, START_SPEC, sizeof(struct start_spec), 1 },
		.target = TARGET_NULL,
		.dev_bytes = 1 << 20,
		.nr_queues = 2,
		.depth = 32,
		.max_io_bytes = 65536,
		.logical_block_bytes = 512,
		.piece_bytes = 65536,
		.nr_filter = 10,
	};
}

static int admit(const struct start_spec *s, size_t size, unsigned int nr_fds)
{
	struct packet p = PACKET_INIT;
	const struct target_ops *ops = NULL;
	struct start_spec ret;
	struct err e = { "" };
	int r;

	memcpy(p.bytes, s, sizeof(*s));
	p.size = size;
	p.nr_fds = nr_fds;
	r = spec_admit(&ret, &ops, &p, &e);
	assert_true(r == 0 || (r == -EPROTO && e.text[0] && !ops));
	return r;
}

static void test_a_good_spec_is_admitted(void **state)
{
	struct start_spec s = good();

	assert_int_equal(admit(&s, sizeof(s), 1), 0);
	s.target = TARGET_FILE;
	s.flags = START_FLAGS_ALL & ~START_LINK;
	assert_int_equal(admit(&s, sizeof(s), 1), 0);
	s.flags = START_FLAGS_ALL & ~START_BATCH;
	assert_int_equal(admit(&s, sizeof(s), 1), 0);
}

static void test_what_does_not_match_exactly_is_refused(void **state)
{
	struct start_spec s = good();

	assert_int_equal(admit(&s, sizeof(s) - 1, 1), -EPROTO);
	assert_int_equal(admit(&s, sizeof(s) + 8, 1), -EPROTO);
	assert_int_equal(admit(&s, sizeof(s), 0), -EPROTO);
	s.head.nr_fds = 2; /* one too many for the target */
	assert_int_equal(admit(&s, sizeof(s), 2), -EPROTO);
}

#define REFUSED(field, value)                                                                      \
	do {                                                                                       \
		struct start_spec s = good();                                                      \
                                                                                                   \
		s.field = value;                                                                   \
		assert_int_equal(admit(&s, sizeof(s), 1), -EPROTO);                                \
	} while (0)

static void test_every_field_has_its_limits(void **state)
{
	REFUSED(head.magic, 1);
	REFUSED(head.version, START_VERSION + 1);
	REFUSED(head.type, START_SERVE);
	REFUSED(head.size, 16);
	REFUSED(target, TARGET_NONE);
	REFUSED(target, TARGET_END);
	REFUSED(head.nr_fds, 0); /* without its file */
	REFUSED(nr_queues, 0);
	REFUSED(nr_queues, START_QUEUES_MAX + 1);
	REFUSED(depth, 0);
	REFUSED(depth, START_DEPTH_MAX + 1);
	REFUSED(max_io_bytes, 0);
	REFUSED(max_io_bytes, 4096 + 512);
	REFUSED(max_io_bytes, START_IO_BYTES_MAX + 4096);
	REFUSED(logical_block_bytes, 0);
	REFUSED(logical_block_bytes, 256);
	REFUSED(logical_block_bytes, 768);
	REFUSED(logical_block_bytes, 8192);
	REFUSED(dev_bytes, 0);
	REFUSED(dev_bytes, 1000);
	REFUSED(dev_bytes, UINT64_C(1) << 63);
	REFUSED(nr_filter, 0);
	REFUSED(nr_filter, START_FILTER_MAX + 1);
	REFUSED(flags, START_FLAGS_ALL + 1);
	REFUSED(flags, START_BATCH | START_LINK);
	REFUSED(flags, START_BY_HAND);
	REFUSED(piece_bytes, 0);
	REFUSED(piece_bytes, 4096 + 512);
	REFUSED(piece_bytes, 65536 + 4096);
	REFUSED(pad[0], 1);
	REFUSED(pad[2], 1);
}

static void test_processors_are_of_a_queue_there_is(void **state)
{
	struct spec_cpus cpus;
	struct start_spec s = good();

	s.cpu_queue[3] = 1;
	assert_int_equal(admit(&s, sizeof(s), 1), -EPROTO);
	s.flags = START_THREADS;
	assert_int_equal(admit(&s, sizeof(s), 1), 0);
	s.cpu_queue[START_CPUS_MAX - 1] = 2;
	assert_int_equal(admit(&s, sizeof(s), 1), 0);
	assert_true(spec_cpus(&s, 0, &cpus));
	assert_true(cpus.words[0] == 8 && !cpus.words[START_CPUS_MAX / 64 - 1]);
	assert_true(spec_cpus(&s, 1, &cpus));
	assert_true(!cpus.words[0] && cpus.words[START_CPUS_MAX / 64 - 1] == UINT64_C(1) << 63);
	assert_false(spec_cpus(&s, 2, &cpus));
	s.cpu_queue[0] = 3;
	assert_int_equal(admit(&s, sizeof(s), 1), -EPROTO);
}

static void test_a_step_is_bare(void **state)
{
	const struct start_step m = {
		.head = { START_MAGIC, START_VERSION, START_SERVE, sizeof(m), 1 },
	};
	struct packet p = PACKET_INIT;

	memcpy(p.bytes, &m, sizeof(m));
	p.size = sizeof(m);
	p.nr_fds = 1;
	assert_int_equal(spec_admit_step(&p, START_SERVE, 1, NULL), 0);
	assert_int_equal(spec_admit_step(&p, START_SERVE, 0, NULL), -EPROTO);
	assert_int_equal(spec_admit_step(&p, START_READY, 1, NULL), -EPROTO);
	p.nr_fds = 0;
	assert_int_equal(spec_admit_step(&p, START_SERVE, 1, NULL), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_good_spec_is_admitted),
		cmocka_unit_test(test_what_does_not_match_exactly_is_refused),
		cmocka_unit_test(test_every_field_has_its_limits),
		cmocka_unit_test(test_processors_are_of_a_queue_there_is),
		cmocka_unit_test(test_a_step_is_bare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
