/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a device when its server has said what it is; in which order one is left. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/keep.h"
#include "driver/privileged/nbd.h"
#include "driver/wire/packet.h"

#define MIB (UINT64_C(1) << 20)

static const struct row {
	const char *what;
	struct nbd_server server;
	uint32_t flags; /* enum wire_flag */
	uint64_t asked;
	int r;
	uint64_t bytes;
	uint32_t logical, physical, piece;
} rows[] = {
	{ "says nothing of blocks", { .bytes = MIB }, 0, 0, 0, MIB, 512, 4096, MIB },
	{ "is no multiple of a sector", { .bytes = 1000 }, 0, 0, 0, 512, 512, 4096, MIB },
	{ "blocks of 4 KiB",
	  { .bytes = MIB + 512, .min_block_bytes = 4096, .preferred_block_bytes = 4096 },
	  0,
	  0,
	  0,
	  MIB,
	  4096,
	  4096,
	  MIB },
	{ "prefers large blocks",
	  { .bytes = MIB, .min_block_bytes = 1, .preferred_block_bytes = 65536 },
	  0,
	  0,
	  0,
	  MIB,
	  512,
	  4096,
	  MIB },
	{ "takes 64 KiB at once",
	  { .bytes = MIB, .max_block_bytes = 65536 + 512 },
	  0,
	  0,
	  0,
	  MIB,
	  512,
	  4096,
	  65536 },
	{ "takes more than we ask",
	  { .bytes = MIB, .max_block_bytes = UINT32_MAX },
	  0,
	  0,
	  0,
	  MIB,
	  512,
	  4096,
	  MIB },
	{ "a part of it is asked for", { .bytes = MIB }, 0, 4096, 0, 4096, 512, 4096, MIB },
	{ "more than there is", { .bytes = MIB }, 0, 2 * MIB, -EINVAL },
	{ "nothing", { .bytes = 0 }, 0, 0, -EINVAL },
	{ "less than a sector", { .bytes = 511 }, 0, 0, -EINVAL },
	{ "blocks of 8 KiB", { .bytes = MIB, .min_block_bytes = 8192 }, 0, 0, -EINVAL },
	{ "takes a sector at once", { .bytes = MIB, .max_block_bytes = 512 }, 0, 0, -EINVAL },
	{ "read-only", { .bytes = MIB, .flags = START_NBD_READ_ONLY }, 0, 0, -EROFS },
	{ "read-only, as asked for",
	  { .bytes = MIB, .flags = START_NBD_READ_ONLY },
	  WIRE_READ_ONLY,
	  0,
	  0,
	  MIB,
	  512,
	  4096,
	  MIB },
};

static void test_a_device_is_what_its_server_says(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];
		struct record rec = { .flags = row->flags, .size_bytes = row->asked };
		struct err e = { "" };
		int r = nbd_note(&rec, &row->server, &e);

		if (r != row->r ||
		    (r == 0 &&
		     (rec.size_bytes != row->bytes || rec.logical_block_bytes != row->logical ||
		      rec.physical_block_bytes != row->physical || rec.piece_bytes != row->piece)))
			fail_msg("%s: %d (%s), %llu bytes, blocks %u/%u, %u at once", row->what, r,
				 e.text, (unsigned long long)rec.size_bytes,
				 rec.logical_block_bytes, rec.physical_block_bytes,
				 rec.piece_bytes);
		assert_true(r == 0 || *e.text);
	}
}

/* A keeper with one socket, and a connector that has no server. */
static struct {
	int kept_fd;
	int theirs[4];
	enum connect_type asked[4];
	unsigned int nr;
	int ended; /* status of CONNECT_ENDED */
} world;

int keep_get_files(uint64_t generation, int *ret_fds, unsigned int nr, struct err *e)
{
	assert_int_equal(nr, 1);
	ret_fds[0] = dup(world.kept_fd);
	return 0;
}

/* Instead of libc's: the answer is there before the question, of which only the order is known. */
int connect(int fd, const struct sockaddr *address, socklen_t size)
{
	bool ends = world.nr == 0;
	struct connect_made m = {
		.head = { CONNECT_MAGIC, CONNECT_VERSION, ends ? CONNECT_ENDED : CONNECT_MADE,
			  sizeof(m), 0 },
		.status = ends ? world.ended : -ECONNREFUSED,
	};
	int pair[2];

	assert_true(world.nr < ARRAY_SIZE(world.theirs));
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(dup2(pair[0], fd), fd);
	close(pair[0]);
	assert_int_equal(packet_send(pair[1], &m, sizeof(m), NULL, 0, 0), 0);
	world.theirs[world.nr++] = pair[1];
	return 0;
}

static void hear(void)
{
	for (unsigned int i = 0; i < world.nr; i++) {
		auto_packet struct packet p = PACKET_INIT;
		struct connect_head head;

		assert_int_equal(packet_receive(world.theirs[i], &p, 0), 0);
		memcpy(&head, p.bytes, sizeof(head));
		world.asked[i] = head.type;
		close_fdp(&world.theirs[i]);
	}
}

static const struct leaving {
	const char *what;
	uint32_t flags;
	enum record_nbd_state state;
	int ended;
	bool made; /* a new connection is asked for */
} leavings[] = {
	{ "what was used has ended", 0, RECORD_NBD_LOST, 0, true },
	{ "what was used has not ended", 0, RECORD_NBD_LOST, -ETIMEDOUT, false },
	/* A server may have no room for others before; but nothing depends on it. */
	{ "what only reads has not", WIRE_READ_ONLY, RECORD_NBD_LOST, -ETIMEDOUT, true },
	{ "what nobody wrote to has not", 0, RECORD_NBD_FRESH, -ETIMEDOUT, true },
};

static void test_old_connections_are_let_go_of_first(void **state)
{
	int pair[2];
	struct stat st;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(fstat(pair[0], &st), 0);
	for (size_t i = 0; i < ARRAY_SIZE(leavings); i++) {
		const struct leaving *row = &leavings[i];
		auto_nbd_server struct nbd_server server = NBD_SERVER_INIT;
		const struct record rec = {
			.flags = row->flags,
			.backing = "tcp:127.0.0.1:10809",
			.kept_dev = st.st_dev,
			.nbd = { .state = row->state,
				 .nr_connections = 1,
				 .asked_connections = 1,
				 .kept_inodes = { st.st_ino } },
		};
		struct err e = { "" };

		memset(&world, 0, sizeof(world));
		world.kept_fd = pair[0];
		world.ended = row->ended;
		assert_int_equal(nbd_may_leave(&rec, &e), 0);
		assert_true(nbd_reconnect(&server, &rec, 100, &e) < 0);
		hear();
		if (world.nr != (row->made ? 2u : 1u) || world.asked[0] != CONNECT_END ||
		    (row->made && world.asked[1] != CONNECT_MAKE))
			fail_msg("%s: %u questions, %d, %d", row->what, world.nr, world.asked[0],
				 world.asked[1]);
	}
	close(pair[0]);
	close(pair[1]);
}

static void test_the_next_server_does_what_the_device_does(void **state)
{
	static const struct nbd_server was = { .nr = 1,
					       .bytes = 1 << 20,
					       .flags = START_NBD_FLUSH | START_NBD_FUA };
	struct record rec = { .size_bytes = 1 << 20 };
	struct nbd_server next = was;
	struct err e;

	assert_int_equal(nbd_note(&rec, &was, &e), 0);
	rec.max_io_bytes = rec.piece_bytes;
	assert_int_equal(nbd_check_same(&rec, &next, &e), 0);
	next.bytes = 2 << 20;
	assert_int_equal(nbd_check_same(&rec, &next, &e), 0);
	next.bytes = 1 << 19;
	assert_int_equal(nbd_check_same(&rec, &next, &e), -EINVAL);
	next = was;
	next.flags &= ~(uint32_t)START_NBD_FLUSH;
	assert_int_equal(nbd_check_same(&rec, &next, &e), -EINVAL);
	next = was;
	next.flags &= ~(uint32_t)START_NBD_FUA;
	assert_int_equal(nbd_check_same(&rec, &next, &e), -EINVAL);
	next = was;
	next.min_block_bytes = 4096;
	assert_int_equal(nbd_check_same(&rec, &next, &e), -EINVAL);
	next = was;
	next.max_block_bytes = 8192;
	assert_int_equal(nbd_check_same(&rec, &next, &e), -EINVAL);
	next = was;
	next.flags |= START_NBD_READ_ONLY;
	assert_int_equal(nbd_check_same(&rec, &next, &e), -EROFS);
}

static void test_who_has_no_way_back_does_not_leave(void **state)
{
	struct record rec = { .nbd = { .state = RECORD_NBD_USED, .nr_connections = 1 } };
	struct err e;

	assert_int_equal(nbd_may_leave(&rec, &e), -ENOENT);
	rec.grants = RECORD_REISSUE;
	assert_int_equal(nbd_may_leave(&rec, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_device_is_what_its_server_says),
		cmocka_unit_test(test_old_connections_are_let_go_of_first),
		cmocka_unit_test(test_the_next_server_does_what_the_device_does),
		cmocka_unit_test(test_who_has_no_way_back_does_not_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
