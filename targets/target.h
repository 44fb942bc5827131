/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A target turns block I/O into something else: a table of functions over
 * descriptors it was given. It runs in the sealed worker, on its one thread or,
 * when catalog.h says `threads`, on several: then nothing but the struct io is
 * written after open().
 *
 * The core promises: every I/O was validated once (inside the device, whole
 * blocks, an operation the device has: never a write on a read-only one, never
 * a discard without the grant);
 * io->buf holds what is to be written, or has room for what is read; open()
 * runs before the seal, submit() and complete() after it. With zero copy the
 * data is in the kernel's pages, which only ring operations reach: for them the
 * registered buffer begins at address 0, which is what io->buf is then.
 *
 * A target promises: every submit() is answered by exactly one io_done(), now
 * or later; it never blocks; it uses only the registered files it was opened
 * with and the ring operations in its list. There is no half I/O: all of it
 * was done, or -errno.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "driver/base/err.h"

struct io_uring_sqe;
struct queue;
struct target;

enum io_op {
	IO_NONE, /* so that a hole in a table is not an operation */
	IO_READ,
	IO_WRITE,
	IO_FLUSH,
	IO_DISCARD,
	IO_WRITE_ZEROES,
	IO_OP_END,
};

struct io {
	enum io_op op;
	bool fua;	    /* IO_WRITE: durable before it is done */
	bool keep_space;    /* IO_WRITE_ZEROES: the range must stay allocated */
	uint64_t off;	    /* bytes */
	uint64_t len;	    /* bytes; a discard may exceed 4 GiB */
	void *buf;	    /* len bytes for IO_READ and IO_WRITE; NULL with zero copy */
	uint16_t buf_index; /* of buf in the ring's registered buffers */
	uint16_t work;	    /* the target's own, 0 at submit() */
	/* The core's own. */
	uint64_t begun_ns; /* when it was taken; 0: it is not timed */
	bool held;
	bool counted; /* before it was done */
	/* transfer.c's own, 0 at submit(): bytes that are done, asked for, and moved of these. */
	bool one_by_one;
	uint8_t pieces; /* under way */
	uint32_t step;
	uint32_t asked;
	uint32_t moved;
};

/* A ring operation a target submits, and what it serves with it. */
struct target_ring_op {
	uint8_t opcode;	     /* IORING_OP_* */
	unsigned int io_ops; /* bit mask of 1 << enum io_op; 0 ends a list */
	bool zero_copy_only; /* with buffers the target does it itself */
};

struct target_ops {
	const char *name;
	unsigned int nr_files;		       /* backing files it is opened with */
	unsigned int fewest_files;	       /* or as few as so many; 0: exactly nr_files */
	unsigned int io_ops;		       /* bit mask of 1 << enum io_op it serves */
	const struct target_ring_op *ring_ops; /* NULL: none */
	/*
	 * A read or write is one READ_FIXED or WRITE_FIXED of all its bytes: the core may
	 * finish the I/O itself when the ring moved them all. complete() sees the rest.
	 */
	bool links;
	bool has_server; /* struct target_nbd_server is its */

	int (*open)(struct target *t, struct err *e); /* optional: prepare t->priv */
	/*
	 * Optional, after open() and before the seal: whoever served before has ended, with all
	 * that was under way. What open() read and that one could still change is read here again.
	 */
	int (*begin)(struct target *t, struct err *e);
	void (*submit)(struct target *t, struct queue *q, struct io *io);
	/* What the ring answered: bytes, 0 or -errno. Not needed without io_sqe(). */
	void (*complete)(struct target *t, struct queue *q, struct io *io, int result);

	/* Only with threads of one: operations that are of no I/O, see io_own_sqe(). */
	unsigned int nr_own;
	void (*own)(struct target *t, struct queue *q, unsigned int which, int result);
	/* Optional: all that came together was submitted and completed. */
	void (*settle)(struct target *t);
};

/* Of target fault; all zero for the others. */
struct target_fault {
	uint32_t delay_us;
	uint32_t error_ppm; /* of the requests below, so many of a million fail */
	uint64_t error_off; /* those that touch these bytes */
	uint64_t error_len; /* 0: all, flushes too */
};

enum target_nbd_flag {
	TARGET_NBD_FLUSH = 1 << 1,
	TARGET_NBD_FUA = 1 << 2,
	TARGET_NBD_TRIM = 1 << 3,
	TARGET_NBD_ZERO = 1 << 4,
};

/* Of target nbd: what its server can do, and in which time it must; all zero for the others. */
struct target_nbd_server {
	uint32_t flags; /* enum target_nbd_flag, among others */
	uint32_t timeout_ms;
};

struct target {
	const struct target_ops *ops;
	uint64_t dev_bytes;
	uint32_t piece_bytes; /* of a read or write, what the backing takes at once */
	bool read_only;
	bool discard; /* granted: space may be freed */
	bool zero_copy;
	unsigned int nr_tags; /* requests there can be at a time, of all queues */
	unsigned int nr_files;
	unsigned int first_file; /* registered-file index of its first backing file */
	struct target_fault fault;
	struct target_nbd_server nbd;
	const int *fds; /* plain descriptors, valid in open() and begin() only */
	void *priv;
};

#define TARGET_PIECES_MAX 4u

/* What a read-only device does not do; it has nothing to flush either. */
#define IO_OPS_CHANGING (1u << IO_WRITE | IO_OPS_SPACE)
#define IO_OPS_SPACE (1u << IO_DISCARD | 1u << IO_WRITE_ZEROES)

/* The operations of this device: those of its target that were granted. */
static inline unsigned int target_io_ops(const struct target *t)
{
	unsigned int ops = t->ops->io_ops;

	if (t->read_only)
		ops &= ~(IO_OPS_CHANGING | 1u << IO_FLUSH);
	if (!t->discard)
		ops &= ~IO_OPS_SPACE;
	return ops;
}

/* Finish an I/O: 0 when all of it was done, or -errno. It must not be touched after this. */
void io_done(struct queue *q, struct io *io, int error);

/*
 * A ring entry for this I/O on its target's file number `file`, all zeroes but
 * for the file and the way back; the target fills opcode and arguments. Its
 * result arrives in complete(). At most one per I/O at a time, of a read or write one
 * per piece_bytes up to TARGET_PIECES_MAX, and so never NULL: the ring has room for them.
 */
struct io_uring_sqe *io_sqe(struct target *t, struct queue *q, struct io *io, unsigned int file);

/*
 * A ring entry of no I/O, on the target's file number `file`. Its result arrives in own(), with
 * the number `which` below nr_own; at most one of each at a time.
 */
struct io_uring_sqe *io_own_sqe(struct target *t, struct queue *q, unsigned int which,
				unsigned int file);

/* What is behind the target is lost to this worker, which ends; the next may find it again. */
void io_lost(struct queue *q);

/* NULL for a target that is not served here. */
const struct target_ops *target_find(unsigned int target_id);
