/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/caller.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"

#define HOOK_UID 998

static void fill(struct callers *all, uid_t uid, unsigned int nr)
{
	struct caller *c;

	while (nr--) {
		c = caller_new(all);
		assert_non_null(c);
		c->uid = uid;
	}
}

static void empty(struct callers *all)
{
	while (all->first)
		caller_free(all, all->first);
}

/* Who is there already, and who comes; nr of different users each with `each` callers. */
static const struct {
	const char *what;
	unsigned int of_root, of_hook, nr_users, each;
	uid_t uid;
	bool room;
} rooms[] = {
	{ "nobody else", 0, 0, 0, 0, 1000, true },
	{ "the last of one user", 0, 0, 1, 15, 1000, true },
	{ "one too many of one user", 0, 0, 1, 16, 1000, false },
	{ "another user beside a full one", 0, 0, 1, 16, 2000, true },
	{ "the last of all users", 0, 0, 8, 15, 1000, true },
	{ "more than all users may", 0, 0, 8, 16, 2000, false },
	{ "root beside a crowd", 0, 0, 8, 16, 0, true },
	{ "the hook beside a crowd", 0, 0, 8, 16, HOOK_UID, true },
	{ "a user beside a crowd of root's", 200, 0, 0, 0, 1000, true },
	{ "a user beside a crowd of the hook's", 0, 200, 0, 0, 1000, true },
	{ "root's many", 100, 0, 0, 0, 0, true },
	{ "the last of all", 255, 0, 0, 0, 0, true },
	{ "more than there is room for", 256, 0, 0, 0, 0, false },
	{ "the hook, and more than there is room for", 100, 156, 0, 0, HOOK_UID, false },
};

static void test_room(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rooms); i++) {
		struct callers all = { 0 };
		bool room;

		fill(&all, 0, rooms[i].of_root);
		fill(&all, HOOK_UID, rooms[i].of_hook);
		for (unsigned int user = 0; user < rooms[i].nr_users; user++)
			fill(&all, 1000 + user, rooms[i].each);
		fill(&all, rooms[i].uid, 1);
		room = caller_room(&all, rooms[i].uid, HOOK_UID);
		empty(&all);
		if (room != rooms[i].room)
			fail_msg("%s: %s", rooms[i].what, room ? "let in" : "kept out");
	}
}

static void test_found_by_serial_and_by_child(void **state)
{
	struct callers all = { 0 };
	struct caller *first, *second, *third;

	first = caller_new(&all);
	second = caller_new(&all);
	third = caller_new(&all);
	second->pid = 42;
	second->deadline_ms = 5;
	first->deadline_ms = third->deadline_ms = INT64_MAX;
	assert_ptr_equal(caller_find(&all, second->serial), second);
	assert_ptr_equal(caller_of_child(&all, 42), second);
	assert_int_equal(caller_next_ms(&all), 5);
	caller_free(&all, second);
	assert_null(caller_of_child(&all, 42));
	assert_null(caller_find(&all, first->serial + 1));
	assert_int_equal(caller_next_ms(&all), INT64_MAX);
	assert_int_not_equal(caller_new(&all)->serial, first->serial + 1);
	empty(&all);
}

static void own_cgroup(char *ret, size_t size)
{
	auto_fclose FILE *f = fopen("/proc/self/cgroup", "re");
	char line[1024];

	*ret = '\0';
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "0::", 3))
			snprintf(ret, size, "%s", line + 3);
	}
}

static void test_the_kernel_says_who_it_is(void **state)
{
	char cgroup[CALLER_CGROUP_SIZE];
	struct callers all = { 0 };
	struct caller *c = caller_new(&all);
	struct registry_peer peer;
	int pair[2];

	own_cgroup(cgroup, sizeof(cgroup));
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	c->peer_fd = pair[0];
	c->pid = 3;
	assert_int_equal(caller_identify(c), 0);
	caller_look_process(c);
	peer = caller_peer(c);
	assert_int_equal(peer.uid, geteuid());
	assert_int_equal(peer.gids[0], getegid());
	assert_int_equal(peer.nr_gids, 1 + getgroups(0, NULL));
	assert_int_equal(peer.pid, getpid());
	assert_int_equal(peer.op_pid, 3);
	assert_string_equal(peer.cgroup, cgroup);
	empty(&all);
	close(pair[1]);
}

/* Connects from a process that is gone before anybody looks at it. */
static int connection_of_the_dead(pid_t *ret_pid)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t size = sizeof(address);
	auto_close int server = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	/* A name of the kernel's choice. */
	assert_int_equal(bind(server, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	assert_int_equal(getsockname(server, (struct sockaddr *)&address, &size), 0);
	assert_int_equal(listen(server, 1), 0);
	*ret_pid = fork();
	if (*ret_pid == 0) {
		int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

		_exit(connect(fd, (struct sockaddr *)&address, size) < 0);
	}
	assert_int_equal(waitpid(*ret_pid, NULL, 0), *ret_pid);
	return accept(server, NULL, NULL);
}

static void test_of_a_dead_peer_only_the_numbers_are_known(void **state)
{
	struct callers all = { 0 };
	struct caller *c = caller_new(&all);
	pid_t pid;

	c->peer_fd = connection_of_the_dead(&pid);
	assert_true(c->peer_fd >= 0);
	assert_int_equal(caller_identify(c), 0);
	caller_look_process(c);
	assert_int_equal(c->uid, geteuid());
	assert_int_equal(c->peer_pid, pid);
	assert_string_equal(c->cgroup, "");
	empty(&all);
}

static struct caller *connected(struct callers *all, int *ret_peer_fd)
{
	struct caller *c = caller_new(all);
	int pair[2];

	assert_non_null(c);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	c->peer_fd = pair[0];
	*ret_peer_fd = pair[1];
	return c;
}

static void send_fd(int peer_fd, int fd, size_t size)
{
	char bytes[1] = "x", control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = { bytes, size };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	assert_int_equal(sendmsg(peer_fd, &msg, 0), size);
}

/* Hangs up, and says whether somebody else had to close last. */
static bool hang_up_took_help(struct callers *all, struct caller *c)
{
	caller_free(all, c);
	return waitpid(-1, NULL, 0) > 0;
}

static void test_silence_and_leaving_are_no_message(void **state)
{
	struct callers all = { 0 };
	struct caller *c;
	int peer_fd;

	c = connected(&all, &peer_fd);
	assert_false(caller_says(c));
	assert_false(hang_up_took_help(&all, c));
	close(peer_fd);

	c = connected(&all, &peer_fd);
	close(peer_fd);
	assert_false(caller_says(c));
	assert_false(hang_up_took_help(&all, c));
}

static void test_every_message_is_seen_and_stays(void **state)
{
	struct callers all = { 0 };

	for (unsigned int i = 0; i < 4; i++) { /* with a byte or none, an fd or none */
		char control[64], byte = 0;
		struct iovec iov = { &byte, 1 };
		struct msghdr msg = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		struct caller *c;
		int peer_fd;

		c = connected(&all, &peer_fd);
		if (i & 2)
			send_fd(peer_fd, peer_fd, i & 1);
		else
			assert_int_equal(send(peer_fd, "x", i & 1, 0), i & 1);
		assert_true(caller_says(c));
		assert_true(caller_says(c));
		if (i < 2) { /* whole, and nothing that was not sent comes with it */
			assert_int_equal(recvmsg(c->peer_fd, &msg, 0), i & 1);
			assert_int_equal(msg.msg_controllen, 0);
			assert_false(caller_says(c));
		}
		assert_int_equal(hang_up_took_help(&all, c), i >= 2);
		close(peer_fd);
	}
}

/* An empty message hides nothing that comes behind it. */
static void test_a_message_behind_an_empty_one(void **state)
{
	struct callers all = { 0 };
	struct caller *c;
	int peer_fd;

	c = connected(&all, &peer_fd);
	assert_int_equal(send(peer_fd, "", 0, 0), 0);
	send_fd(peer_fd, peer_fd, 0);
	close(peer_fd);
	assert_true(caller_says(c));
	assert_true(hang_up_took_help(&all, c));
}

static void test_one_helps_to_hang_up_on_many(void **state)
{
	int fds[5], peer_fds[5];
	char byte;

	for (size_t i = 0; i < 5; i++) {
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
		fds[i] = pair[0];
		peer_fds[i] = pair[1];
		if (i)
			send_fd(peer_fds[i], peer_fds[i], 1);
	}
	caller_hang_up(fds, 5);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(fds[i], -1);
		while (recv(peer_fds[i], &byte, 1, 0) > 0)
			;
		close(peer_fds[i]);
	}
	assert_true(waitpid(-1, NULL, 0) > 0);
	assert_true(waitpid(-1, NULL, 0) < 0);
}

static void test_no_connection_is_nobody(void **state)
{
	struct callers all = { 0 };
	struct caller *c = caller_new(&all);
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	c->peer_fd = fds[0];
	assert_true(caller_identify(c) < 0);
	empty(&all);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_found_by_serial_and_by_child),
		cmocka_unit_test(test_the_kernel_says_who_it_is),
		cmocka_unit_test(test_of_a_dead_peer_only_the_numbers_are_known),
		cmocka_unit_test(test_silence_and_leaving_are_no_message),
		cmocka_unit_test(test_every_message_is_seen_and_stays),
		cmocka_unit_test(test_a_message_behind_an_empty_one),
		cmocka_unit_test(test_one_helps_to_hang_up_on_many),
		cmocka_unit_test(test_no_connection_is_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
