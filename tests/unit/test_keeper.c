/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper's table and its answers, and the helper's side of them: both ends, without root. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/keeper/serve.h"
#include "driver/privileged/keep.h"
#include "driver/wire/packet.h"

#define NAME UINT64_C(0xf123456789abcdef)

/* --- the table ------------------------------------------------------------------------ */

static void test_table_holds_by_name(void **state)
{
	static struct table t;
	int old;

	assert_int_equal(table_get(&t, 1), -ENOENT);
	assert_int_equal(table_take(&t, 1), -ENOENT);
	for (int i = 1; i <= 3; i++) {
		assert_int_equal(table_put(&t, (uint64_t)i, 100 + i, &old), 0);
		assert_int_equal(old, -1);
	}
	assert_int_equal(table_put(&t, 2, 200, &old), 0);
	assert_int_equal(old, 102);
	assert_int_equal(t.nr, 3);
	assert_int_equal(table_take(&t, 1), 101);
	assert_int_equal(table_get(&t, 1), -ENOENT);
	assert_int_equal(table_get(&t, 2), 200);
	assert_int_equal(table_get(&t, 3), 103);
	assert_int_equal(table_take(&t, 3), 103);
	assert_int_equal(table_take(&t, 2), 200);
	assert_int_equal(t.nr, 0);
}

static void test_table_that_is_full_replaces(void **state)
{
	static struct table t;
	int old = 7;

	for (int i = 0; i < KEEP_ENTRIES_MAX; i++)
		assert_int_equal(table_put(&t, (uint64_t)i, i, &old), 0);
	assert_int_equal(table_put(&t, NAME, 9, &old), -ENOSPC);
	assert_int_equal(old, -1);
	assert_int_equal(table_get(&t, NAME), -ENOENT);
	assert_int_equal(table_put(&t, 5, 500, &old), 0);
	assert_int_equal(old, 5);
	assert_int_equal(table_take(&t, 0), 0);
	assert_int_equal(table_put(&t, NAME, 9, &old), 0);
	assert_int_equal(table_get(&t, KEEP_ENTRIES_MAX - 1), KEEP_ENTRIES_MAX - 1);
}

/* --- what is no request ------------------------------------------------------------------ */

static struct keep_request request(enum keep_type type, unsigned int nr_fds)
{
	return (struct keep_request){
		.magic = KEEP_MAGIC,
		.version = KEEP_VERSION,
		.type = (uint16_t)type,
		.size = sizeof(struct keep_request),
		.nr_fds = nr_fds,
		.generation = NAME,
	};
}

/* What the table's owner answers to this; its status, or 1: it hangs up without a word. */
static int answer_to(struct table *t, const void *bytes, size_t size, unsigned int nr_fds)
{
	auto_packet struct packet p = PACKET_INIT;
	auto_close int mine = -1, theirs = -1;
	const int fds[2] = { STDIN_FILENO, STDIN_FILENO };
	struct keep_reply m;
	int pair[2];
	bool stays;
	int r;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	mine = pair[0];
	theirs = pair[1];
	assert_int_equal(packet_send(mine, bytes, size, fds, nr_fds, 0), 0);
	stays = serve_answer(t, theirs);
	r = packet_receive(mine, &p, 0);
	if (r == -ETIMEDOUT) {
		assert_false(stays);
		return 1;
	}
	assert_int_equal(r, 0);
	assert_int_equal(p.size, sizeof(m));
	memcpy(&m, p.bytes, sizeof(m));
	assert_int_equal(m.magic, KEEP_MAGIC);
	assert_int_equal(m.version, KEEP_VERSION);
	assert_int_equal(m.type, KEEP_REPLY);
	assert_int_equal(m.size, sizeof(m));
	assert_int_equal(m.nr_fds, p.nr_fds);
	assert_int_equal(stays, size >= sizeof(uint64_t) &&
					((const struct keep_request *)bytes)->type == KEEP_STAY &&
					m.status == 0);
	return m.status;
}

static void test_strange_packets_get_no_answer(void **state)
{
	static struct table t;
	struct keep_request m;
	char longer[sizeof(m) + 1] = { 0 };

	m = request(KEEP_GET, 0);
	assert_int_equal(answer_to(&t, &m, sizeof(m), 0), -ENOENT);
	assert_int_equal(answer_to(&t, &m, sizeof(m) - 1, 0), 1);
	memcpy(longer, &m, sizeof(m));
	assert_int_equal(answer_to(&t, longer, sizeof(longer), 0), 1);
	assert_int_equal(answer_to(&t, &m, sizeof(m), 1), 1);
	m.magic++;
	assert_int_equal(answer_to(&t, &m, sizeof(m), 0), 1);
	m = request(KEEP_GET, 0);
	m.size++;
	assert_int_equal(answer_to(&t, &m, sizeof(m), 0), 1);
	for (int type = 0; type < 256; type++) {
		m = request((enum keep_type)type, 2);
		assert_int_equal(answer_to(&t, &m, sizeof(m), 2), 1);
		if (type > KEEP_NONE && type < KEEP_TYPES)
			continue;
		m = request((enum keep_type)type, 0);
		assert_int_equal(answer_to(&t, &m, sizeof(m), 0), 1);
	}
	m = request(KEEP_PUT, 0);
	assert_int_equal(answer_to(&t, &m, sizeof(m), 0), 1);
	m = request(KEEP_PUT, 1);
	assert_int_equal(answer_to(&t, &m, sizeof(m), 0), 1);
	assert_int_equal(t.nr, 0);
}

static void test_another_version_is_told_so(void **state)
{
	static struct table t;
	struct keep_request m = request(KEEP_STAY, 0);

	assert_int_equal(answer_to(&t, &m, sizeof(m), 0), 0);
	m.version++;
	assert_int_equal(answer_to(&t, &m, sizeof(m), 0), -EPROTONOSUPPORT);
	m = request(KEEP_PUT, 1);
	m.version++;
	assert_int_equal(answer_to(&t, &m, sizeof(m), 1), -EPROTONOSUPPORT);
	assert_int_equal(t.nr, 0);
}

/* --- both ends ------------------------------------------------------------------------------ */

/* A name of the network namespace's, not a file. */
static struct sockaddr_un keeper_address(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "ublk-oci-test-%d",
		 (int)getpid());
	return address;
}

static struct sockaddr_un keeper_listens;

int __real_connect(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size)
{
	assert_string_equal(((const struct sockaddr_un *)address)->sun_path, KEEP_SOCKET);
	return __real_connect(fd, (const struct sockaddr *)&keeper_listens, sizeof(keeper_listens));
}

static pid_t keeper_start(void)
{
	static struct serve s;
	pid_t parent = getpid(), pid;

	keeper_listens = keeper_address();
	s.listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(s.listen_fd, (struct sockaddr *)&keeper_listens,
			      sizeof(keeper_listens)),
			 0);
	assert_int_equal(listen(s.listen_fd, 8), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (dup2(s.listen_fd, 0) == 0 && close_range(1, ~0U, 0) == 0)
			s.listen_fd = 0;
		while (getppid() == parent && serve_turn(&s, 1000, NULL) == 0)
			;
		_exit(1);
	}
	close(s.listen_fd);
	return pid;
}

static void keeper_end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static unsigned int nr_fds_of(pid_t pid)
{
	char path[64];
	unsigned int nr = 0;
	auto_closedir DIR *dir = NULL;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir))
		nr++;
	return nr;
}

/* Who has its answer need not wait for the keeper to hang up. */
static void await_nr_fds(pid_t pid, unsigned int nr)
{
	int64_t deadline_ms = clock_deadline_ms(5000);

	while (nr_fds_of(pid) != nr && clock_left_ms(deadline_ms))
		clock_sleep_ms(1);
	assert_int_equal(nr_fds_of(pid), nr);
}

static int memory_file(const char *words)
{
	int fd = memfd_create("kept", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, words, strlen(words)), strlen(words));
	return fd;
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* As often as one likes: a box is looked into, not emptied. */
static void assert_kept(uint64_t generation, int fd)
{
	for (int i = 0; i < 3; i++) {
		auto_close int got = -1;

		assert_int_equal(keep_get(generation, &got, NULL), 0);
		assert_true(got >= 0 && got != fd && same_file(got, fd));
		assert_int_equal(fcntl(got, F_GETFD), FD_CLOEXEC);
	}
}

static void test_what_is_put_is_kept(void **state)
{
	auto_close int one = memory_file("one"), two = memory_file("two"), got = -1;
	pid_t pid = keeper_start();
	unsigned int own = nr_fds_of(getpid()), before = 3; /* it listens; "." and ".." */

	assert_int_equal(keep_get(NAME, &got, NULL), -ENOENT);
	await_nr_fds(pid, before);
	assert_int_equal(keep_put(NAME, one, NULL), 0);
	assert_kept(NAME, one);
	assert_int_equal(keep_put(NAME + 1, two, NULL), 0);
	assert_kept(NAME, one);
	assert_kept(NAME + 1, two);
	assert_int_equal(keep_put(NAME, two, NULL), 0);
	assert_kept(NAME, two);
	assert_int_equal(keep_drop(NAME, NULL), 0);
	assert_int_equal(keep_drop(NAME, NULL), 0);
	assert_int_equal(keep_get(NAME, &got, NULL), -ENOENT);
	assert_kept(NAME + 1, two);
	assert_int_equal(keep_drop(NAME + 1, NULL), 0);
	await_nr_fds(pid, before);
	assert_int_equal(nr_fds_of(getpid()), own);
	keeper_end(pid);
}

struct told {
	unsigned int nr;
	uint64_t sum;
};

static int tell(void *arg, uint64_t generation)
{
	struct told *told = arg;

	told->nr++;
	told->sum += generation;
	return generation == 666 ? -EIO : 0;
}

/* More than fit into one packet. */
static void test_it_tells_what_it_holds(void **state)
{
	auto_close int one = memory_file("one");
	struct told told = { 0 };
	pid_t pid = keeper_start();
	uint64_t sum = 0;

	assert_int_equal(keep_each(tell, &told, NULL), 0);
	assert_int_equal(told.nr, 0);
	for (uint64_t name = 1; name <= 2 * KEEP_NAMES_MAX; name++) {
		assert_int_equal(keep_put(name, one, NULL), 0);
		sum += name;
	}
	assert_int_equal(keep_each(tell, &told, NULL), 0);
	assert_int_equal(told.nr, 2 * KEEP_NAMES_MAX);
	assert_int_equal(told.sum, sum);
	assert_int_equal(keep_put(666, one, NULL), 0);
	assert_int_equal(keep_each(tell, &told, NULL), -EIO);
	keeper_end(pid);
	assert_int_equal(keep_each(tell, &told, NULL), 0); /* there is none */
}

/* It holds boxes: of a file it has no descriptor, whose close could wait. */
static void test_keeper_has_sockets_only(void **state)
{
	auto_close int fd = memory_file("x");
	pid_t pid = keeper_start();
	auto_closedir DIR *dir = NULL;
	char path[64], link[64];
	unsigned int nr = 0;

	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(keep_put(NAME + i, fd, NULL), 0);
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *d; (d = readdir(dir));) {
		ssize_t n = readlinkat(dirfd(dir), d->d_name, link, sizeof(link));

		/* The last one who asked is hung up on at this moment. */
		if (d->d_name[0] == '.' || (n < 0 && errno == ENOENT))
			continue;
		assert_true(n > 7);
		assert_memory_equal(link, "socket:", 7);
		nr++;
	}
	assert_true(nr >= 9);
	keeper_end(pid);
}

static void test_connections_that_say_nothing_disturb_nobody(void **state)
{
	auto_close int fd = memory_file("x");
	struct keep stays = KEEP_INIT;
	int silent[KEEP_CONNECTIONS_MAX - 2];
	pid_t pid = keeper_start();

	assert_int_equal(keep_find(&stays, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(silent); i++) {
		silent[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		assert_int_equal(__real_connect(silent[i], (struct sockaddr *)&keeper_listens,
						sizeof(keeper_listens)),
				 0);
	}
	assert_int_equal(keep_put(NAME, fd, NULL), 0);
	assert_kept(NAME, fd);
	for (size_t i = 0; i < ARRAY_SIZE(silent); i++)
		close(silent[i]);
	assert_int_equal(keep_drop(NAME, NULL), 0);
	keeper_end(pid);
	assert_int_equal(keep_hear(&stays, NULL), -ECONNRESET);
	keep_fini(&stays);
}

static void await_words(const struct keep *k)
{
	struct pollfd pfd = { .fd = k->fd, .events = POLLIN };

	assert_int_equal(poll(&pfd, 1, 5000), 1);
}

/* As the helper's loop hears of it. */
static void test_its_end_is_heard(void **state)
{
	struct keep k = KEEP_INIT;
	pid_t pid = keeper_start();

	assert_int_equal(keep_join(&k, NULL), 0);
	await_words(&k);
	assert_int_equal(keep_hear(&k, NULL), 0);
	assert_int_equal(keep_hear(&k, NULL), -ETIMEDOUT);
	keeper_end(pid);
	await_words(&k);
	assert_int_equal(keep_hear(&k, NULL), -ECONNRESET);
	keep_fini(&k);
}

static void test_without_a_keeper(void **state)
{
	struct keep k = KEEP_INIT;
	auto_close int fd = memory_file("x");
	int got = -1;

	keeper_listens = (struct sockaddr_un){ AF_UNIX, "/nowhere/keeper.sock" };
	assert_int_equal(keep_find(&k, NULL), -ENOTCONN);
	assert_int_equal(keep_put(NAME, fd, NULL), -ENOTCONN);
	assert_int_equal(keep_get(NAME, &got, NULL), -ENOTCONN);
	assert_int_equal(keep_drop(NAME, NULL), 0);
	/* One that has just ended: another may begin, but nobody waits for it for ever. */
	keeper_listens = keeper_address();
	assert_int_equal(keep_find(&k, NULL), -ENOTCONN);
	assert_int_equal(keep_put(NAME, fd, NULL), -ENOTCONN);
	assert_int_equal(got, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_holds_by_name),
		cmocka_unit_test(test_table_that_is_full_replaces),
		cmocka_unit_test(test_strange_packets_get_no_answer),
		cmocka_unit_test(test_another_version_is_told_so),
		cmocka_unit_test(test_what_is_put_is_kept),
		cmocka_unit_test(test_it_tells_what_it_holds),
		cmocka_unit_test(test_keeper_has_sockets_only),
		cmocka_unit_test(test_connections_that_say_nothing_disturb_nobody),
		cmocka_unit_test(test_its_end_is_heard),
		cmocka_unit_test(test_without_a_keeper),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
