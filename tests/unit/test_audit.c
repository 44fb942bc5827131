/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/audit_file.h"
#include "targets/catalog.h"

/* ---- the line ---- */

static const uint32_t gids[] = { 1000, 27, 995 };
static const struct registry_peer peer = {
	.pid = 77,
	.cgroup = "/user.slice",
	.uid = 1000,
	.gids = gids,
	.nr_gids = 3,
};
static const struct timespec moment = { .tv_sec = 1763821831, .tv_nsec = 7999999 };

static void test_a_line_has_everything(void **state)
{
	struct record rec = {
		.target = TARGET_FILE,
		.size_bytes = 4096,
		.container_pid = 5,
		.container_uid = 1000,
		.container = "web",
		.container_cgroup = "/web",
		.path = "/dev/data",
		.backing = "/srv/\xc3\xbc\n",
	};
	const struct audit_event event = { "attach", &peer, &rec, true, "r1", "" };
	char line[AUDIT_LINE_SIZE];
	int length = audit_format(&event, &moment, line);

	assert_int_equal(length, strlen(line));
	assert_string_equal(
		line, "{\"time\":\"2025-11-22T14:30:31.007Z\",\"request\":\"attach\","
		      "\"verdict\":\"allowed\",\"rule\":\"r1\",\"reason\":\"\","
		      "\"principal\":{\"uid\":1000,\"gid\":1000,\"groups\":[27,995],"
		      "\"pid\":77,\"cgroup\":\"/user.slice\"},"
		      "\"container\":{\"id\":\"web\",\"pid\":5,\"cgroup\":\"/web\","
		      "\"owner\":1000},\"device\":null,\"path\":\"/dev/data\","
		      "\"filesystem\":null,\"target\":\"file\",\"bytes\":4096,\"access\":\"rw\","
		      "\"backing\":\"/srv/\\u00fc\\u000a\"}\n");
}

static void test_what_is_not_known_is_null(void **state)
{
	struct registry_peer nobody = { .uid = 5 };
	const struct audit_event event = { "reload", &nobody, NULL, false, "", "only root" };
	char line[AUDIT_LINE_SIZE];

	assert_true(audit_format(&event, &moment, line) > 0);
	assert_string_equal(line,
			    "{\"time\":\"2025-11-22T14:30:31.007Z\",\"request\":\"reload\","
			    "\"verdict\":\"refused\",\"rule\":null,\"reason\":\"only root\","
			    "\"principal\":{\"uid\":5,\"gid\":null,\"groups\":[],\"pid\":0,"
			    "\"cgroup\":null},\"container\":null,\"device\":null,\"path\":null,"
			    "\"filesystem\":null,\"target\":null,\"bytes\":null,\"access\":null,"
			    "\"backing\":null}\n");
}

/* The longest of everything, all of it to be escaped, is a line all the same. */
static void test_the_longest_line_fits(void **state)
{
	static uint32_t many[65];
	char cgroup[512];
	struct registry_peer big = { .pid = INT32_MAX, .uid = UINT32_MAX, .gids = many };
	struct record rec = {
		.generation = 1,
		.dev_id = UINT32_MAX,
		.target = TARGET_MEMORY,
		.filesystem = FILESYSTEM_BTRFS,
		.flags = WIRE_READ_ONLY,
		.size_bytes = UINT64_MAX,
		.container_pid = INT32_MAX,
		.container_uid = UINT32_MAX,
	};
	struct audit_event event = { "attach", &big, &rec, false, NULL, cgroup };
	char line[AUDIT_LINE_SIZE];

	memset(cgroup, '\x01', sizeof(cgroup) - 1);
	cgroup[sizeof(cgroup) - 1] = '\0';
	memset(many, 0xff, sizeof(many));
	big.nr_gids = ARRAY_SIZE(many);
	big.cgroup = cgroup;
	memset(rec.container, '\x01', sizeof(rec.container) - 1);
	memset(rec.path, '\x01', sizeof(rec.path) - 1);
	memset(rec.backing, '\x01', sizeof(rec.backing) - 1);
	memset(rec.container_cgroup, '\x01', sizeof(rec.container_cgroup) - 1);
	assert_true(audit_format(&event, &moment, line) > 0);
	assert_int_equal(line[strlen(line) - 1], '\n');
}

/* ---- the file ---- */

struct place {
	char dir[32];
	char file[64];
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	strcpy(p->dir, "/tmp/audit.XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	snprintf(p->file, sizeof(p->file), "%s/audit.log", p->dir);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	char moved[80];

	snprintf(moved, sizeof(moved), "%s.1", p->file);
	unlink(moved);
	unlink(p->file);
	rmdir(p->file);
	if (rmdir(p->dir) < 0)
		return -1;
	free(p);
	return 0;
}

static int append(const struct place *p, const char *line)
{
	struct err e;

	return audit_file_append(p->dir, "audit.log", line, strlen(line), &e);
}

static void assert_file(const char *path, const char *text)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	char buf[256] = "";

	assert_true(fd >= 0);
	assert_true(read(fd, buf, sizeof(buf) - 1) >= 0);
	assert_string_equal(buf, text);
}

static void test_a_file_that_was_moved_is_made_again(void **state)
{
	struct place *p = *state;
	struct stat st;
	char moved[80];

	umask(0077);
	assert_int_equal(append(p, "one\n"), 0);
	assert_int_equal(append(p, "two\n"), 0);
	assert_int_equal(stat(p->file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	snprintf(moved, sizeof(moved), "%s.1", p->file);
	assert_int_equal(rename(p->file, moved), 0);
	assert_int_equal(append(p, "three\n"), 0);
	assert_file(moved, "one\ntwo\n");
	assert_file(p->file, "three\n");
}

static void test_what_was_cut_off_spoils_no_other_line(void **state)
{
	struct place *p = *state;

	assert_int_equal(append(p, "whole\n"), 0);
	assert_int_equal(append(p, "half"), 0);
	assert_int_equal(append(p, "next\n"), 0);
	assert_file(p->file, "whole\nhalf\nnext\n");
}

static void test_only_a_file_of_ours_is_written(void **state)
{
	struct place *p = *state;

	assert_int_equal(symlink("/dev/null", p->file), 0);
	assert_int_equal(append(p, "x\n"), -ELOOP);
	unlink(p->file);
	assert_int_equal(mkfifo(p->file, 0600), 0);
	assert_int_equal(append(p, "x\n"), -EINVAL);
	unlink(p->file);
	assert_int_equal(mkdir(p->file, 0700), 0);
	assert_int_equal(append(p, "x\n"), -EISDIR);
	rmdir(p->file);
	assert_int_equal(chmod(p->dir, 0770), 0);
	assert_int_equal(append(p, "x\n"), -EPERM);
	assert_int_equal(chmod(p->dir, 0700), 0);
	assert_int_equal(audit_file_append("/tmp/none.such", "audit.log", "x\n", 2, NULL), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_line_has_everything),
		cmocka_unit_test(test_what_is_not_known_is_null),
		cmocka_unit_test(test_the_longest_line_fits),
		cmocka_unit_test_setup_teardown(test_a_file_that_was_moved_is_made_again, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_what_was_cut_off_spoils_no_other_line, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_only_a_file_of_ours_is_written, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
