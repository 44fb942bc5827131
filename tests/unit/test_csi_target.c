/* SPDX-License-Identifier: Apache-2.0 */
/* Where the CSI driver makes and removes places, and that it does so nowhere else. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/landlock.h>

#include "driver/base/cleanup.h"
#include "oci-hook/csi/target.h"

struct place {
	char dir[32];
	char target[48];
	char other[48]; /* with something in it */
	char link[48];
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	FILE *f;

	*state = p;
	strcpy(p->dir, "/tmp/csi_target.XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	snprintf(p->target, sizeof(p->target), "%s/target", p->dir);
	snprintf(p->other, sizeof(p->other), "%s/other", p->dir);
	snprintf(p->link, sizeof(p->link), "%s/link", p->dir);
	f = fopen(p->other, "we");
	if (!f || fputs("x", f) < 0)
		return -1;
	fclose(f);
	return symlink(p->other, p->link);
}

/* Fails when something is left. */
static int teardown(void **state)
{
	struct place *p = *state;
	int r;

	unlink(p->link);
	unlink(p->other);
	r = rmdir(p->dir);
	free(p);
	return r;
}

static void test_a_place_is_made_and_removed(void **state)
{
	struct place *p = *state;
	struct stat st;
	struct err e;

	for (int file = 0; file < 2; file++) {
		for (int again = 0; again < 2; again++) {
			bool made = again;
			auto_close int fd = target_open(p->target, file, &made, &e);

			assert_true(fd >= 0);
			assert_int_equal(made, !again);
			assert_int_equal(fstat(fd, &st), 0);
			assert_true(file ? S_ISREG(st.st_mode) && !st.st_size
					 : S_ISDIR(st.st_mode));
		}
		/* The other kind is not what was asked for. */
		assert_int_equal(target_open(p->target, !file, &(bool){ false }, &e), -EEXIST);
		for (int again = 0; again < 2; again++)
			assert_int_equal(target_remove(p->target, &e), 0);
		assert_int_equal(access(p->target, F_OK), -1);
	}
}

static void test_what_is_somebodys_stays(void **state)
{
	struct place *p = *state;
	struct err e;

	assert_int_equal(target_remove(p->other, &e), 0);
	assert_int_equal(target_remove(p->link, &e), 0);
	assert_int_equal(target_remove(p->dir, &e), 0); /* not empty */
	assert_int_equal(access(p->other, F_OK), 0);
	assert_int_equal(target_open(p->link, true, &(bool){ false }, &e), -EEXIST);
	assert_int_equal(target_open("/nowhere/at/all", false, &(bool){ false }, &e), -ENOENT);
}

static void test_paths_are_as_the_helper_takes_them(void **state)
{
	static const char *const bad[] = {
		"", "/", "target", "/a/../b", "/a/./b", "/a b", "/a//b"
	};
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(target_check(bad[i], &e), -EINVAL);
	assert_int_equal(target_check("/var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/a/mount",
				      &e),
			 0);
}

enum still {
	STILL_MAKES = 1 << 0,	/* below the root */
	STILL_REMOVES = 1 << 1, /* there */
	STILL_READS = 1 << 2,
	STILL_ELSEWHERE = 1 << 3,
	STILL_FAILED = 1 << 4,
};

/* In a child, since there is no way back. */
static int confined(const struct place *p)
{
	char elsewhere[] = "/tmp/csi_target_elsewhere";
	bool made = false;
	struct err e;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    target_confine(p->dir, "/tmp/csi.sock", &e) < 0)
			_exit(STILL_FAILED);
		_exit((target_open(p->target, false, &made, &e) >= 0 && made ? STILL_MAKES : 0) |
		      (target_remove(p->target, &e) == 0 && access(p->target, F_OK) < 0
			       ? STILL_REMOVES
			       : 0) |
		      (open(p->other, O_RDONLY | O_CLOEXEC) >= 0 ? STILL_READS : 0) |
		      (target_open(elsewhere, false, &made, &e) >= 0 ? STILL_ELSEWHERE : 0));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	rmdir(elsewhere);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_only_places_below_one_directory(void **state)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	int all = STILL_MAKES | STILL_REMOVES | STILL_READS | STILL_ELSEWHERE;

	/* A kernel without it forbids nothing. */
	assert_int_equal(confined(*state), version < 1 ? all : STILL_MAKES | STILL_REMOVES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_place_is_made_and_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_somebodys_stays, setup, teardown),
		cmocka_unit_test(test_paths_are_as_the_helper_takes_them),
		cmocka_unit_test_setup_teardown(test_only_places_below_one_directory, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
