/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/store/copy.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/cleanup.h"

#define COPY_PIECE_BYTES (UINT64_C(8) << 20) /* between two looks at who waits for it */
#define COPY_ROOM_BYTES (UINT64_C(1) << 20)
#define COPY_HOLE_BYTES 4096 /* zeroes of this size become a hole */

struct copy {
	int from_fd;
	int to_fd;
	uint64_t all_bytes;
	bool by_hand; /* the kernel cannot copy between the two */
	char *room;
	const struct copy_watch *watch;
};

static int copy_step(const struct copy *c, uint64_t done_bytes, struct err *e)
{
	int r = c->watch ? c->watch->step(c->watch->arg, done_bytes, c->all_bytes) : 0;

	return r < 0 ? err_sys(e, -r, "it was not finished") : 0;
}

/* What is behind the first bytes is zeroes, of a growth that was killed. */
bool copy_share(int from_fd, int to_fd, uint64_t bytes)
{
	struct stat from, to, now;

	if (fstat(from_fd, &from) < 0 || fstat(to_fd, &to) < 0 || !S_ISREG(from.st_mode) ||
	    (uint64_t)from.st_size < bytes || ioctl(to_fd, FICLONE, from_fd) < 0)
		return false;
	return fstat(to_fd, &now) == 0 &&
	       (to.st_size == now.st_size || ftruncate(to_fd, to.st_size) == 0);
}

static bool copy_zero(const char *at, size_t size)
{
	return !*at && !memcmp(at, at + 1, size - 1);
}

/* What is all zero is a hole there already. */
static int copy_write(int fd, const char *at, size_t size, uint64_t offset)
{
	for (size_t done = 0; done < size;) {
		size_t piece = size - done < COPY_HOLE_BYTES ? size - done : COPY_HOLE_BYTES;
		ssize_t n = (ssize_t)piece;

		if (!copy_zero(at + done, piece))
			n = pwrite(fd, at + done, piece, (off_t)(offset + done));
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

static ssize_t copy_by_hand(struct copy *c, uint64_t offset, uint64_t bytes)
{
	size_t most = bytes < COPY_ROOM_BYTES ? bytes : COPY_ROOM_BYTES;
	ssize_t n;
	int r;

	if (!c->room)
		c->room = malloc(COPY_ROOM_BYTES);
	if (!c->room)
		return -ENOMEM;
	n = pread(c->from_fd, c->room, most, (off_t)offset);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	r = copy_write(c->to_fd, c->room, (size_t)n, offset);
	return r < 0 ? r : n;
}

/* How many bytes of this piece; 0: the file ends before it. */
static ssize_t copy_piece(struct copy *c, uint64_t offset, uint64_t bytes)
{
	off_t from = (off_t)offset, to = (off_t)offset;
	ssize_t n;

	if (!c->by_hand) {
		n = copy_file_range(c->from_fd, &from, c->to_fd, &to, bytes, 0);
		if (n >= 0)
			return n;
		if (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS)
			return -errno;
		c->by_hand = true;
	}
	return copy_by_hand(c, offset, bytes);
}

static int copy_range(struct copy *c, uint64_t offset, uint64_t end, struct err *e)
{
	while (offset < end) {
		uint64_t piece = end - offset < COPY_PIECE_BYTES ? end - offset : COPY_PIECE_BYTES;
		ssize_t n = copy_piece(c, offset, piece);
		int r;

		if (n < 0)
			return err_sys(e, (int)-n, "cannot copy the data");
		if (!n)
			return err_set(e, EIO, "the file became shorter while it was copied");
		offset += (uint64_t)n;
		r = copy_step(c, offset, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The next range with data in it; false: there is none. All of it where nobody knows of holes. */
static bool copy_next(int fd, uint64_t at, uint64_t end, uint64_t *ret_from, uint64_t *ret_to)
{
	off_t data = lseek(fd, (off_t)at, SEEK_DATA), hole;

	if (data < 0 && errno == ENXIO)
		return false;
	*ret_from = data < 0 ? at : (uint64_t)data;
	hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
	*ret_to = hole < 0 || (uint64_t)hole > end ? end : (uint64_t)hole;
	return *ret_from < end;
}

int copy_data(int from_fd, int to_fd, uint64_t bytes, const struct copy_watch *watch, struct err *e)
{
	struct copy c = {
		.from_fd = from_fd,
		.to_fd = to_fd,
		.all_bytes = bytes,
		.watch = watch,
	};
	uint64_t from, to = 0;
	int r = 0;

	if (copy_share(from_fd, to_fd, bytes))
		return copy_step(&c, bytes, e);
	while (!r && to < bytes && copy_next(from_fd, to, bytes, &from, &to))
		r = copy_range(&c, from, to, e);
	free(c.room);
	return r < 0 ? r : copy_step(&c, bytes, e);
}

static int copy_zero_range(const struct copy *c, uint64_t offset, uint64_t end, struct err *e)
{
	int r = 0;

	while (!r && offset < end) {
		uint64_t piece = end - offset < COPY_ROOM_BYTES ? end - offset : COPY_ROOM_BYTES;
		ssize_t n = pwrite(c->to_fd, c->room, piece, (off_t)offset);

		if (n <= 0)
			return err_sys(e, n < 0 ? errno : EIO, "cannot write zeroes");
		offset += (uint64_t)n;
		r = copy_step(c, offset, e);
	}
	return r;
}

int copy_zeroes(int fd, const struct copy_watch *watch, struct err *e)
{
	auto_free char *room = calloc(1, COPY_ROOM_BYTES);
	struct copy c = { .from_fd = fd, .to_fd = fd, .room = room, .watch = watch };
	uint64_t from, to = 0;
	struct stat st;
	int r = 0;

	if (!room || fstat(fd, &st) < 0)
		return err_sys(e, room ? errno : ENOMEM, "cannot write zeroes");
	c.all_bytes = (uint64_t)st.st_size;
	while (!r && to < c.all_bytes && copy_next(fd, to, c.all_bytes, &from, &to))
		r = copy_zero_range(&c, from, to, e);
	if (r == 0 && fsync(fd) < 0)
		r = err_sys(e, errno, "cannot write zeroes");
	return r;
}
