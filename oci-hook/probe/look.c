/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/probe/look.h"

#include <blkid.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/base/cleanup.h"

#define LOOK_EDGE_BYTES (1 << 20) /* at each end, read even where there is a hole */
#define LOOK_ROOM_BYTES (1 << 18)

static void look_unknown(struct probe_answer *a, const char *why, int code)
{
	char words[sizeof(a->reason)];

	snprintf(words, sizeof(words), "%s%s%s", why, code ? ": " : "", code ? strerror(code) : "");
	*a = (struct probe_answer){
		.magic = PROBE_MAGIC,
		.version = PROBE_VERSION,
		.content = PROBE_UNKNOWN,
	};
	probe_text(a->reason, sizeof(a->reason), words);
}

/* --- is any byte of it set? --------------------------------------------------------------- */

/* 1: one is; 0: none; -errno. */
static int look_range(int fd, char *room, off_t at, off_t end)
{
	while (at < end) {
		size_t most = end - at < LOOK_ROOM_BYTES ? (size_t)(end - at) : LOOK_ROOM_BYTES;
		ssize_t n = pread(fd, room, most, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO; /* shorter than it says it is */
		if (*room || memcmp(room, room + 1, (size_t)n - 1))
			return 1;
		at += n;
	}
	return 0;
}

static int look_edges(int fd, char *room, off_t size)
{
	off_t edge = size < LOOK_EDGE_BYTES ? size : LOOK_EDGE_BYTES;
	int begin = look_range(fd, room, 0, edge), end = look_range(fd, room, size - edge, size);

	/* An error at one end weighs more than a byte at the other. */
	return begin < 0 ? begin : end < 0 ? end : begin | end;
}

/* All that is no hole. Where nobody knows of holes that is all of it. */
static int look_inside(int fd, char *room, off_t size)
{
	off_t at = 0;
	int r = 0;

	while (r == 0 && at < size) {
		off_t data = lseek(fd, at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			return 0;
		if (data < 0 && errno != EINVAL)
			return -errno;
		if (data < 0)
			data = at;
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole <= data || hole > size)
			hole = size;
		r = look_range(fd, room, data, hole);
		at = hole;
	}
	return r;
}

/* --- what libblkid knows ------------------------------------------------------------------ */

static void probe_ptrp(blkid_probe *pr)
{
	blkid_free_probe(*pr);
}

static void look_value(blkid_probe pr, const char *name, char *field, size_t size)
{
	const char *value = NULL;

	if (blkid_probe_lookup_value(pr, name, &value, NULL) == 0 && value)
		probe_text(field, size, value);
}

static void look_used(blkid_probe pr, struct probe_answer *a)
{
	a->content = PROBE_USED;
	*a->reason = '\0';
	memset(a->reason, 0, sizeof(a->reason));
	look_value(pr, "TYPE", a->type, sizeof(a->type));
	look_value(pr, "LABEL", a->label, sizeof(a->label));
	look_value(pr, "UUID", a->uuid, sizeof(a->uuid));
	if (!*a->type)
		look_value(pr, "PTTYPE", a->type, sizeof(a->type));
	if (!probe_type_ok(a->type))
		look_unknown(a, "something libblkid has no name for", 0);
}

/* 0: it knows nothing in there; 1: *a says what; -errno. */
static int look_blkid(int fd, struct probe_answer *a)
{
	cleanup_with(probe_ptrp) blkid_probe pr = blkid_new_probe();
	int r;

	if (!pr || blkid_probe_set_device(pr, fd, 0, 0) < 0 ||
	    blkid_probe_enable_superblocks(pr, 1) < 0 || blkid_probe_enable_partitions(pr, 1) < 0 ||
	    blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL |
							  BLKID_SUBLKS_UUID) < 0)
		return -EIO;
	errno = 0;
	r = blkid_do_safeprobe(pr);
	if (r == 0)
		look_used(pr, a);
	else if (r == -2)
		look_unknown(a, "marks of more than one file system", 0);
	else if (r < 0)
		return errno ? -errno : -EIO;
	return r != 1;
}

void look_at(int fd, struct probe_answer *ret)
{
	auto_free char *room = malloc(LOOK_ROOM_BYTES);
	struct stat st;
	int r;

	look_unknown(ret, "it was not looked at", 0);
	if (!room || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0)
		return;
	r = look_edges(fd, room, st.st_size);
	if (r >= 0 && look_blkid(fd, ret) == 1)
		return;
	/* What libblkid could not read is read here; its silence is not asked for reasons. */
	if (r == 0)
		r = look_inside(fd, room, st.st_size);
	if (r < 0)
		look_unknown(ret, "it cannot be read", -r);
	else if (r > 0)
		look_unknown(ret, "data in it that nobody knows", 0);
	else
		*ret = (struct probe_answer){
			.magic = PROBE_MAGIC,
			.version = PROBE_VERSION,
			.content = PROBE_BLANK,
		};
}
