/* SPDX-License-Identifier: Apache-2.0 */
/* The connector, asked as the helper asks it; servers are the other ends of socket pairs. */
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/connector/serve.h"
#include "driver/wire/connect.h"
#include "driver/wire/packet.h"

static void pair(int type, int ret[2])
{
	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ret), 0);
}

static void tcp_pair(int ret[2])
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	auto_close int listens = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(address);

	assert_int_equal(bind(listens, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listens, 1), 0);
	assert_int_equal(getsockname(listens, (struct sockaddr *)&address, &size), 0);
	ret[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(ret[0], (struct sockaddr *)&address, size), 0);
	ret[1] = accept4(listens, NULL, NULL, SOCK_CLOEXEC);
	assert_true(ret[1] >= 0);
}

/* 0, or -ECONNRESET: it has hung up without a word. ret_fd may be NULL: the first socket. */
static int ask_for(const void *question, size_t size, const int *fds, unsigned int nr,
		   struct connect_made *ret, int *ret_fd)
{
	auto_packet struct packet p = PACKET_INIT;
	auto_close int mine = -1, theirs = -1;
	int ends[2], r;

	pair(SOCK_SEQPACKET, ends);
	mine = ends[0];
	theirs = ends[1];
	assert_int_equal(packet_send(mine, question, size, fds, nr, 1000), 0);
	serve_run(theirs);
	close_fdp(&theirs);
	r = packet_receive(mine, &p, 1000);
	if (r < 0)
		return r;
	assert_int_equal(p.size, sizeof(*ret));
	memcpy(ret, p.bytes, sizeof(*ret));
	assert_int_equal(ret->head.nr_fds, p.nr_fds);
	if (ret_fd && p.nr_fds)
		*ret_fd = fd_take(&p.fds[0]);
	return 0;
}

static int ask(const void *question, size_t size, const int *fds, unsigned int nr,
	       struct connect_made *ret)
{
	return ask_for(question, size, fds, nr, ret, NULL);
}

static struct connect_end end_of(unsigned int nr)
{
	return (struct connect_end){
		.head = { CONNECT_MAGIC, CONNECT_VERSION, CONNECT_END, sizeof(struct connect_end),
			  nr },
		.timeout_ms = 100,
	};
}

static void test_what_a_server_has_closed_has_ended(void **state)
{
	const struct connect_end m = end_of(2);
	struct connect_made made;
	int a[2], b[2];

	pair(SOCK_STREAM, a);
	pair(SOCK_STREAM, b);
	assert_int_equal(write(a[1], "still said", 10), 10);
	close(a[1]);
	close(b[1]);
	assert_int_equal(ask(&m, sizeof(m), (const int[]){ a[0], b[0] }, 2, &made), 0);
	assert_int_equal(made.head.type, CONNECT_ENDED);
	assert_int_equal(made.status, 0);
	close(a[0]);
	close(b[0]);
}

static void test_what_one_has_not_closed_is_not_known(void **state)
{
	const struct connect_end m = end_of(2);
	struct connect_made made;
	int a[2], b[2];
	char c;

	pair(SOCK_STREAM, a);
	pair(SOCK_STREAM, b);
	close(b[1]);
	assert_int_equal(ask(&m, sizeof(m), (const int[]){ a[0], b[0] }, 2, &made), 0);
	assert_true(made.status < 0 && *made.reason);
	/* It was told that nothing more comes. */
	assert_int_equal(read(a[1], &c, 1), 0);
	close(a[0]);
	close(a[1]);
	close(b[0]);
}

static struct connect_make make_of(const char *address, unsigned int nr_fds)
{
	struct connect_make m = {
		.head = { CONNECT_MAGIC, CONNECT_VERSION, CONNECT_MAKE, sizeof(m), nr_fds },
		.nr_connections = 1,
		.timeout_ms = 200,
	};

	strcpy(m.address, address);
	return m;
}

static void test_who_is_no_server_is_said_to_be_none(void **state)
{
	static const char *const addresses[] = { "unix:/nonexistent/socket", "tcp:127.0.0.1:1",
						 "tcp:nobody", "file:/etc/passwd" };
	struct connect_made made;
	int a[2];

	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		const struct connect_make m = make_of(addresses[i], 0);

		assert_int_equal(ask(&m, sizeof(m), NULL, 0, &made), 0);
		assert_int_equal(made.head.type, CONNECT_MADE);
		assert_true(made.status < 0 && *made.reason && !made.bytes && !made.head.nr_fds);
	}
	for (unsigned int i = 0; i < 2; i++) {
		const struct connect_make m = make_of("", 1);

		pair(SOCK_STREAM, a);
		if (i)
			assert_int_equal(write(a[1], "220 mail.example", 16), 16);
		assert_int_equal(ask(&m, sizeof(m), a, 1, &made), 0);
		assert_true(made.status < 0 && *made.reason && !made.head.nr_fds);
		close(a[0]);
		close(a[1]);
	}
}

/* All that a server of the old style says, at once: it has not to be asked. */
static void greet(int fd)
{
	struct {
		char magic[8];
		uint64_t style, bytes;
		uint16_t flags, of_export;
		char zeroes[124];
	} __attribute__((packed)) m = {
		.style = htobe64(0x00420281861253),
		.bytes = htobe64(1 << 20),
		.of_export = htobe16(1),
	};

	memcpy(m.magic, "NBDMAGIC", sizeof(m.magic));
	assert_int_equal(write(fd, &m, sizeof(m)), sizeof(m));
}

/* Read once, the error of a connection that was given up looks like a server that has closed. */
static void test_silence_does_not_end_a_connection(void **state)
{
	const struct connect_make m = make_of("", 1);
	auto_close int fd = -1;
	struct connect_made made;
	socklen_t size = sizeof(int);
	int ends[2], on = 0, ms = 0;

	tcp_pair(ends);
	greet(ends[1]);
	assert_int_equal(ask_for(&m, sizeof(m), ends, 1, &made, &fd), 0);
	assert_string_equal(made.reason, "");
	assert_int_equal(made.bytes, 1 << 20);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &size), 0);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &size), 0);
	assert_true(on);
	assert_true(ms > 7 * 24 * 3600 * 1000);
	close(ends[0]);
	close(ends[1]);
}

static void test_what_is_no_question_is_not_answered(void **state)
{
	struct connect_make m = make_of("tcp:127.0.0.1:1", 0);
	struct connect_made made;

	assert_int_equal(ask(&m, sizeof(m) - 1, NULL, 0, &made), -ECONNRESET);
	m.nr_connections = WIRE_CONNECTIONS_MAX + 1;
	assert_int_equal(ask(&m, sizeof(m), NULL, 0, &made), -ECONNRESET);
	m = make_of("tcp:127.0.0.1:1", 0);
	m.head.version++;
	assert_int_equal(ask(&m, sizeof(m), NULL, 0, &made), -ECONNRESET);
	m = make_of("tcp:127.0.0.1:1", 1);
	assert_int_equal(ask(&m, sizeof(m), NULL, 0, &made), -ECONNRESET);
	m = make_of("", 0);
	memset(m.address, 'a', sizeof(m.address));
	assert_int_equal(ask(&m, sizeof(m), NULL, 0, &made), -ECONNRESET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_server_has_closed_has_ended),
		cmocka_unit_test(test_what_one_has_not_closed_is_not_known),
		cmocka_unit_test(test_who_is_no_server_is_said_to_be_none),
		cmocka_unit_test(test_silence_does_not_end_a_connection),
		cmocka_unit_test(test_what_is_no_question_is_not_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
