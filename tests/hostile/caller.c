/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A caller that means harm:
 *
 *   caller PID [GROUP...]   every group, against the helper PID
 *   caller --attacks        one device per attempt of the hostile worker
 *
 * A group is a way to abuse the socket, tried in rounds; the first warms up.
 * After each round another client has to be served as if nothing had happened,
 * and after the last one the helper has to be as it was after the first: its
 * memory, its descriptors, no children.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/wire/wire.h"
#include "targets/catalog.h"
#include "tests/hostile/attack.h"

#define ROUNDS 4
#define PATIENCE_MS 40000 /* for an answer, or the end of the connection */
#define IDLE_TIMES 40	  /* what is queued before a client, times what an idle one takes, */
#define GROWTH_KIB 256	  /* of the helper's memory, after the first round */
#define SETTLE_MS 20000	  /* until no child is left */
#define AT_ONCE 32	  /* connections of one batch */
#define CROWD 1000	  /* more than there is room for; in each of the rounds */
#define CROWD_ROOT 100	  /* of root, who has more room than that */
#define USER_ID 1000
#define FDS_MOST 253 /* SCM_MAX_FD */
#define PACKET_MOST 200000
#define SIZES_ALL 400
#define SIZES_STEP 23

struct caller {
	pid_t helper;
	unsigned int seed;
	int round;
	int slack_ms; /* and so much more, another client may have to wait */
	int idle_ms;
	unsigned int nr_late; /* rounds in which another client waited too long */
	unsigned long nr_attempts;
	unsigned long nr_given; /* what was allowed, and must not have been */
};

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

/* --- packets ---------------------------------------------------------------------------- */

static int caller_connect(int flags)
{
	static const struct sockaddr_un address = { AF_UNIX, WIRE_SOCKET };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);

	if (fd < 0)
		die("socket");
	if (!connect(fd, (const struct sockaddr *)&address, sizeof(address)))
		return fd;
	close(fd);
	if (errno != EAGAIN)
		die("connect");
	return -1;
}

static void caller_send(int fd, const void *bytes, size_t size, const int *fds, unsigned int nr_fds)
{
	char control[CMSG_SPACE(sizeof(int) * FDS_MOST)] = { 0 };
	struct iovec iov = { (void *)bytes, size };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c = (struct cmsghdr *)control;

	if (nr_fds) {
		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * nr_fds);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nr_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nr_fds);
	}
	if (sendmsg(fd, &m, MSG_NOSIGNAL) >= 0)
		return;
	/* A helper that has hung up already behaved. What the kernel does not send reaches nobody.
	 */
	if (errno == EINVAL || errno == ETOOMANYREFS || errno == EMSGSIZE)
		shutdown(fd, SHUT_RDWR);
	else if (errno != EPIPE && errno != ECONNRESET && errno != EAGAIN)
		die("sendmsg");
}

/* What came back last: 0 with *reply filled, or -ENOTCONN when the helper hung up. */
static int caller_answer(int fd, struct wire_reply *reply)
{
	int64_t deadline = clock_deadline_ms(PATIENCE_MS);
	union {
		struct wire_head head;
		struct wire_reply reply;
		char bytes[4096];
	} m;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, clock_left_ms(deadline)) <= 0)
			return -ETIMEDOUT;
		n = recv(fd, &m, sizeof(m), MSG_DONTWAIT);
		if (n <= 0)
			return -ENOTCONN;
		if (m.head.type != WIRE_REPLY)
			continue;
		*reply = m.reply;
		return 0;
	}
}

static struct wire_head caller_head(enum wire_type type, size_t size, unsigned int nr_fds)
{
	return (struct wire_head){ WIRE_MAGIC, WIRE_VERSION, (uint16_t)type, (uint32_t)size,
				   nr_fds };
}

/* For a container; what it lacks is that its first descriptor is one. */
static struct wire_attach caller_attach(unsigned int nr_fds)
{
	return (struct wire_attach){
		.head = caller_head(WIRE_ATTACH, sizeof(struct wire_attach), nr_fds),
		.target = TARGET_MEMORY,
		.size_bytes = 1 << 20,
		.mode = 0660,
		.container = "c1",
		.engine = "crun",
		.path = "/dev/x",
	};
}

static struct wire_attach caller_attach_host(enum target_id target, unsigned int nr_fds)
{
	struct wire_attach m = caller_attach(nr_fds);

	m.target = target;
	m.flags = WIRE_HOST;
	m.size_bytes = target == TARGET_FILE ? 0 : 1 << 20;
	memset(m.container, 0, sizeof(m.container));
	memset(m.engine, 0, sizeof(m.engine));
	memset(m.path, 0, sizeof(m.path));
	return m;
}

/* In milliseconds, or -1: how long another client waits for its answer. */
static int caller_round_trip(void)
{
	struct wire_list list = { caller_head(WIRE_LIST, sizeof(list), 0) };
	int64_t begin = clock_now_ms();
	auto_close int fd = caller_connect(0);
	struct wire_reply reply;

	caller_send(fd, &list, sizeof(list), NULL, 0);
	if (caller_answer(fd, &reply) < 0 || reply.status)
		return -1;
	return (int)(clock_now_ms() - begin);
}

/* --- one attempt, and batches of them ------------------------------------------------------ */

static void caller_collect(struct caller *c, int fd)
{
	struct wire_reply reply = { .status = -1 };
	int r = caller_answer(fd, &reply);

	if (r == -ETIMEDOUT) {
		fprintf(stderr, "an attempt got no answer\n");
		exit(1);
	}
	c->nr_attempts++;
	c->nr_given += !r && !reply.status && reply.generation;
	close(fd);
}

static void caller_try(struct caller *c, const void *bytes, size_t size, const int *fds,
		       unsigned int nr_fds)
{
	int fd = caller_connect(0);

	caller_send(fd, bytes, size, fds, nr_fds);
	caller_collect(c, fd);
}

/* As many connections at once; make() says what number n sends. */
static void caller_try_many(struct caller *c, unsigned int nr,
			    size_t (*make)(struct caller *c, unsigned int n, void *bytes))
{
	static char bytes[PACKET_MOST];
	int open[AT_ONCE];

	for (unsigned int n = 0; n < nr;) {
		unsigned int k = 0;

		for (; k < AT_ONCE && n < nr; k++, n++) {
			size_t size = make(c, n, bytes);

			open[k] = caller_connect(0);
			caller_send(open[k], bytes, size, NULL, 0);
		}
		while (k)
			caller_collect(c, open[--k]);
	}
}

static void caller_random(struct caller *c, void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((unsigned char *)bytes)[i] = (unsigned char)(rand_r(&c->seed) >> 8);
}

/* --- groups: packets -------------------------------------------------------------------------- */

/* Every length around those of requests, then some up to 4096; a fourth of them in each round. */
static size_t make_size(struct caller *c, unsigned int n, void *bytes)
{
	size_t size = n * ROUNDS + (unsigned int)c->round;
	struct wire_head head;

	if (size > SIZES_ALL)
		size = SIZES_ALL + (size - SIZES_ALL) * SIZES_STEP;
	head = caller_head((enum wire_type)(n % (WIRE_INSPECT + 1)), size, 0);
	memset(bytes, 0, size);
	memcpy(bytes, &head, size < sizeof(head) ? size : sizeof(head));
	return size;
}

static void group_sizes(struct caller *c)
{
	caller_try_many(c, (SIZES_ALL + (4096 - SIZES_ALL) / SIZES_STEP) / ROUNDS + 1, make_size);
}

/* More than the helper's buffer, up to what the kernel takes. */
static size_t make_long(struct caller *c, unsigned int n, void *bytes)
{
	size_t size = 4097 + (size_t)n * n * 200;
	struct wire_head head = caller_head(WIRE_ATTACH, size, 0);

	if (n % 2)
		head.size = sizeof(struct wire_attach);
	memset(bytes, 0, size);
	memcpy(bytes, &head, sizeof(head));
	return size;
}

static void group_long(struct caller *c)
{
	caller_try_many(c, 31, make_long);
}

static size_t make_type(struct caller *c, unsigned int n, void *bytes)
{
	static const size_t sizes[] = { sizeof(struct wire_list), sizeof(struct wire_detach),
					sizeof(struct wire_attach), sizeof(struct wire_reply) };
	size_t size = sizes[n % ARRAY_SIZE(sizes)];
	struct wire_head head = caller_head((enum wire_type)(n / ARRAY_SIZE(sizes)), size, 0);

	if (c->round == 1)
		head.version = (uint16_t)n;
	if (c->round == 2)
		head.magic ^= 1U << n % 32;
	if (c->round == 3)
		head.size += n + 1;
	memset(bytes, 0, size);
	memcpy(bytes, &head, sizeof(head));
	return size;
}

/* Types, versions, marks and sizes that are none. */
static void group_heads(struct caller *c)
{
	caller_try_many(c, 72, make_type);
}

static size_t make_random(struct caller *c, unsigned int n, void *bytes)
{
	struct wire_attach m = caller_attach(0);
	size_t size = sizeof(m);

	caller_random(c, bytes, size);
	if (n % 2) {
		m.flags = 0;
		caller_random(c, (char *)&m + sizeof(m.head), sizeof(m) - sizeof(m.head));
		m.flags &= ~(uint32_t)WIRE_HOST;
		memcpy(bytes, &m, sizeof(m));
	}
	return size;
}

static void group_random(struct caller *c)
{
	caller_try_many(c, 60, make_random);
}

/* An attach that is right but for a few bytes, for a process that is no container. */
static void group_mutated(struct caller *c)
{
	auto_close int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	for (unsigned int n = 0; n < 40; n++) {
		struct wire_attach m = caller_attach(1);

		for (unsigned int i = 0; i <= n % 3; i++) {
			size_t at = (size_t)rand_r(&c->seed) % sizeof(m);

			caller_random(c, (char *)&m + at, 1);
		}
		caller_try(c, &m, sizeof(m), &pidfd, 1);
	}
}

/* --- groups: descriptors ---------------------------------------------------------------------- */

static int make_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

static int make_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 0);
}

static int make_pipe(void)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	close(fds[1]);
	return fds[0];
}

static int make_epoll(void)
{
	return epoll_create1(0);
}

static int make_memfd(void)
{
	int fd = memfd_create("x", 0);

	return fd < 0 || ftruncate(fd, 1 << 20) < 0 ? -1 : fd;
}

static int make_eventfd(void)
{
	return eventfd(0, 0);
}

static int make_timerfd(void)
{
	return timerfd_create(CLOCK_MONOTONIC, 0);
}

static int make_signalfd(void)
{
	sigset_t none;

	sigemptyset(&none);
	return signalfd(-1, &none, 0);
}

static int make_inotify(void)
{
	return inotify_init1(0);
}

static int make_uring(void)
{
	char parameters[120] = { 0 };

	return (int)syscall(SYS_io_uring_setup, 4, parameters);
}

static int make_path(void)
{
	return open("/etc/passwd", O_PATH);
}

static int make_directory(void)
{
	return open("/", O_RDONLY | O_DIRECTORY);
}

static int make_null(void)
{
	return open("/dev/null", O_RDWR);
}

static int make_control(void)
{
	return open("/dev/ublk-control", O_RDWR);
}

static int make_memory(void)
{
	return open("/proc/self/mem", O_RDWR);
}

static int make_proc(void)
{
	return open("/proc/self", O_RDONLY | O_DIRECTORY);
}

static int make_namespace(void)
{
	return open("/proc/self/ns/mnt", O_RDONLY);
}

static int make_own_socket(void)
{
	return caller_connect(0);
}

static int make_pidfd(void)
{
	return (int)syscall(SYS_pidfd_open, getpid(), 0);
}

static int make_pidfd_init(void)
{
	return (int)syscall(SYS_pidfd_open, 1, 0);
}

/* Of a process that is gone. */
static int make_pidfd_dead(void)
{
	pid_t pid = fork();
	int fd;

	if (!pid)
		_exit(0);
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	waitpid(pid, NULL, 0);
	return fd;
}

/* Of a process that has ended, and that nobody has waited for. */
static int make_pidfd_zombie(void)
{
	pid_t pid = fork();
	int fd;

	if (!pid)
		_exit(0);
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 1000);
	return fd;
}

static int make_deleted(void)
{
	char path[] = "deleted.XXXXXX";
	int fd = mkstemp(path);

	unlink(path);
	return fd < 0 || ftruncate(fd, 1 << 20) < 0 ? -1 : fd;
}

static int make_read_only(void)
{
	return open("/etc/passwd", O_RDONLY);
}

/* A socket with a socket with a socket ... queued in it, the first one in the last. */
static int make_recursion(void)
{
	int outer[2], inner[2], first;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, outer) < 0)
		return -1;
	first = outer[0];
	for (int i = 0; i < 8; i++) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, inner) < 0)
			return -1;
		caller_send(inner[1], "x", 1, outer, 2);
		close(outer[1]);
		if (outer[0] != first)
			close(outer[0]);
		memcpy(outer, inner, sizeof(outer));
	}
	caller_send(outer[1], "x", 1, &first, 1);
	close(first);
	close(outer[1]);
	return outer[0];
}

static const struct {
	const char *what;
	int (*make)(void);
} strange[] = {
	{ "TCP socket", make_socket },
	{ "netlink socket", make_netlink },
	{ "pipe", make_pipe },
	{ "epoll", make_epoll },
	{ "memfd", make_memfd },
	{ "eventfd", make_eventfd },
	{ "timerfd", make_timerfd },
	{ "signalfd", make_signalfd },
	{ "inotify", make_inotify },
	{ "io_uring", make_uring },
	{ "O_PATH", make_path },
	{ "directory", make_directory },
	{ "/dev/null", make_null },
	{ "/dev/ublk-control", make_control },
	{ "/proc/PID/mem", make_memory },
	{ "/proc/PID", make_proc },
	{ "namespace", make_namespace },
	{ "the helper's own socket", make_own_socket },
	{ "pidfd of a process of the host", make_pidfd },
	{ "pidfd of init", make_pidfd_init },
	{ "pidfd of a dead process", make_pidfd_dead },
	{ "pidfd of a zombie", make_pidfd_zombie },
	{ "deleted file", make_deleted },
	{ "read-only file", make_read_only },
	{ "sockets in flight", make_recursion },
};

/* Each kind where a pidfd belongs, where a backing file does, and where both do. */
static void group_kinds(struct caller *c)
{
	const struct wire_attach container = caller_attach(1);
	const struct wire_attach host = caller_attach_host(TARGET_FILE, 1);
	struct wire_attach both = caller_attach(2);

	both.target = TARGET_FILE;
	for (size_t i = 0; i < ARRAY_SIZE(strange); i++) {
		int fd = strange[i].make();

		if (fd < 0)
			die(strange[i].what);
		caller_try(c, &container, sizeof(container), &fd, 1);
		caller_try(c, &host, sizeof(host), &fd, 1);
		caller_try(c, &both, sizeof(both), (int[]){ fd, fd }, 2);
		close(fd);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}

/* Any number of descriptors, announced or not. */
static void group_counts(struct caller *c)
{
	static const unsigned int counts[] = { 0, 1, 2, 3, 4, 16, 100, 252, FDS_MOST };
	auto_close int null_fd = make_null();
	int fds[FDS_MOST];

	for (size_t i = 0; i < FDS_MOST; i++)
		fds[i] = null_fd;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		struct wire_list list = { caller_head(WIRE_LIST, sizeof(list), counts[i]) };

		for (unsigned int said = 0; said < 4; said++) {
			struct wire_attach m = caller_attach(said);

			caller_try(c, &m, sizeof(m), fds, counts[i]);
		}
		caller_try(c, &list, sizeof(list), fds, counts[i]);
		caller_try(c, "x", 1, fds, counts[i]);
		caller_try(c, "", 0, fds, counts[i]);
	}
}

/* --- groups: connections ---------------------------------------------------------------------- */

/* Asks, and is gone before the answer, in every way there is. */
static void group_leavers(struct caller *c)
{
	const struct wire_attach m = caller_attach(1);
	const struct wire_list list = { caller_head(WIRE_LIST, sizeof(list), 0) };
	auto_close int pidfd = make_pidfd();

	for (int n = 0; n < 30; n++, c->nr_attempts++) {
		auto_close int fd = caller_connect(0);

		if (n % 2)
			caller_send(fd, &list, sizeof(list), NULL, 0);
		else
			caller_send(fd, &m, sizeof(m), &pidfd, 1);
		if (n % 5 < 3)
			shutdown(fd, n % 5); /* SHUT_RD, SHUT_WR, SHUT_RDWR */
		if (n % 5 == 3)
			caller_send(fd, &list, sizeof(list), NULL, 0);
	}
}

/* One late round of four is the machine's; what the helper does it does in each. */
static void caller_waited(struct caller *c, const char *behind, int waited_ms)
{
	if (waited_ms >= 0 && waited_ms <= c->idle_ms * IDLE_TIMES + c->slack_ms)
		return;
	fprintf(stderr, "behind %s another client waited %d ms\n", behind, waited_ms);
	if (waited_ms < 0)
		exit(1);
	c->nr_late++;
}

/* Asks for much, and reads nothing. */
static void group_slow(struct caller *c)
{
	const struct wire_list list = { caller_head(WIRE_LIST, sizeof(list), 0) };
	int open[40];
	int waited;

	for (size_t i = 0; i < ARRAY_SIZE(open); i++, c->nr_attempts++) {
		open[i] = caller_connect(0);
		caller_send(open[i], &list, sizeof(list), NULL, 0);
	}
	waited = caller_round_trip();
	caller_waited(c, "slow readers", waited);
	for (size_t i = 0; i < ARRAY_SIZE(open); i++)
		close(open[i]);
}

/* Silent connections, as many as fit. */
static void crowd_connect(int *open, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		open[i] = caller_connect(SOCK_NONBLOCK);
		if (open[i] < 0) {
			usleep(1000); /* the queue is full */
			open[i] = caller_connect(SOCK_NONBLOCK);
		}
	}
}

static void crowd_leave(const int *open, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		if (open[i] >= 0)
			close(open[i]);
	}
}

/* Of root: there is room for some, and the rest is turned away; then all leave. */
static void group_crowd(struct caller *c)
{
	int open[CROWD];

	crowd_connect(open, CROWD_ROOT);
	if (caller_round_trip() < 0) {
		fprintf(stderr, "%d silent connections shut another client out\n", CROWD_ROOT);
		exit(1);
	}
	crowd_connect(open + CROWD_ROOT, CROWD - CROWD_ROOT);
	crowd_leave(open, CROWD);
	c->nr_attempts += CROWD;
}

static void crowd_of_user(int said_fd, int end_fd)
{
	const struct group *group = getgrnam("ublk-oci");
	int open[CROWD];
	char byte;

	if (!group || setgroups(0, NULL) < 0 ||
	    setresgid(group->gr_gid, group->gr_gid, group->gr_gid) < 0 ||
	    setresuid(USER_ID, USER_ID, USER_ID) < 0)
		_exit(1);
	crowd_connect(open, CROWD);
	if (write(said_fd, "x", 1) != 1 || read(end_fd, &byte, 1) < 0)
		_exit(1);
	_exit(0); /* with all of them open */
}

/* Of a user who may connect: root is served all the while. */
static void group_crowd_of_user(struct caller *c)
{
	int said[2], end[2], waited, status;
	char byte;
	pid_t pid;

	if (pipe2(said, O_CLOEXEC) < 0 || pipe2(end, O_CLOEXEC) < 0)
		die("pipe");
	pid = fork();
	if (!pid) {
		close(end[1]);
		crowd_of_user(said[1], end[0]);
	}
	close(said[1]);
	close(end[0]);
	if (read(said[0], &byte, 1) != 1)
		die("the crowd");
	waited = caller_round_trip();
	close(said[0]);
	close(end[1]);
	if (waitpid(pid, &status, 0) < 0 || status)
		die("the crowd");
	caller_waited(c, "a user's crowd", waited);
	c->nr_attempts += CROWD;
}

/* --- what the helper is like ---------------------------------------------------------------- */

struct shape {
	long rss_kib;
	long nr_fds;
	long nr_children;
};

static long count_entries(const char *path)
{
	DIR *dir = opendir(path);
	long n = 0;

	if (!dir)
		die(path);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static void read_text(char *text, size_t size, const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (n < 0)
		die(path);
	text[n] = '\0';
}

static struct shape caller_shape(const struct caller *c)
{
	char path[64], text[4096];
	struct shape s = { 0 };
	const char *line;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)c->helper);
	read_text(text, sizeof(text), path);
	line = strstr(text, "VmRSS:");
	s.rss_kib = line ? strtol(line + 6, NULL, 10) : 0;
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)c->helper);
	s.nr_fds = count_entries(path);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)c->helper, (int)c->helper);
	read_text(text, sizeof(text), path);
	for (const char *p = text; *p; p++)
		s.nr_children += *p == ' ';
	return s;
}

/* When nobody is left who asks, there is no child, and no connection. */
static struct shape caller_settled(const struct caller *c)
{
	int64_t deadline = clock_deadline_ms(SETTLE_MS);
	struct shape s = caller_shape(c), last;

	do {
		last = s;
		clock_sleep_ms(100);
		s = caller_shape(c);
	} while ((s.nr_children || s.nr_fds != last.nr_fds) && clock_left_ms(deadline));
	return s;
}

/* --- the groups ---------------------------------------------------------------------------------
 */

static const struct group_row {
	const char *name;
	int slack_ms;
	void (*run)(struct caller *c);
} groups[] = {
	{ "sizes", 1000, group_sizes },
	{ "long", 1000, group_long },
	{ "heads", 1000, group_heads },
	{ "random", 1000, group_random },
	{ "mutated", 1000, group_mutated },
	{ "kinds", 1000, group_kinds },
	{ "counts", 1000, group_counts },
	{ "leavers", 1000, group_leavers },
	{ "slow", 1000, group_slow },
	{ "crowd", 1000, group_crowd },
	{ "user-crowd", 1000, group_crowd_of_user },
};

/* "ok ..." or "not ok ...", with what was measured. */
static bool group_try(struct caller *c, const struct group_row *g)
{
	struct shape first = { 0 }, last;
	int waited, longest = 0;
	int64_t begin = clock_now_ms();
	bool good;

	c->slack_ms = g->slack_ms;
	c->nr_attempts = 0;
	c->nr_given = 0;
	c->nr_late = 0;
	c->idle_ms = 0;
	for (int i = 0; i < 3; i++) {
		waited = caller_round_trip();
		c->idle_ms = waited > c->idle_ms ? waited : c->idle_ms;
	}
	for (c->round = 0; c->round < ROUNDS; c->round++) {
		g->run(c);
		waited = caller_round_trip();
		caller_waited(c, g->name, waited);
		longest = waited < 0 || waited > longest ? waited : longest;
		if (waited < 0)
			break;
		if (!c->round)
			first = caller_settled(c);
	}
	last = caller_settled(c);
	good = waited >= 0 && c->nr_late <= 1 && !c->nr_given &&
	       last.rss_kib <= first.rss_kib + GROWTH_KIB && last.nr_fds == first.nr_fds &&
	       !last.nr_children;
	printf("%s caller: %s: %lu attempts, %lu given; then served in %d ms (idle %d ms), "
	       "memory %+ld KiB, descriptors %+ld, children %ld; %.1f s\n",
	       good ? "ok" : "not ok", g->name, c->nr_attempts, c->nr_given, longest, c->idle_ms,
	       last.rss_kib - first.rss_kib, last.nr_fds - first.nr_fds, last.nr_children,
	       (double)(clock_now_ms() - begin) / 1000);
	fflush(stdout);
	return good;
}

static bool group_wanted(const char *name, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++) {
		if (!strcmp(*names, name))
			return true;
	}
	return false;
}

/* --- the hostile worker's attempts, in workers the helper makes
 * ------------------------------------ */

static int caller_attacks(void)
{
	for (size_t i = 0; i < ATTACKS_COUNT; i++) {
		struct wire_attach m = caller_attach_host(TARGET_MEMORY, 0);
		auto_close int fd = caller_connect(0);
		struct wire_reply reply;

		m.size_bytes = attack_dev_bytes(attack_names[i].name);
		caller_send(fd, &m, sizeof(m), NULL, 0);
		if (caller_answer(fd, &reply) < 0)
			return 1;
		printf("%s: %s\n", attack_names[i].name,
		       reply.status ? reply.reason : "a device was made");
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct caller c = { .seed = 20261122 };
	const struct rlimit files = { 4096, 4096 };
	bool good = true;

	if (argc == 2 && !strcmp(argv[1], "--attacks"))
		return caller_attacks();
	if (argc < 2) {
		fprintf(stderr, "usage: caller PID [GROUP...]\n       caller --attacks\n");
		return 2;
	}
	c.helper = (pid_t)atoi(argv[1]);
	signal(SIGPIPE, SIG_IGN);
	setrlimit(RLIMIT_NOFILE, &files);
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		if (group_wanted(groups[i].name, argv + 2))
			good &= group_try(&c, &groups[i]);
	}
	return good ? 0 : 1;
}
