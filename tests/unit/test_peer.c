/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose a user namespace, a process, a cgroup is. A cgroup is played by a
 * directory with the two kinds of entries that are looked at.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/peer.h"
#include "driver/privileged/process.h"

#define USER 4711   /* somebody who is not root */
#define SUB_ID 5000 /* a uid that user has in a namespace */
#define NR_GROUPS 60000

/* A process that does something and then waits; ended by its owner. */
struct child {
	pid_t pid;
	int proc_fd;
};

static void child_end(struct child *c)
{
	if (c->pid > 0) {
		kill(c->pid, SIGKILL);
		waitpid(c->pid, NULL, 0);
	}
	close_fdp(&c->proc_fd);
}

#define auto_child cleanup_with(child_end)

static void write_map(pid_t pid, const char *name)
{
	char path[64], map[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	snprintf(map, sizeof(map), "0 %d 10\n", SUB_ID);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, map, strlen(map)), strlen(map));
	close(fd);
}

/* The child may ask for its maps to be written: "m" over its pipe, and waits for the answer. */
static struct child child_begin(int (*run)(int ask_fd, int told_fd))
{
	struct child c = { .proc_fd = -1 };
	int ask[2], told[2];
	char said = 0;

	assert_int_equal(pipe(ask), 0);
	assert_int_equal(pipe(told), 0);
	c.pid = fork();
	if (!c.pid) {
		said = run(ask[1], told[0]) ? 'f' : 'r';
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of uid takes it away */
		if (write(ask[1], &said, 1) == 1)
			pause();
		_exit(1);
	}
	close(ask[1]);
	close(told[0]);
	while (read(ask[0], &said, 1) == 1 && said == 'm') {
		write_map(c.pid, "uid_map");
		write_map(c.pid, "gid_map");
		assert_int_equal(write(told[1], "", 1), 1);
	}
	close(ask[0]);
	close(told[1]);
	c.proc_fd = process_proc_open(c.pid);
	if (said != 'r') {
		child_end(&c);
		skip(); /* not root, or no user namespaces here */
	}
	return c;
}

static int be_user(void)
{
	return setresgid(USER, USER, USER) < 0 || setresuid(USER, USER, USER) < 0 ||
			       prctl(PR_SET_DUMPABLE, 1) < 0
		       ? -1
		       : 0;
}

static int user_alone(int ask_fd, int told_fd)
{
	(void)ask_fd;
	(void)told_fd;
	return be_user();
}

/* In a namespace the user made, as a uid that is another to the host. */
static int user_namespace(int ask_fd, int told_fd)
{
	char byte;

	return be_user() < 0 || unshare(CLONE_NEWUSER) < 0 || write(ask_fd, "m", 1) != 1 ||
			       read(told_fd, &byte, 1) != 1 || setresgid(1, 1, 1) < 0 ||
			       setresuid(1, 1, 1) < 0
		       ? -1
		       : 0;
}

static int user_namespace_nested(int ask_fd, int told_fd)
{
	return user_namespace(ask_fd, told_fd) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0 ||
			       unshare(CLONE_NEWUSER) < 0
		       ? -1
		       : 0;
}

/* root made it: what is the user's inside of it stays root's. */
static int root_namespace(int ask_fd, int told_fd)
{
	(void)ask_fd;
	(void)told_fd;
	return geteuid() || unshare(CLONE_NEWUSER) < 0 ? -1 : 0;
}

/* A program with the file's owner's rights, started by the user. */
static int user_became_root(int ask_fd, int told_fd)
{
	(void)ask_fd;
	(void)told_fd;
	return setresuid(USER, 0, 0);
}

static int user_many_groups(int ask_fd, int told_fd)
{
	gid_t *groups = calloc(NR_GROUPS, sizeof(*groups));

	(void)ask_fd;
	(void)told_fd;
	for (size_t i = 0; groups && i < NR_GROUPS; i++)
		groups[i] = (gid_t)(1000000000 + i);
	return !groups || setgroups(NR_GROUPS, groups) < 0 ? -1 : be_user();
}

static uid_t ns_of(const struct child *c)
{
	auto_close int fd = openat(c->proc_fd, "ns/user", O_RDONLY | O_CLOEXEC);
	uid_t uid = UINT32_MAX;

	assert_true(fd >= 0);
	assert_int_equal(peer_of_user_ns(fd, &uid), 0);
	return uid;
}

static void test_the_own_namespace_is_roots(void **state)
{
	auto_close int fd = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
	uid_t uid = UINT32_MAX;

	assert_int_equal(peer_of_user_ns(fd, &uid), 0);
	assert_int_equal(uid, 0);
}

static void test_what_is_no_namespace(void **state)
{
	auto_close int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	uid_t uid = UINT32_MAX;

	assert_true(peer_of_user_ns(fd, &uid) < 0);
	assert_true(peer_of_user_ns(-1, &uid) < 0);
	assert_int_equal(uid, UINT32_MAX);
}

static void test_a_namespace_is_its_makers(void **state)
{
	auto_child struct child c = child_begin(user_namespace);

	assert_int_equal(ns_of(&c), USER);
}

static void test_a_nested_one_is_the_outer_makers(void **state)
{
	auto_child struct child c = child_begin(user_namespace_nested);
	uid_t other = 1;

	assert_int_equal(ns_of(&c), USER);
	assert_int_equal(peer_owns_process(c.proc_fd, USER, &other), 1);
}

static void test_whose_a_process_is(void **state)
{
	static const struct {
		int (*run)(int ask_fd, int told_fd);
		uid_t uid;
		int owned;
		uid_t other;
	} rows[] = {
		{ user_alone, USER, 1, 0 },
		{ user_alone, USER + 1, 0, USER },
		{ user_alone, 0, 1, 0 },
		{ user_namespace, USER, 1, 0 },
		{ user_namespace, 1, 0, SUB_ID + 1 },
		{ user_namespace, SUB_ID + 1, 1, 0 },
		{ root_namespace, USER, 0, 0 },
		{ user_became_root, USER, 0, 0 },
		{ user_many_groups, USER, 1, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_child struct child c = child_begin(rows[i].run);
		uid_t other = 0;

		print_message("row %zu\n", i);
		assert_int_equal(peer_owns_process(c.proc_fd, rows[i].uid, &other), rows[i].owned);
		assert_int_equal(other, rows[i].other);
	}
}

static void test_a_process_that_ended_is_nobodys(void **state)
{
	auto_close int proc_fd = -1;
	pid_t pid = fork();
	uid_t other;

	if (!pid) {
		pause();
		_exit(0);
	}
	proc_fd = process_proc_open(pid);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(peer_owns_process(proc_fd, 1, &other), -ESRCH);
}

/* --- cgroups --------------------------------------------------------------- */

struct tree {
	char path[64];
	int fd;
};

static void tree_free(struct tree *t)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", t->path);
	close_fdp(&t->fd);
	if (system(command))
		print_message("%s is left\n", t->path);
}

#define auto_tree cleanup_with(tree_free)

static struct tree tree_make(void)
{
	struct tree t = { "/tmp/test_peer.XXXXXX", -1 };

	assert_non_null(mkdtemp(t.path));
	t.fd = open(t.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(t.fd >= 0);
	return t;
}

static void tree_write(const struct tree *t, const char *name, const char *text)
{
	auto_close int fd = openat(t->fd, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void tree_pid(const struct tree *t, const char *name, pid_t pid)
{
	char text[32];

	snprintf(text, sizeof(text), "%d\n", (int)pid);
	tree_write(t, name, text);
}

static void test_a_cgroup_of_ones_own(void **state)
{
	auto_tree struct tree t = tree_make();
	struct err e;

	assert_int_equal(peer_check_cgroup(t.fd, "/x", getuid(), &e), 0); /* nobody is in it */
	tree_pid(&t, "cgroup.procs", getpid());
	mkdirat(t.fd, "below", 0700);
	tree_pid(&t, "below/cgroup.procs", getpid());
	assert_int_equal(peer_check_cgroup(t.fd, "/x", getuid(), &e), 0);
}

static void test_others_in_a_cgroup(void **state)
{
	uid_t stranger = getuid() + 1;
	char words[64];

	for (int below = 0; below < 3; below++) {
		static const char *const lists[] = { "cgroup.procs", "a/cgroup.procs",
						     "a/b/cgroup.procs" };
		auto_tree struct tree t = tree_make();
		struct err e;

		mkdirat(t.fd, "a", 0700);
		mkdirat(t.fd, "a/b", 0700);
		tree_pid(&t, lists[below], getpid());
		assert_int_equal(peer_check_cgroup(t.fd, "/x", stranger, &e), -EPERM);
		snprintf(words, sizeof(words),
			 "process %d of uid %u is in the container's cgroup /x", (int)getpid(),
			 getuid());
		assert_non_null(strstr(e.text, words));
		assert_non_null(strstr(e.text, "start the container in a cgroup of its own"));
	}
}

static void test_a_process_that_is_not_seen(void **state)
{
	auto_tree struct tree t = tree_make();
	struct err e;

	tree_pid(&t, "cgroup.procs", 0);
	assert_int_equal(peer_check_cgroup(t.fd, "/x", getuid(), &e), -EPERM);
	assert_non_null(strstr(e.text, "cannot see"));
}

static void test_a_process_that_ended_is_passed_over(void **state)
{
	auto_tree struct tree t = tree_make();
	struct err e;

	tree_pid(&t, "cgroup.procs", 0x7ffffff0); /* no pid is that high */
	assert_int_equal(peer_check_cgroup(t.fd, "/x", getuid(), &e), 0);
}

static void test_too_much_to_look_at(void **state)
{
	auto_tree struct tree many = tree_make(), wide = tree_make(), deep = tree_make();
	char name[16 + 2 * (PEER_CGROUP_DEPTH_MAX + 1)] = ".";
	struct err e;

	for (int i = 0; i < PEER_PROCESSES_MAX; i++)
		tree_pid(&many, "cgroup.procs", getpid());
	assert_int_equal(peer_check_cgroup(many.fd, "/x", getuid(), &e), 0);
	tree_pid(&many, "cgroup.procs", getpid());
	assert_int_equal(peer_check_cgroup(many.fd, "/x", getuid(), &e), -EPERM);
	assert_non_null(strstr(e.text, "more than 4096 processes"));

	for (int i = 0; i < PEER_CGROUPS_MAX; i++) {
		snprintf(name, sizeof(name), "%d", i);
		if (i == PEER_CGROUPS_MAX - 1)
			assert_int_equal(peer_check_cgroup(wide.fd, "/x", getuid(), &e), 0);
		mkdirat(wide.fd, name, 0700);
	}
	assert_int_equal(peer_check_cgroup(wide.fd, "/x", getuid(), &e), -EPERM);
	assert_non_null(strstr(e.text, "more than 512 cgroups"));

	strcpy(name, ".");
	for (int i = 0; i <= PEER_CGROUP_DEPTH_MAX; i++) {
		if (i == PEER_CGROUP_DEPTH_MAX)
			assert_int_equal(peer_check_cgroup(deep.fd, "/x", getuid(), &e), 0);
		strcat(name, "/d");
		assert_int_equal(mkdirat(deep.fd, name, 0700), 0);
	}
	assert_int_equal(peer_check_cgroup(deep.fd, "/x", getuid(), &e), -EPERM);
	assert_non_null(strstr(e.text, "32 levels"));
}

static void test_a_list_that_cannot_be_read(void **state)
{
	auto_tree struct tree t = tree_make();
	struct err e;

	mkdirat(t.fd, "cgroup.procs", 0700); /* reading a directory is an error */
	assert_true(peer_check_cgroup(t.fd, "/x", getuid(), &e) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_own_namespace_is_roots),
		cmocka_unit_test(test_what_is_no_namespace),
		cmocka_unit_test(test_a_namespace_is_its_makers),
		cmocka_unit_test(test_a_nested_one_is_the_outer_makers),
		cmocka_unit_test(test_whose_a_process_is),
		cmocka_unit_test(test_a_process_that_ended_is_nobodys),
		cmocka_unit_test(test_a_cgroup_of_ones_own),
		cmocka_unit_test(test_others_in_a_cgroup),
		cmocka_unit_test(test_a_process_that_is_not_seen),
		cmocka_unit_test(test_a_process_that_ended_is_passed_over),
		cmocka_unit_test(test_too_much_to_look_at),
		cmocka_unit_test(test_a_list_that_cannot_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
