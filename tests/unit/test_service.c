/* SPDX-License-Identifier: Apache-2.0 */
/* How a service begins, what wakes it, and what its children have. */
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
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/base/service.h"

enum { PASSED_FD = 3, LONG_MS = 20000, ALL_WELL = 42 };

/* What a service does to itself is tried in a child, which says which line was wrong. */
#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			_exit(must_line(__LINE__));                                                \
	} while (0)

static int must_line(int line)
{
	fprintf(stderr, "test_service.c:%d\n", line);
	return 1;
}

static void in_child(void (*run)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		run();
		_exit(ALL_WELL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), ALL_WELL);
}

/* A socket of this type in place of what the manager passes; -1: none there. */
static void pass(int type, bool listening, const char *nr)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX }; /* the kernel gives it a name */
	char pid[16];
	int fd;

	close(PASSED_FD);
	if (type >= 0) {
		fd = socket(AF_UNIX, type, 0);
		MUST(fd >= 0 && dup2(fd, PASSED_FD) == PASSED_FD);
		if (fd != PASSED_FD)
			close(fd);
		MUST(!bind(PASSED_FD, (struct sockaddr *)&address, sizeof(sa_family_t)));
		MUST(!listening || !listen(PASSED_FD, 8));
	}
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", nr, 1);
	setenv("LISTEN_FDNAMES", "connection", 1);
}

static void run_passed(void)
{
	struct err e = { "" };
	int fd = -1;

	pass(SOCK_SEQPACKET, true, "1");
	MUST(service_passed(SOCK_SEQPACKET, &fd, &e) == 1 && fd == PASSED_FD);
	MUST(fcntl(fd, F_GETFD) == FD_CLOEXEC && fcntl(fd, F_GETFL) & O_NONBLOCK);
	MUST(!getenv("LISTEN_PID") && !getenv("LISTEN_FDS") && !getenv("LISTEN_FDNAMES"));
	MUST(service_passed(SOCK_SEQPACKET, &fd, &e) == 0 && !*e.text);
}

static void run_passed_wrong(void)
{
	struct err e = { "" };
	int fd = -1;

	pass(SOCK_STREAM, true, "1");
	MUST(service_passed(SOCK_SEQPACKET, &fd, &e) == -EINVAL && strstr(e.text, "SEQPACKET"));
	pass(SOCK_SEQPACKET, true, "1");
	MUST(service_passed(SOCK_STREAM, &fd, &e) == -EINVAL && strstr(e.text, "stream"));
	pass(SOCK_SEQPACKET, false, "1");
	MUST(service_passed(SOCK_SEQPACKET, &fd, &e) == -EINVAL);
	pass(SOCK_SEQPACKET, true, "2");
	MUST(service_passed(SOCK_SEQPACKET, &fd, &e) == -EINVAL);
	pass(-1, false, "1");
	MUST(service_passed(SOCK_SEQPACKET, &fd, &e) == -EINVAL);
	MUST(fd == -1);
}

/* What was meant for a process before this one. */
static void run_passed_to_another(void)
{
	static const char *const pids[] = { "1", "", "-1", "99999999999" };
	struct err e = { "" };
	int fd = -1;

	for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
		pass(SOCK_SEQPACKET, true, "1");
		setenv("LISTEN_PID", pids[i], 1);
		MUST(service_passed(SOCK_SEQPACKET, &fd, &e) == 0 && fd == -1);
	}
}

static void test_passed(void **state)
{
	(void)state;
	in_child(run_passed);
	in_child(run_passed_wrong);
	in_child(run_passed_to_another);
}

static void run_limit(void)
{
	struct rlimit core;
	struct err e;
	int fds[2];

	MUST(service_limit(&e) == 0);
	MUST(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	MUST(!getrlimit(RLIMIT_CORE, &core) && !core.rlim_cur && !core.rlim_max);
	MUST(umask(0) == 0077);
	MUST(!pipe(fds) && !close(fds[0]));
	MUST(write(fds[1], "x", 1) < 0 && errno == EPIPE);
}

static void test_limit(void **state)
{
	(void)state;
	in_child(run_limit);
}

static void run_not_root(void)
{
	struct err e = { "" };
	bool root = !geteuid();

	MUST(service_not_root("ublk-oci-x", &e) == (root ? -EPERM : 0));
	MUST(!root == !*e.text && (!root || strstr(e.text, "as the user ublk-oci-x")));
	if (!root)
		return;
	MUST(service_become("nobody", 65534, 65533, &e) == 0);
	MUST(getuid() == 65534 && geteuid() == 65534 && getgid() == 65533 && getegid() == 65533);
	MUST(setresuid(0, 0, 0) < 0 && setresgid(0, 0, 0) < 0);
	MUST(service_not_root("ublk-oci-x", &e) == 0);
	MUST(service_become("nobody", 0, 0, &e) == -EPERM);
}

static void test_not_root(void **state)
{
	(void)state;
	in_child(run_not_root);
}

static int listen_at(struct sockaddr_un *address)
{
	socklen_t size = sizeof(*address);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	MUST(fd >= 0 && !bind(fd, (struct sockaddr *)address, sizeof(sa_family_t)));
	MUST(!listen(fd, 8) && !getsockname(fd, (struct sockaddr *)address, &size));
	address->sun_path[size - offsetof(struct sockaddr_un, sun_path)] = '\0';
	return fd;
}

/* The kernel's names are five hexadecimal digits behind a zero. */
static int connect_to(const struct sockaddr_un *address)
{
	socklen_t size = offsetof(struct sockaddr_un, sun_path) + 6;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	MUST(fd >= 0 && !connect(fd, (const struct sockaddr *)address, size));
	return fd;
}

static void run_wait(void)
{
	int signal_fd, listen_fd, peer_fd, fd;
	struct sockaddr_un address;
	struct ucred who;
	struct err e;
	pid_t pid;

	MUST(service_signals(&signal_fd, &e) == 0);
	listen_fd = listen_at(&address);
	MUST(service_wait(listen_fd, signal_fd, 0) == 0);
	MUST(service_accept(listen_fd, &who) == -EAGAIN);

	peer_fd = connect_to(&address);
	MUST(service_wait(-1, signal_fd, 0) == 0); /* it stays outside */
	MUST(service_wait(listen_fd, signal_fd, LONG_MS) == 1);
	fd = service_accept(listen_fd, &who);
	MUST(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	MUST(who.pid == getpid() && who.uid == getuid() && who.gid == getgid());
	close(peer_fd);

	/* An ended child wakes it, and does not end it. */
	pid = fork();
	if (!pid)
		_exit(0);
	MUST(service_wait(listen_fd, signal_fd, LONG_MS) == 0);
	MUST(waitpid(pid, NULL, WNOHANG) == pid);

	/* That it is to end is not missed between children, nor by who is let in. */
	peer_fd = connect_to(&address);
	kill(getpid(), SIGCHLD);
	kill(getpid(), SIGTERM);
	MUST(service_wait(listen_fd, signal_fd, LONG_MS) == -ECANCELED);
	kill(getpid(), SIGINT);
	MUST(service_ends(signal_fd) && !service_ends(signal_fd));
}

static void test_wait(void **state)
{
	(void)state;
	in_child(run_wait);
}

static void run_child(void)
{
	int signal_fd, listen_fd, listen_was, signal_was, status;
	struct sockaddr_un address;
	struct err e;
	pid_t pid;

	MUST(service_signals(&signal_fd, &e) == 0);
	listen_fd = listen_at(&address);
	listen_was = listen_fd;
	signal_was = signal_fd;
	pid = fork();
	if (!pid) {
		service_child(&listen_fd, &signal_fd);
		MUST(listen_fd == -1 && signal_fd == -1);
		MUST(fcntl(listen_was, F_GETFD) < 0 && fcntl(signal_was, F_GETFD) < 0);
		raise(SIGTERM);
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	MUST(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	MUST(fcntl(listen_fd, F_GETFD) >= 0 && fcntl(signal_fd, F_GETFD) >= 0);
}

static void test_child(void **state)
{
	(void)state;
	in_child(run_child);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passed),	 cmocka_unit_test(test_limit),
		cmocka_unit_test(test_not_root), cmocka_unit_test(test_wait),
		cmocka_unit_test(test_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
