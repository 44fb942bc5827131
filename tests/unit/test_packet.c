/* SPDX-License-Identifier: Apache-2.0 */
/* Packets: whole or not at all, and the last words of a peer that hung up. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/wire/packet.h"

enum { LONG_MS = 5000 };

/* What the next looks are told in place of what is there, the last first: 0 an end, else an errno.
 */
static int told[4];
static size_t nr_told;

ssize_t __real_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags);

ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
	if (!nr_told)
		return __real_recvmsg(fd, msg, flags);
	errno = told[--nr_told];
	msg->msg_controllen = 0;
	return errno ? -1 : 0;
}

static void make_pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
}

static void assert_receives(int fd, const char *text)
{
	auto_packet struct packet p = PACKET_INIT;

	assert_int_equal(packet_receive(fd, &p, LONG_MS), 0);
	assert_int_equal(p.size, strlen(text));
	assert_memory_equal(p.bytes, text, strlen(text));
}

static void assert_ended(int fd)
{
	auto_packet struct packet p = PACKET_INIT;

	assert_int_equal(packet_receive(fd, &p, LONG_MS), -ECONNRESET);
	assert_int_equal(p.nr_fds, 0);
}

/* The kernel tells of what was not read before it gives what was sent. */
static void test_answer_of_one_that_did_not_read(void **state)
{
	int fds[2];

	(void)state;
	make_pair(fds);
	assert_int_equal(packet_send(fds[0], "ask", 3, NULL, 0, LONG_MS), 0);
	assert_int_equal(packet_send(fds[1], "busy", 4, NULL, 0, LONG_MS), 0);
	close(fds[1]);
	assert_receives(fds[0], "busy");
	assert_ended(fds[0]);
	close(fds[0]);
}

/* It sent and closed between two looks of the kernel: an end, then an error, then what it sent. */
static void test_answer_behind_an_end(void **state)
{
	int fds[2];

	(void)state;
	told[0] = ECONNRESET;
	told[1] = 0;
	for (size_t nr = 0; nr <= 2; nr++) {
		make_pair(fds);
		assert_int_equal(packet_send(fds[1], "busy", 4, NULL, 0, LONG_MS), 0);
		close(fds[1]);
		nr_told = nr;
		assert_receives(fds[0], "busy");
		assert_int_equal(nr_told, 0);
		assert_ended(fds[0]);
		close(fds[0]);
	}
}

/* Who only never answers is waited for; who is gone is not, and no number of ends is for ever. */
static void test_ends(void **state)
{
	auto_packet struct packet p = PACKET_INIT;
	int fds[2];

	(void)state;
	make_pair(fds);
	assert_int_equal(packet_receive(fds[0], &p, 0), -ETIMEDOUT);
	memset(told, 0, sizeof(told));
	nr_told = 3;
	assert_ended(fds[0]);
	assert_int_equal(nr_told, 0);
	close(fds[1]);
	assert_ended(fds[0]);
	close(fds[0]);
}

/* An empty packet is an end, and what came with it is closed. */
static void test_empty_packet(void **state)
{
	int fds[2], given, next;

	(void)state;
	make_pair(fds);
	given = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(given >= 0);
	assert_int_equal(packet_send(fds[1], "", 0, &given, 1, LONG_MS), 0);
	assert_ended(fds[0]);
	next = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(next, given + 1);
	close(next);
	close(given);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer_of_one_that_did_not_read),
		cmocka_unit_test(test_answer_behind_an_end),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_empty_packet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
