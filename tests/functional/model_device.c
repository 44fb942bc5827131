/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model of tests/unit/model.h on a real block device:
 *
 *   model_device DEVICE IMAGE SEED OPERATIONS [keeps]
 *
 * IMAGE is what is on the part of it that is used, byte for byte; "keeps": a discard may leave
 * sectors as they were. Past the page cache, so that each operation is the target's, many of them
 * under way. Exit 0: they stayed equal.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "tests/unit/model.h"

struct device {
	int fd;
	struct io_uring ring;
};

static void device_prep(struct device *dev, struct model_op *op)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&dev->ring);

	if (op->kind == MODEL_FLUSH)
		io_uring_prep_fsync(sqe, dev->fd, 0);
	else if (op->kind == MODEL_READ)
		io_uring_prep_read(sqe, dev->fd, op->data, (unsigned int)op->len, op->off);
	else
		io_uring_prep_write(sqe, dev->fd, op->data, (unsigned int)op->len, op->off);
	if (op->fua)
		sqe->rw_flags = RWF_DSYNC;
	io_uring_sqe_set_data(sqe, op);
}

/* Those the ring has nothing for on every kernel: while others are under way all the same. */
static int device_space(const struct device *dev, const struct model_op *op)
{
	uint64_t range[] = { op->off, op->len };
	int r;

	if (op->kind == MODEL_DISCARD)
		r = ioctl(dev->fd, BLKDISCARD, range);
	else if (op->keep_space)
		r = ioctl(dev->fd, BLKZEROOUT, range);
	else
		r = fallocate(dev->fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, (off_t)op->off,
			      (off_t)op->len);
	return r < 0 ? -errno : 0;
}

static int device_wait(struct device *dev)
{
	struct io_uring_cqe *cqe;
	struct model_op *op;
	int r = io_uring_wait_cqe(&dev->ring, &cqe);

	if (r < 0)
		return r;
	op = io_uring_cqe_get_data(cqe);
	op->error = cqe->res == (int)op->len ? 0 : cqe->res < 0 ? cqe->res : -EIO;
	io_uring_cqe_seen(&dev->ring, cqe);
	return 0;
}

static void device_run(void *arg, struct model_op *ops, unsigned int nr)
{
	struct device *dev = arg;
	unsigned int in_ring = 0;
	int r;

	for (unsigned int i = 0; i < nr; i++) {
		if (ops[i].kind == MODEL_DISCARD || ops[i].kind == MODEL_ZERO)
			continue;
		ops[i].error = -EIO;
		device_prep(dev, &ops[i]);
		in_ring++;
	}
	r = in_ring ? io_uring_submit(&dev->ring) : 0;
	for (unsigned int i = 0; i < nr; i++) {
		if (ops[i].kind == MODEL_DISCARD || ops[i].kind == MODEL_ZERO)
			ops[i].error = device_space(dev, &ops[i]);
	}
	for (; r >= 0 && in_ring; in_ring--)
		r = device_wait(dev);
}

int main(int argc, char **argv)
{
	bool keeps = argc == 6 && !strcmp(argv[5], "keeps");
	auto_close int fd = argc == 5 || keeps ? open(argv[1], O_RDWR | O_DIRECT | O_CLOEXEC) : -1;
	auto_close int image = fd >= 0 ? open(argv[2], O_RDONLY | O_CLOEXEC) : -1;
	auto_free unsigned char *memory = NULL;
	struct device dev = { .fd = fd };
	struct model_device d = {
		.arg = &dev, .depth = MODEL_DEPTH_MAX, .discard_may_keep = keeps, .run = device_run
	};
	uint64_t bytes = 0;
	unsigned int op = 0;
	struct stat st;
	int r;

	if (image < 0 || fstat(image, &st) < 0 || ioctl(fd, BLKGETSIZE64, &bytes) < 0)
		return 2;
	d.bytes = (uint64_t)st.st_size;
	memory = malloc(d.bytes);
	if (!memory || d.bytes > bytes || d.bytes < MODEL_SECTOR ||
	    read(image, memory, d.bytes) != (ssize_t)d.bytes ||
	    io_uring_queue_init(MODEL_DEPTH_MAX, &dev.ring, 0) < 0)
		return 2;
	r = model_run(&d, memory, strtoull(argv[3], NULL, 10), (unsigned int)atoi(argv[4]), &op);
	io_uring_queue_exit(&dev.ring);
	if (r) {
		printf("operation %u: %s\n", op, strerror(-r));
		return 1;
	}
	printf("%u operations\n", op);
	return 0;
}
