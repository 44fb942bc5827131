/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's queue against a driver played by this file: ring_sqe() puts
 * entries into a list, io_uring_submit_and_wait() hands them to a script and
 * fills the completion queue.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/worker/desc.h"
#include "driver/worker/queue.h"
#include "driver/worker/ring.h"
#include "driver/worker/stats.h"
#include "targets/catalog.h"

#define DEV_BYTES (UINT64_C(1) << 20)
#define MAX_IO_BYTES 65536u
#define ALL_OPS                                                                                    \
	(1 << IO_READ | 1 << IO_WRITE | 1 << IO_FLUSH | 1 << IO_DISCARD | 1 << IO_WRITE_ZEROES)

/* --- descriptors ----------------------------------------------------------------------- */

static const struct target_ops ops_all = { .name = "all", .io_ops = ALL_OPS };
static const struct target_ops ops_reading = { .name = "reading", .io_ops = 1 << IO_READ };

static struct queue queue_for(struct target *t, uint32_t block_bytes)
{
	return (struct queue){
		.target = t,
		.max_io_bytes = MAX_IO_BYTES,
		.block_bytes = block_bytes,
		.depth = 1,
	};
}

static const struct {
	const char *what;
	uint32_t op_flags;
	uint32_t nr_sectors;
	uint64_t start_sector;
	int r;
	uint64_t off, len;
} descs[] = {
	{ "one block", UBLK_IO_OP_READ, 8, 16, 0, 8192, 4096 },
	{ "the last block", UBLK_IO_OP_WRITE, 8, 2040, 0, 2040 << 9, 4096 },
	{ "largest request", UBLK_IO_OP_READ, 128, 0, 0, 0, 65536 },
	{ "flush", UBLK_IO_OP_FLUSH, 0, 0, 0, 0, 0 },
	{ "flush ignores its range", UBLK_IO_OP_FLUSH, 7, UINT64_MAX, 0, 0, 0 },
	{ "discard of all", UBLK_IO_OP_DISCARD, 2048, 0, 0, 0, DEV_BYTES },
	{ "unknown flags are hints", UBLK_IO_OP_READ | 1u << 31, 8, 0, 0, 0, 4096 },
	{ "nothing", UBLK_IO_OP_READ, 0, 0, -EIO, 0, 0 },
	{ "over the largest request", UBLK_IO_OP_READ, 136, 0, -EIO, 0, 0 },
	{ "half a block", UBLK_IO_OP_READ, 4, 0, -EIO, 0, 0 },
	{ "between blocks", UBLK_IO_OP_READ, 8, 4, -EIO, 0, 0 },
	{ "one block behind the end", UBLK_IO_OP_READ, 8, 2048, -EIO, 0, 0 },
	{ "across the end", UBLK_IO_OP_WRITE, 16, 2040, -EIO, 0, 0 },
	{ "discard across the end", UBLK_IO_OP_DISCARD, UINT32_MAX & ~7u, 8, -EIO, 0, 0 },
	{ "offset wraps", UBLK_IO_OP_READ, 8, UINT64_MAX - 7, -EIO, 0, 0 },
	{ "offset wraps when shifted", UBLK_IO_OP_READ, 8, UINT64_C(1) << 55, -EIO, 0, 0 },
	{ "end wraps", UBLK_IO_OP_READ, 8, (UINT64_MAX >> 9) & ~7ull, -EIO, 0, 0 },
	{ "write same", UBLK_IO_OP_WRITE_SAME, 8, 0, -EOPNOTSUPP, 0, 0 },
	{ "a zone operation", 15, 8, 0, -EOPNOTSUPP, 0, 0 },
	{ "no such operation", 0xff, 8, 0, -EOPNOTSUPP, 0, 0 },
};

static void test_descriptors_are_checked(void **state)
{
	struct target t = { .ops = &ops_all, .dev_bytes = DEV_BYTES, .discard = true };
	struct queue q = queue_for(&t, 4096);

	for (size_t i = 0; i < ARRAY_SIZE(descs); i++) {
		const struct ublksrv_io_desc d = { descs[i].op_flags, descs[i].nr_sectors,
						   descs[i].start_sector, 0 };
		struct io io = { .off = 42 };

		print_message("  %s\n", descs[i].what);
		assert_int_equal(io_from_desc(&q, &d, &io), descs[i].r);
		assert_true(io.off == (descs[i].r ? 42 : descs[i].off));
		assert_true(io.len == (descs[i].r ? 0 : descs[i].len));
	}
}

static void test_a_large_discard_is_not_cut_to_32_bits(void **state)
{
	struct target t = { .ops = &ops_all, .dev_bytes = UINT64_C(1) << 42, .discard = true };
	struct queue q = queue_for(&t, 512);
	const struct ublksrv_io_desc d = { UBLK_IO_OP_DISCARD, UINT32_MAX, 0, 0 };
	struct io io;

	assert_int_equal(io_from_desc(&q, &d, &io), 0);
	assert_true(io.len == (uint64_t)UINT32_MAX << 9);
}

static void test_a_read_only_device_takes_no_change(void **state)
{
	static const uint32_t changing[] = { UBLK_IO_OP_WRITE, UBLK_IO_OP_DISCARD,
					     UBLK_IO_OP_WRITE_ZEROES };
	struct target t = { .ops = &ops_all, .dev_bytes = DEV_BYTES, .read_only = true };
	struct queue q = queue_for(&t, 512);
	struct ublksrv_io_desc d = { UBLK_IO_OP_READ, 8, 0, 0 };
	struct io io;

	assert_int_equal(io_from_desc(&q, &d, &io), 0);
	for (size_t i = 0; i < ARRAY_SIZE(changing); i++) {
		d.op_flags = changing[i];
		assert_int_equal(io_from_desc(&q, &d, &io), -EIO);
	}
}

static void test_space_is_freed_where_it_was_granted_only(void **state)
{
	static const uint32_t freeing[] = { UBLK_IO_OP_DISCARD, UBLK_IO_OP_WRITE_ZEROES };
	struct target t = { .ops = &ops_all, .dev_bytes = DEV_BYTES };
	struct queue q = queue_for(&t, 512);
	struct io io;

	for (size_t i = 0; i < ARRAY_SIZE(freeing); i++) {
		struct ublksrv_io_desc d = { freeing[i], 8, 0, 0 };

		t.discard = false;
		assert_int_equal(io_from_desc(&q, &d, &io), -EOPNOTSUPP);
		t.discard = true;
		assert_int_equal(io_from_desc(&q, &d, &io), 0);
	}
}

static void test_only_operations_the_target_has(void **state)
{
	struct target t = { .ops = &ops_reading, .dev_bytes = DEV_BYTES };
	struct queue q = queue_for(&t, 512);
	struct ublksrv_io_desc d = { UBLK_IO_OP_WRITE, 8, 0, 0 };
	struct io io;

	assert_int_equal(io_from_desc(&q, &d, &io), -EOPNOTSUPP);
	d.op_flags = UBLK_IO_OP_FLUSH;
	assert_int_equal(io_from_desc(&q, &d, &io), -EOPNOTSUPP);
	d.op_flags = UBLK_IO_OP_READ;
	assert_int_equal(io_from_desc(&q, &d, &io), 0);
}

static void test_flags_belong_to_their_operation(void **state)
{
	struct target t = { .ops = &ops_all, .dev_bytes = DEV_BYTES, .discard = true };
	struct queue q = queue_for(&t, 512);
	uint32_t both = UBLK_IO_F_FUA | UBLK_IO_F_NOUNMAP;
	struct ublksrv_io_desc d = { UBLK_IO_OP_WRITE | both, 8, 0, 0 };
	struct io io;

	assert_int_equal(io_from_desc(&q, &d, &io), 0);
	assert_true(io.fua && !io.keep_space);
	d.op_flags = UBLK_IO_OP_WRITE_ZEROES | both;
	assert_int_equal(io_from_desc(&q, &d, &io), 0);
	assert_true(!io.fua && io.keep_space);
	d.op_flags = UBLK_IO_OP_DISCARD | both;
	assert_int_equal(io_from_desc(&q, &d, &io), 0);
	assert_true(!io.fua && !io.keep_space);
}

static void test_results_are_whole_or_an_errno_the_block_layer_knows(void **state)
{
	struct io io = { .op = IO_WRITE, .len = 4096 };
	static const struct {
		int error, result;
	} rows[] = {
		{ -ENOSPC, -ENOSPC }, { -EDQUOT, -ENOSPC }, { -EOPNOTSUPP, -EOPNOTSUPP },
		{ -EIO, -EIO },	      { -EAGAIN, -EIO },    { -ENOMEM, -EIO },
		{ -EBUSY, -EIO },     { -ECANCELED, -EIO }, { -ENODEV, -EIO },
		{ -EFBIG, -EIO },     { -EINTR, -EIO },
	};

	assert_int_equal(io_result(&io, 0), 4096);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(io_result(&io, rows[i].error), rows[i].result);
	io.op = IO_DISCARD;
	io.len = UINT64_C(1) << 40;
	assert_int_equal(io_result(&io, 0), 0);
}

/* --- a life of a queue ------------------------------------------------------------------- */

#define ENTRIES 8
#define DEPTH 2
#define OTHERS_ABORT 1000 /* in a script: all tags but 0 are taken back */
#define TARGET_DONE 1001  /* ... the target's operation on tag 0 has ended */

/* The test is one thread and cmocka's stand-ins have no argument for this. */
static struct {
	struct io_uring_sqe pending[ENTRIES];
	unsigned int nr_pending;
	struct io_uring_cqe cqes[ENTRIES];
	unsigned int head, tail;
	struct ublksrv_io_desc descs[DEPTH];
	struct ublksrv_io_cmd last; /* the last command to the driver */
	unsigned int nr_fetches, nr_commits;
	struct stats_queue counts;
	uint64_t wake_ns;
	const int *script; /* what each wait answers to what is armed; ends with ABORT */
	uint64_t armed[DEPTH];
} driver;

struct io_uring_sqe *ring_sqe(struct io_uring *u, enum ring_file file, uint64_t user_data)
{
	struct io_uring_sqe *sqe = &driver.pending[driver.nr_pending++];

	assert_true(driver.nr_pending <= ENTRIES);
	memset(sqe, 0, sizeof(*sqe));
	sqe->fd = (int)file;
	sqe->user_data = user_data;
	return sqe;
}

static void driver_complete(uint64_t user_data, int result)
{
	struct io_uring_cqe *cqe = &driver.cqes[driver.tail++ % ENTRIES];

	cqe->user_data = user_data;
	cqe->res = result;
}

int io_uring_submit(struct io_uring *ring)
{
	unsigned int n = driver.nr_pending;

	for (unsigned int i = 0; i < n; i++) {
		const struct io_uring_sqe *sqe = &driver.pending[i];

		assert_int_equal(sqe->fd, RING_FILE_CHAR);
		memcpy(&driver.last, sqe->cmd, sizeof(driver.last));
		driver.nr_fetches += sqe->cmd_op == UBLK_U_IO_FETCH_REQ;
		driver.nr_commits += sqe->cmd_op == UBLK_U_IO_COMMIT_AND_FETCH_REQ;
		driver.armed[driver.last.tag] = sqe->user_data;
	}
	driver.nr_pending = 0;
	return (int)n;
}

int io_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *reg,
			       unsigned int flags)
{
	return 0;
}

/* One answer of the script for tag 0; an abort takes back all tags. */
int io_uring_submit_and_wait(struct io_uring *ring, unsigned int wait_nr)
{
	int answer = *driver.script++;

	io_uring_submit(ring);
	if (answer == TARGET_DONE) {
		driver_complete(ring_user_data(RING_TARGET, 0, 0), 0);
	} else if (answer == OTHERS_ABORT) {
		driver_complete(driver.armed[1], UBLK_IO_RES_ABORT);
		driver.armed[1] = 0;
	} else {
		driver_complete(driver.armed[0], answer);
	}
	for (unsigned int tag = 1; answer == UBLK_IO_RES_ABORT && tag < DEPTH; tag++) {
		if (driver.armed[tag])
			driver_complete(driver.armed[tag], answer);
	}
	return 0;
}

static void life_submit(struct target *t, struct queue *q, struct io *io)
{
	assert_ptr_equal(io->buf, q->buffers);
	assert_int_equal(io->buf_index, q->index);
	assert_int_equal(io->step, 0);
	io_done(q, io, 0);
}

static const struct target_ops ops_life = { .name = "life",
					    .io_ops = ALL_OPS,
					    .submit = life_submit };

static void late_submit(struct target *t, struct queue *q, struct io *io)
{
}

static void late_complete(struct target *t, struct queue *q, struct io *io, int result)
{
	io_done(q, io, result);
}

static const struct target_ops ops_late = {
	.name = "late",
	.io_ops = ALL_OPS,
	.submit = late_submit,
	.complete = late_complete,
};

static int life_of(const struct target_ops *ops, uint32_t flags, const int *script,
		   const struct ublksrv_io_desc *desc)
{
	static unsigned int mask = ENTRIES - 1;
	struct io_uring uring = { 0 };
	struct target t = { .ops = ops, .dev_bytes = DEV_BYTES };
	struct start_spec spec = { .nr_queues = 1,
				   .flags = flags,
				   .depth = DEPTH,
				   .max_io_bytes = MAX_IO_BYTES,
				   .logical_block_bytes = 512,
				   .piece_bytes = MAX_IO_BYTES };
	struct queue q;
	int r;

	memset(&driver, 0, sizeof(driver));
	driver.script = script;
	driver.descs[0] = *desc;
	uring.cq.khead = &driver.head;
	uring.cq.ktail = &driver.tail;
	uring.cq.kring_mask = &mask;
	uring.cq.ring_mask = mask;
	uring.cq.cqes = driver.cqes;
	assert_int_equal(queue_init(&q, 0, &spec, &uring, &t, NULL), 0);
	q.descs = driver.descs;
	q.counts = &driver.counts;
	q.wake_ns = &driver.wake_ns;
	queue_fetch(&q);
	r = queue_submit(&uring, &q, 1);
	assert_int_equal(r, 0);
	assert_int_equal(driver.nr_fetches, DEPTH);
	assert_int_equal(q.live, DEPTH);
	r = queue_run(&uring, &q, 1);
	queue_fini(&q);
	return r;
}

static int life(const int *script, const struct ublksrv_io_desc *desc)
{
	return life_of(&ops_life, 0, script, desc);
}

static void test_a_queue_serves_until_every_tag_is_aborted(void **state)
{
	static const int script[] = { UBLK_IO_RES_OK, UBLK_IO_RES_OK, UBLK_IO_RES_ABORT };
	const struct ublksrv_io_desc d = { UBLK_IO_OP_WRITE, 8, 0, 0 };

	assert_int_equal(life(script, &d), 0);
	assert_int_equal(driver.nr_commits, 2);
	assert_int_equal(driver.counts.ops[STATS_WRITE].ios, 2);
	assert_int_equal(driver.counts.ops[STATS_WRITE].bytes, 2 * 4096);
	assert_int_equal(driver.last.result, 4096);
}

static void test_what_is_in_flight_is_finished_when_the_idle_tags_are_gone(void **state)
{
	static const int script[] = { UBLK_IO_RES_OK, OTHERS_ABORT, TARGET_DONE,
				      UBLK_IO_RES_ABORT };
	const struct ublksrv_io_desc d = { UBLK_IO_OP_WRITE, 8, 0, 0 };

	/* Nothing comes by the tag that is committed last. */
	assert_int_equal(life_of(&ops_late, START_QUIESCE, script, &d), 0);
	assert_int_equal(driver.nr_commits, 1);
	assert_int_equal(driver.last.result, 4096);
	assert_ptr_equal(driver.script, script + 3);
	/* Drivers that do not quiesce take it back too, and it is waited for. */
	assert_int_equal(life_of(&ops_late, 0, script, &d), 0);
	assert_int_equal(driver.nr_commits, 1);
	assert_ptr_equal(driver.script, script + 4);
}

static void test_a_bad_descriptor_is_committed_as_an_error(void **state)
{
	static const int script[] = { UBLK_IO_RES_OK, UBLK_IO_RES_ABORT };
	const struct ublksrv_io_desc d = { UBLK_IO_OP_WRITE, 8, 1 << 20, 0 };

	assert_int_equal(life(script, &d), 0);
	assert_int_equal(driver.nr_commits, 1);
	assert_int_equal(driver.last.result, -EIO);
	assert_int_equal(driver.counts.ops[STATS_REFUSED].errors, 1);
	assert_int_equal(driver.counts.ops[STATS_WRITE].ios, 0);
}

static void test_a_refused_command_ends_the_worker(void **state)
{
	static const int script[] = { UBLK_IO_RES_OK, -EINVAL };
	const struct ublksrv_io_desc d = { UBLK_IO_OP_READ, 8, 0, 0 };

	assert_int_equal(life(script, &d), -EINVAL);
}

static void test_what_nobody_asked_for_ends_the_worker(void **state)
{
	static const int script[] = { 1 }; /* need-get-data */
	const struct ublksrv_io_desc d = { UBLK_IO_OP_WRITE, 8, 0, 0 };

	assert_int_equal(life(script, &d), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_descriptors_are_checked),
		cmocka_unit_test(test_a_large_discard_is_not_cut_to_32_bits),
		cmocka_unit_test(test_a_read_only_device_takes_no_change),
		cmocka_unit_test(test_space_is_freed_where_it_was_granted_only),
		cmocka_unit_test(test_only_operations_the_target_has),
		cmocka_unit_test(test_flags_belong_to_their_operation),
		cmocka_unit_test(test_results_are_whole_or_an_errno_the_block_layer_knows),
		cmocka_unit_test(test_a_queue_serves_until_every_tag_is_aborted),
		cmocka_unit_test(test_what_is_in_flight_is_finished_when_the_idle_tags_are_gone),
		cmocka_unit_test(test_a_bad_descriptor_is_committed_as_an_error),
		cmocka_unit_test(test_a_refused_command_ends_the_worker),
		cmocka_unit_test(test_what_nobody_asked_for_ends_the_worker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
