/* SPDX-License-Identifier: Apache-2.0 */
/* The helper's loop, and what it says to whom it does not let in. */
#include "driver/privileged/server.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/privileged/work.h"
#include "oci-hook/client.h"
#include "tests/unit/policy_of.h"

#define PATIENCE_MS 20000

bool __wrap_caller_room(const struct callers *all, uid_t uid, uid_t hook_uid);
bool __wrap_caller_room(const struct callers *all, uid_t uid, uid_t hook_uid)
{
	return false;
}

/* Nothing is compared with the kernel: it is over at once. */
pid_t __wrap_work_own(struct server *s, enum work_kind kind, uint64_t generation);
pid_t __wrap_work_own(struct server *s, enum work_kind kind, uint64_t generation)
{
	server_watch(s, s->listen_fd, SERVER_LISTEN, 0, 0);
	return getpid();
}

static void serve(int listen_fd)
{
	const struct helper helper = { .keeper_uid = (uid_t)-1, .keeper_fd = -1, .notices_fd = -1 };
	struct registry registry = {
		.policy = policy_of("{ \"version\": 1, \"worker_ids\": { \"first\": 910000, "
				    "\"count\": 1 }, \"rules\": [] }"),
		.journal_fd = -1,
		.cdi_fd = -1,
	};
	struct keep keep = KEEP_INIT;
	struct err e;

	server_run(&helper, &registry, listen_fd, &keep, &e);
	_exit(0);
}

/* EBUSY would say that somebody has what it asks about. */
static void test_a_crowd_is_told_to_ask_again(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r;
	struct client_devices d = { 0 };
	char dir[] = "/tmp/test_server.XXXXXX";
	struct err e = { "" };
	pid_t pid;

	assert_non_null(mkdtemp(dir));
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/sock", dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 4), 0);
	setenv(CLIENT_SOCKET_VARIABLE, addr.sun_path, 1);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		serve(fd);
	close(fd);
	r = client_list(&d, PATIENCE_MS, &e);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(addr.sun_path);
	rmdir(dir);
	assert_string_equal(e.text, "too many requests at once: try again");
	assert_int_equal(r, -EAGAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_crowd_is_told_to_ask_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
