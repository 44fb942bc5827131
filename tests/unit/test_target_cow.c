/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Target cow on a ring and a disk that are made up: operations are carried out in any order,
 * and what was not synced may be on the disk or not, sector by sector, when the power goes.
 */
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

#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/io_uring.h>

#include "driver/base/cleanup.h"
#include "targets/catalog.h"
#include "targets/cow_format.h"
#include "targets/registry.h"
#include "tests/unit/model.h"

/* A worker frees nothing, and here many come one after the other. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

#define SECTOR 512u
#define TAGS 24
#define OPS_MAX (TAGS * TARGET_PIECES_MAX)
#define HISTORY 64

enum { DELTA, BASE };

/* One operation of the target on the ring. */
struct op {
	struct io *io;
	unsigned int file;
	struct io_uring_sqe sqe;
};

/* What was written and not yet synced, in order. */
struct pending {
	struct pending *next;
	uint64_t off, len;
	unsigned char bytes[];
};

/* The values a sector may have: those from `safe` on after a power cut, from `done` on before. */
struct sector {
	uint64_t values[HISTORY];
	unsigned int nr, safe, done;
	bool busy; /* a change of it is under way */
};

struct request {
	struct io io;
	unsigned char *buffer;
	bool busy;
	unsigned int nr_ops;
	/* Of each sector: where its history stood. */
	unsigned int *seen;
	int error;
};

struct world {
	struct cow_layout layout;
	struct target target;
	unsigned char *base, *cache, *disk; /* the delta as it reads, and as it is for sure */
	struct pending *first, **last;
	struct op ops[OPS_MAX];
	unsigned int nr_ops;
	struct request requests[TAGS];
	struct sector *sectors;
	uint64_t random;
	uint64_t value;
	unsigned int fail_of; /* of so many operations one fails; 0: none */
	unsigned int nr_syncs, nr_base_reads, nr_delta_reads;
	bool sync_failed;
};

static struct world *world;

static uint64_t draw(uint64_t below)
{
	world->random ^= world->random << 13;
	world->random ^= world->random >> 7;
	world->random ^= world->random << 17;
	return (world->random >> 11) % below;
}

/* --- the core's part ------------------------------------------------------------------- */

static struct request *request_of(struct io *io)
{
	return (struct request *)((char *)io - offsetof(struct request, io));
}

static void request_done(struct request *r);

void io_done(struct queue *q, struct io *io, int error)
{
	struct request *r = request_of(io);

	assert_true(r->busy);
	assert_int_equal(r->nr_ops, 0);
	assert_int_equal(io->work == 0 || io->work >= UINT16_MAX - 1, true);
	r->busy = false;
	r->error = error;
	request_done(r);
}

struct io_uring_sqe *io_sqe(struct target *t, struct queue *q, struct io *io, unsigned int file)
{
	struct op *op = &world->ops[world->nr_ops];

	assert_true(world->nr_ops < OPS_MAX);
	assert_true(request_of(io)->nr_ops < TARGET_PIECES_MAX);
	assert_true(file <= BASE);
	world->nr_ops++;
	request_of(io)->nr_ops++;
	*op = (struct op){ .io = io, .file = file };
	return &op->sqe;
}

/* --- the disk's part ---------------------------------------------------------------------- */

static void delta_write(uint64_t off, const void *from, uint64_t len)
{
	struct pending *p = malloc(sizeof(*p) + len);

	assert_non_null(p);
	assert_true(off + len <= world->layout.file_bytes && !(off % SECTOR) && !(len % SECTOR));
	*p = (struct pending){ .off = off, .len = len };
	if (from)
		memcpy(p->bytes, from, len);
	else
		memset(p->bytes, 0, len);
	memcpy(world->cache + off, p->bytes, len);
	*world->last = p;
	world->last = &p->next;
}

static void pending_drop(void)
{
	while (world->first) {
		struct pending *p = world->first;

		world->first = p->next;
		free(p);
	}
	world->last = &world->first;
}

static void delta_sync(void)
{
	for (const struct pending *p = world->first; p; p = p->next)
		memcpy(world->disk + p->off, p->bytes, p->len);
	pending_drop();
	world->nr_syncs++;
}

/* Of a write that is safe when it is done. */
static void delta_sync_range(uint64_t off, uint64_t len)
{
	memcpy(world->disk + off, world->cache + off, len);
	for (struct pending *p = world->first; p; p = p->next) {
		for (uint64_t i = 0; i < p->len; i += SECTOR) {
			if (p->off + i >= off && p->off + i < off + len)
				memcpy(p->bytes + i, world->cache + p->off + i, SECTOR);
		}
	}
}

/* Any of what was not synced is there. */
static void power_cut(void)
{
	unsigned int likely = 1 + (unsigned int)draw(8);

	for (const struct pending *p = world->first; p; p = p->next) {
		for (uint64_t i = 0; i < p->len; i += SECTOR) {
			if (draw(8) < likely)
				memcpy(world->disk + p->off + i, p->bytes + i, SECTOR);
		}
	}
	pending_drop();
	memcpy(world->cache, world->disk, world->layout.file_bytes);
}

static int sqe_transfer(const struct op *op, bool write)
{
	const struct io_uring_sqe *sqe = &op->sqe;
	unsigned char *memory = (unsigned char *)(uintptr_t)sqe->addr;
	uint32_t len = sqe->len;

	assert_true(len && !(len % SECTOR) && len <= world->target.piece_bytes);
	if (world->fail_of && len > SECTOR && !draw(16))
		len = (uint32_t)(1 + draw(len / SECTOR - 1)) * SECTOR; /* a part only */
	if (op->file == BASE) {
		assert_false(write);
		assert_true(sqe->off + len <= world->layout.dev_bytes);
		memcpy(memory, world->base + sqe->off, len);
		world->nr_base_reads++;
	} else if (write) {
		delta_write(sqe->off, memory, len);
		if (sqe->rw_flags & RWF_DSYNC)
			delta_sync_range(sqe->off, len);
	} else {
		assert_true(sqe->off >= world->layout.data_off);
		memcpy(memory, world->cache + sqe->off, len);
		world->nr_delta_reads++;
	}
	return (int)len;
}

static int sqe_try(const struct op *op);

static int sqe_run(const struct op *op)
{
	const struct io_uring_sqe *sqe = &op->sqe;

	if (world->fail_of && !draw(world->fail_of)) {
		if (sqe->opcode == IORING_OP_FSYNC) {
			pending_drop(); /* as the page cache does: it reads as if it were there */
			world->sync_failed = true;
		} else if (draw(2)) {
			sqe_try(op); /* done, and not said */
		}
		return -EIO;
	}
	return sqe_try(op);
}

static int sqe_try(const struct op *op)
{
	const struct io_uring_sqe *sqe = &op->sqe;

	switch (sqe->opcode) {
	case IORING_OP_READ:
	case IORING_OP_READ_FIXED:
		return sqe_transfer(op, false);
	case IORING_OP_WRITE:
	case IORING_OP_WRITE_FIXED:
		return sqe_transfer(op, true);
	case IORING_OP_FSYNC:
		assert_int_equal(op->file, DELTA);
		delta_sync();
		return 0;
	case IORING_OP_FALLOCATE:
		assert_int_equal(op->file, DELTA);
		assert_true(sqe->off >= world->layout.data_off);
		assert_true(sqe->len & FALLOC_FL_KEEP_SIZE);
		delta_write(sqe->off, NULL, sqe->addr);
		return 0;
	default:
		fail_msg("operation %u", sqe->opcode);
		return -EINVAL;
	}
}

static void step(void)
{
	unsigned int i = (unsigned int)draw(world->nr_ops);
	struct op op = world->ops[i];
	int r;

	memmove(&world->ops[i], &world->ops[i + 1], (world->nr_ops - i - 1) * sizeof(op));
	world->nr_ops--;
	request_of(op.io)->nr_ops--;
	r = sqe_run(&op);
	target_cow.complete(&world->target, NULL, op.io, r);
}

/* --- a world --------------------------------------------------------------------------------- */

static int world_open(bool read_only)
{
	auto_close int delta = memfd_create("delta", MFD_CLOEXEC);
	auto_close int base = memfd_create("base", MFD_CLOEXEC);
	const int fds[] = { delta, base };
	struct err e = { "" };
	int r;

	assert_true(pwrite(delta, world->cache, world->layout.file_bytes, 0) ==
		    (ssize_t)world->layout.file_bytes);
	assert_int_equal(ftruncate(base, (off_t)world->layout.dev_bytes), 0);
	world->target = (struct target){ .ops = &target_cow,
					 .dev_bytes = world->layout.dev_bytes,
					 .piece_bytes = 65536,
					 .read_only = read_only,
					 .discard = true,
					 .nr_tags = TAGS,
					 .fds = fds };
	r = target_cow.open(&world->target, &e);
	if (r < 0)
		print_message("  %s\n", e.text);
	return r;
}

static void base_fill(unsigned char *base, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i += 8) {
		uint64_t v = UINT64_C(1) << 63 | i / SECTOR;

		memcpy(base + i, &v, sizeof(v));
	}
}

static void world_begin(uint64_t dev_bytes, uint32_t cluster_bytes, uint32_t flags, uint64_t seed)
{
	struct cow_layout l;

	assert_int_equal(cow_layout_make(&l, dev_bytes, cluster_bytes, NULL), 0);
	world = calloc(1, sizeof(*world));
	world->layout = l;
	world->random = seed * 2 + 1;
	world->base = malloc(dev_bytes);
	world->cache = calloc(1, l.file_bytes);
	world->disk = calloc(1, l.file_bytes);
	world->sectors = calloc(dev_bytes / SECTOR, sizeof(*world->sectors));
	world->last = &world->first;
	base_fill(world->base, dev_bytes);
	cow_header_make(world->cache, &l, flags, "/srv/base.img");
	/* A region nobody cleaned: what was written there and never came to be. */
	memset(world->cache + l.data_off, 0xee, l.file_bytes - l.data_off);
	memcpy(world->disk, world->cache, l.file_bytes);
	for (uint64_t i = 0; i < dev_bytes / SECTOR; i++) {
		world->sectors[i].values[0] = UINT64_C(1) << 63 | i;
		world->sectors[i].nr = 1;
	}
	for (unsigned int i = 0; i < TAGS; i++) {
		world->requests[i].buffer = aligned_alloc(4096, MODEL_IO_BYTES_MAX);
		world->requests[i].seen =
			calloc(dev_bytes / SECTOR, sizeof(*world->requests[i].seen));
	}
	assert_int_equal(world_open(false), 0);
}

static void world_end(void)
{
	pending_drop();
	for (unsigned int i = 0; i < TAGS; i++) {
		free(world->requests[i].buffer);
		free(world->requests[i].seen);
	}
	free(world->base);
	free(world->cache);
	free(world->disk);
	free(world->sectors);
	free(world);
	world = NULL;
}

/* --- one request at a time ---------------------------------------------------------------- */

static int run_one(enum io_op op, uint64_t off, uint64_t len, const void *from, void *to, bool fua)
{
	struct request *r = &world->requests[0];

	r->io = (struct io){ .op = op, .off = off, .len = len, .fua = fua, .buf = r->buffer };
	r->busy = true;
	if (from)
		memcpy(r->buffer, from, len);
	target_cow.submit(&world->target, NULL, &r->io);
	while (r->busy) {
		assert_true(world->nr_ops);
		step();
	}
	assert_int_equal(world->nr_ops, 0);
	if (to)
		memcpy(to, r->buffer, len);
	return r->error;
}

static int one_read(void *arg, void *to, uint64_t off, uint64_t len)
{
	return run_one(IO_READ, off, len, NULL, to, false);
}

static int one_write(void *arg, const void *from, uint64_t off, uint64_t len)
{
	return run_one(IO_WRITE, off, len, from, NULL, draw(8) == 0);
}

static int one_discard(void *arg, uint64_t off, uint64_t len)
{
	return run_one(IO_DISCARD, off, len, NULL, NULL, false);
}

static int one_zero(void *arg, uint64_t off, uint64_t len)
{
	return run_one(IO_WRITE_ZEROES, off, len, NULL, NULL, false);
}

static int one_flush(void *arg)
{
	return run_one(IO_FLUSH, 0, 0, NULL, NULL, false);
}

static void test_it_is_what_plain_memory_is(void **state)
{
	static const struct {
		uint64_t bytes;
		uint32_t cluster, flags;
	} rows[] = {
		{ 8 << 20, 65536, 0 },
		{ 4 << 20, 4096, 0 },
		{ (4 << 20) + 1536, 16384, 0 },
		{ 9 << 20, 1 << 20, COW_EPHEMERAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct model_device d = { .bytes = rows[i].bytes,
					  .read = one_read,
					  .write = one_write,
					  .discard = one_discard,
					  .zero = one_zero,
					  .flush = one_flush };
		auto_free unsigned char *memory = malloc(rows[i].bytes);
		unsigned int op;
		int r;

		world_begin(rows[i].bytes, rows[i].cluster, rows[i].flags, i + 1);
		memcpy(memory, world->base, rows[i].bytes);
		r = model_run(&d, memory, i + 1, 25000, &op);
		if (r)
			fail_msg("row %zu, operation %u: %d", i, op, r);
		if (rows[i].flags & COW_EPHEMERAL)
			assert_int_equal(world->nr_syncs, 0);
		/* Another worker finds the same. */
		assert_int_equal(world_open(false), 0);
		r = model_run(&d, memory, i + 77, 0, &op);
		assert_int_equal(r, 0);
		world_end();
	}
}

/* --- which operations ---------------------------------------------------------------------- */

static void test_a_read_in_one_place_is_one_operation(void **state)
{
	static unsigned char bytes[256 << 10];

	world_begin(4 << 20, 65536, 0, 5);
	assert_int_equal(run_one(IO_READ, 512, 65536 - 512, NULL, bytes, false), 0);
	assert_int_equal(world->nr_base_reads, 1);
	assert_memory_equal(bytes, world->base + 512, 65536 - 512);
	assert_int_equal(run_one(IO_WRITE, 65536, 65536, bytes, NULL, false), 0);
	assert_int_equal(world->nr_base_reads, 1); /* a whole cluster: nothing to copy */
	assert_int_equal(world->nr_syncs, 1);
	assert_int_equal(run_one(IO_READ, 65536, 65536, NULL, bytes, false), 0);
	assert_int_equal(world->nr_delta_reads, 1);
	assert_int_equal(run_one(IO_WRITE, 69632, 512, bytes, NULL, false), 0);
	assert_int_equal(world->nr_syncs, 1); /* no longer the first change */
	assert_int_equal(run_one(IO_READ, 0, sizeof(bytes), NULL, bytes, false), 0);
	assert_int_equal(world->nr_base_reads, 4); /* the run behind is two clusters, and pieces */
	assert_int_equal(world->nr_delta_reads, 2);
	world_end();
}

static void test_discarded_space_never_shows_the_base(void **state)
{
	static unsigned char bytes[4 << 20];

	world_begin(4 << 20, 65536, 0, 6);
	assert_int_equal(run_one(IO_DISCARD, 0, 4 << 20, NULL, NULL, false), 0);
	assert_int_equal(world_open(false), 0);
	for (uint64_t off = 0; off < 4 << 20; off += MODEL_IO_BYTES_MAX)
		assert_int_equal(one_read(NULL, bytes + off, off, MODEL_IO_BYTES_MAX), 0);
	for (size_t i = 0; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], 0);
	assert_int_equal(world->nr_base_reads, 0);
	world_end();
}

/* The helper's limits come from the catalog, which knows no cluster. */
static void test_no_delta_is_longer_than_the_catalog_says(void **state)
{
	for (uint64_t bytes = 512; bytes < COW_DEV_BYTES_MAX; bytes = bytes * 3 / 512 * 512 + 512) {
		for (uint32_t cluster = COW_CLUSTER_MIN; cluster <= COW_CLUSTER_MAX; cluster *= 2) {
			struct cow_layout l;

			assert_int_equal(cow_layout_make(&l, bytes, cluster, NULL), 0);
			assert_true(l.file_bytes <= catalog_file_bytes(TARGET_COW, bytes));
		}
	}
}

static void submit_write(struct request *r, uint64_t off, uint64_t len)
{
	r->io = (struct io){ .op = IO_WRITE, .off = off, .len = len, .buf = r->buffer };
	r->seen[0] = 0;
	r->busy = true;
	target_cow.submit(&world->target, NULL, &r->io);
}

/* Else it could be answered, and lost with its worker. */
static void test_a_write_waits_for_the_bit_of_its_cluster(void **state)
{
	struct request *first, *second;

	world_begin(1 << 20, 65536, 0, 9);
	first = &world->requests[1];
	second = &world->requests[2];
	submit_write(first, 0, 65536);
	while (world->ops[0].sqe.opcode != IORING_OP_WRITE)
		step();
	assert_true(world->ops[0].sqe.off == world->layout.map_off);
	submit_write(second, 0, 512);
	assert_int_equal(world->nr_ops, 1);
	step();
	assert_false(first->busy);
	assert_int_equal(world->ops[0].sqe.opcode, IORING_OP_WRITE_FIXED);
	step();
	assert_false(second->busy);
	world_end();
}

static void test_a_new_worker_takes_no_bit_for_safe(void **state)
{
	world_begin(1 << 20, 65536, 0, 10);
	assert_int_equal(run_one(IO_WRITE, 0, 65536, world->base, NULL, false), 0);
	assert_int_equal(world_open(false), 0);
	assert_int_equal(world->nr_syncs, 1);
	assert_int_equal(run_one(IO_WRITE, 0, 512, world->base, NULL, true), 0);
	assert_int_equal(world->nr_syncs, 2);
	assert_int_equal(run_one(IO_WRITE, 0, 512, world->base, NULL, true), 0);
	assert_int_equal(world->nr_syncs, 2); /* from here on one write is enough */
	world_end();
}

static void test_after_a_failed_sync_nothing_is_promised(void **state)
{
	world_begin(1 << 20, 65536, 0, 11);
	assert_int_equal(run_one(IO_WRITE, 0, 65536, world->base, NULL, false), 0);
	world->fail_of = 1;
	assert_int_equal(run_one(IO_FLUSH, 0, 0, NULL, NULL, false), -EIO);
	world->fail_of = 0;
	assert_int_equal(run_one(IO_FLUSH, 0, 0, NULL, NULL, false), -EIO);
	assert_int_equal(run_one(IO_WRITE, 0, 512, world->base, NULL, false), -EIO);
	assert_int_equal(run_one(IO_DISCARD, 0, 512, NULL, NULL, false), -EIO);
	assert_int_equal(run_one(IO_READ, 0, 512, NULL, NULL, false), 0);
	world_end();
}

static void test_a_read_only_device_only_reads(void **state)
{
	world_begin(1 << 20, 65536, 0, 7);
	assert_int_equal(run_one(IO_WRITE, 4096, 4096, world->base, NULL, true), 0);
	assert_int_equal(world_open(true), 0);
	assert_int_equal(run_one(IO_READ, 0, 131072, NULL, NULL, false), 0);
	world_end();
}

static void test_what_is_no_delta_of_this_base_is_refused(void **state)
{
	struct cow_layout l;

	world_begin(1 << 20, 65536, 0, 8);
	world->cache[0] ^= 1;
	assert_int_equal(world_open(false), -EINVAL);
	world->cache[0] ^= 1;
	world->cache[2000] ^= 1;
	assert_int_equal(world_open(false), -EINVAL);
	world->cache[2000] ^= 1;
	world->cache[world->layout.map_off + 3] = 1; /* cluster 24 of 16 */
	assert_int_equal(world_open(false), -EINVAL);
	world->cache[world->layout.map_off + 3] = 0;
	assert_int_equal(world_open(false), 0);
	assert_int_equal(cow_layout_make(&l, 2 << 20, 65536, NULL), 0);
	cow_header_make(world->cache, &l, 0, "");
	assert_int_equal(world_open(false), -EINVAL); /* it is longer than the file */
	assert_int_equal(cow_layout_make(&l, 512 << 10, 65536, NULL), 0);
	cow_header_make(world->cache, &l, 0, "");
	assert_int_equal(world_open(false), -EINVAL); /* for another base */
	world_end();
}

/* --- storms: many at a time, and an end at any moment ----------------------------------------- */

static struct sector *sectors_of(const struct io *io, uint64_t *ret_nr)
{
	*ret_nr = io->len / SECTOR;
	return &world->sectors[io->off / SECTOR];
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
		 s - world->sectors, (unsigned long long)value, s->nr - from,
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
		if (r->seen[0])
			s[i].safe = s[i].done;
	}
}

static void flush_done(struct request *r)
{
	for (uint64_t i = 0; !r->error && i < world->layout.dev_bytes / SECTOR; i++) {
		if (world->sectors[i].safe < r->seen[i])
			world->sectors[i].safe = r->seen[i];
	}
}

static void read_done(struct request *r)
{
	uint64_t nr;
	struct sector *s = sectors_of(&r->io, &nr);

	for (uint64_t i = 0; !r->error && i < nr; i++)
		must_be_one_of(&s[i], sector_read(r->buffer + i * SECTOR), r->seen[i], "read");
}

static void request_done(struct request *r)
{
	if (!world->sectors || r == &world->requests[0])
		return; /* the one of run_one() */
	if (r->io.op == IO_READ)
		read_done(r);
	else if (r->io.op == IO_FLUSH)
		flush_done(r);
	else
		change_done(r);
}

static bool storm_range(struct io *io)
{
	uint64_t most = draw(40) ? 24 : 600, all = world->layout.dev_bytes / SECTOR;
	uint64_t len = 1 + draw(most < all ? most : all), off = draw(all - len + 1);

	io->off = off * SECTOR;
	io->len = len * SECTOR;
	for (uint64_t i = 0; io->op != IO_READ && i < len; i++) {
		const struct sector *s = &world->sectors[off + i];

		if (s->busy || s->nr == HISTORY)
			return false;
	}
	return true;
}

static void storm_change(struct request *r, bool fua)
{
	uint64_t nr, v = r->io.op == IO_WRITE ? ++world->value : 0;
	struct sector *s = sectors_of(&r->io, &nr);

	r->io.fua = fua;
	r->seen[0] = fua;
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
	bool flush = !draw(12);

	r->io = (struct io){ .op = flush ? IO_FLUSH : ops[draw(ARRAY_SIZE(ops))],
			     .buf = r->buffer };
	if (!flush && !storm_range(&r->io))
		return;
	if (flush) {
		for (uint64_t i = 0; i < world->layout.dev_bytes / SECTOR; i++)
			r->seen[i] = world->sectors[i].done;
	} else if (r->io.op == IO_READ) {
		for (uint64_t i = 0; i < r->io.len / SECTOR; i++)
			r->seen[i] = world->sectors[r->io.off / SECTOR + i].done;
	} else {
		storm_change(r, r->io.op == IO_WRITE && !draw(6));
	}
	r->busy = true;
	target_cow.submit(&world->target, NULL, &r->io);
}

/* Nothing is under way any more: whoever had asked hears nothing. */
static void storm_stop(bool power)
{
	/* What the kernel had begun it may have finished, in any order. */
	while (!power && world->nr_ops) {
		struct op op = world->ops[--world->nr_ops];

		if (draw(2))
			sqe_run(&op);
	}
	world->nr_ops = 0;
	for (unsigned int i = 0; i < TAGS; i++) {
		world->requests[i].busy = false;
		world->requests[i].nr_ops = 0;
	}
	for (uint64_t i = 0; i < world->layout.dev_bytes / SECTOR; i++)
		world->sectors[i].busy = false;
}

/* Every sector has a value it may have, which is its only one from here on. */
static void storm_check(bool power)
{
	unsigned int fail_of = world->fail_of;

	world->fail_of = 0;
	for (uint64_t off = 0, len; off < world->layout.dev_bytes; off += len) {
		len = world->layout.dev_bytes - off;
		len = len < MODEL_IO_BYTES_MAX ? len : MODEL_IO_BYTES_MAX;
		assert_int_equal(run_one(IO_READ, off, len, NULL, NULL, false), 0);
		for (uint64_t i = 0; i < len / SECTOR; i++) {
			struct sector *s = &world->sectors[off / SECTOR + i];
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

static void storm(unsigned int rounds, unsigned int steps)
{
	for (unsigned int i = 0; i < rounds; i++) {
		/* Death first, so that histories do not fill. */
		bool power = draw(3) != 0;
		unsigned int n = 1 + (unsigned int)draw(steps);

		for (unsigned int k = 0; k < n; k++) {
			struct request *r = &world->requests[1 + draw(TAGS - 1)];

			if (!r->busy && draw(2))
				storm_submit(r);
			else if (world->nr_ops)
				step();
		}
		/* What a sync has lost reads as if it were there until the power goes. */
		power |= world->sync_failed;
		world->sync_failed = false;
		storm_stop(power);
		if (power)
			power_cut();
		assert_int_equal(world_open(false), 0);
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

		world_begin(rows[i].bytes, rows[i].cluster, 0, seed);
		storm(12, 400);
		world_end();
	}
}

static void test_failures_of_the_disk_lose_nothing_that_was_acknowledged(void **state)
{
	for (uint64_t seed = 1; seed <= 24; seed++) {
		world_begin(1 << 20, 4096 << seed % 4, 0, seed + 1000);
		world->fail_of = 10 + (unsigned int)seed;
		storm(12, 400);
		world_end();
	}
}

static void test_all_that_is_asked_is_answered(void **state)
{
	world_begin(256 << 10, 16384, 0, 99);
	for (unsigned int i = 0; i < 300; i++) {
		for (unsigned int k = 1; k < TAGS; k++)
			storm_submit(&world->requests[k]);
		while (world->nr_ops)
			step();
		for (unsigned int k = 1; k < TAGS; k++)
			assert_false(world->requests[k].busy);
		assert_int_equal(run_one(IO_FLUSH, 0, 0, NULL, NULL, false), 0);
		for (uint64_t k = 0; k < world->layout.dev_bytes / SECTOR; k++)
			world->sectors[k].safe = world->sectors[k].done;
		power_cut();
		assert_int_equal(world_open(false), 0);
		storm_check(true);
	}
	world_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_is_what_plain_memory_is),
		cmocka_unit_test(test_a_read_in_one_place_is_one_operation),
		cmocka_unit_test(test_discarded_space_never_shows_the_base),
		cmocka_unit_test(test_no_delta_is_longer_than_the_catalog_says),
		cmocka_unit_test(test_a_write_waits_for_the_bit_of_its_cluster),
		cmocka_unit_test(test_a_new_worker_takes_no_bit_for_safe),
		cmocka_unit_test(test_after_a_failed_sync_nothing_is_promised),
		cmocka_unit_test(test_a_read_only_device_only_reads),
		cmocka_unit_test(test_what_is_no_delta_of_this_base_is_refused),
		cmocka_unit_test(test_an_end_at_any_moment_leaves_what_was_promised),
		cmocka_unit_test(test_failures_of_the_disk_lose_nothing_that_was_acknowledged),
		cmocka_unit_test(test_all_that_is_asked_is_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
