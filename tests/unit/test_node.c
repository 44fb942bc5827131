/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/mountinfo.h"
#include "driver/privileged/node_dir.h"
#include "driver/privileged/node_map.h"

static const struct {
	const char *map;
	uint32_t id;
	int r;
	uint32_t host;
} maps[] = {
	{ "         0          0 4294967295\n", 0, 0, 0 },
	{ "         0          0 4294967295\n", 1000, 0, 1000 },
	{ "         0          0 4294967295\n", UINT32_MAX, -ENOENT, 0 },
	{ "0 100000 65536\n", 0, 0, 100000 },
	{ "0 100000 65536\n", 65535, 0, 165535 },
	{ "0 100000 65536\n", 65536, -ENOENT, 0 },
	{ "0 1000 1\n1 100000 65536\n", 0, 0, 1000 },
	{ "0 1000 1\n1 100000 65536\n", 1, 0, 100000 },
	{ "5 1000 1\n", 4, -ENOENT, 0 },
	{ "", 0, -ENOENT, 0 },
};

static void test_ids_are_mapped_to_the_host(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		auto_fclose FILE *f = tmpfile();
		uint32_t host = 0;

		assert_non_null(f);
		fputs(maps[i].map, f);
		rewind(f);
		assert_int_equal(node_map_find(f, maps[i].id, &host), maps[i].r);
		assert_int_equal(host, maps[i].host);
	}
}

static const struct {
	const char *line;
	int r;
	struct mountinfo_entry entry;
} mounts[] = {
	{ "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n",
	  0,
	  { 98, 0, "/mnt2", "ext3", "/dev/root", .root = "/mnt1" } },
	{ "36 35 0:44 / /a\\040b\\134\\011c rw - tmpfs a\\040b rw",
	  0,
	  { 0, 44, "/a b\\\tc", "tmpfs", "a b" } },
	{ "36 35 0:44 / /dev rw shared:1 master:2 - tmpfs tmpfs rw\n",
	  0,
	  { 0, 44, "/dev", "tmpfs", "tmpfs" } },
	{ "36 35 0:44 / /dev rw - tmpfs  rw\n", 0, { 0, 44, "/dev", "tmpfs", "" } },
	{ "36 35 0:44 / /x\\ rw - tmpfs none rw\n", 0, { 0, 44, "/x\\", "tmpfs", "none" } },
	{ "36 35 0:44 / /dev rw\n", -EINVAL, { 0 } },
	{ "36 35 0:44 / /dev rw - tmpfs\n", -EINVAL, { 0 } },
	{ "36 35 x:44 / /dev rw - tmpfs none rw\n", -EINVAL, { 0 } },
	{ "36 35 0:y / /dev rw - tmpfs none rw\n", -EINVAL, { 0 } },
	{ "36 35 0 / /dev rw - tmpfs none rw\n", -EINVAL, { 0 } },
	{ "", -EINVAL, { 0 } },
};

static void test_mounts_are_read(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		struct mountinfo_entry got;
		char line[256];

		strcpy(line, mounts[i].line);
		assert_int_equal(mountinfo_parse(line, &got), mounts[i].r);
		if (mounts[i].r)
			continue;
		assert_int_equal(got.major, mounts[i].entry.major);
		assert_int_equal(got.minor, mounts[i].entry.minor);
		assert_string_equal(got.point, mounts[i].entry.point);
		assert_string_equal(got.type, mounts[i].entry.type);
		assert_string_equal(got.source, mounts[i].entry.source);
		assert_string_equal(got.root, mounts[i].entry.root ? mounts[i].entry.root : "/");
	}
}

static void test_own_mounts_are_known(void **state)
{
	auto_node_host struct node_host h = NODE_HOST_INIT;
	struct stat st;

	assert_int_equal(node_host_open(&h, NULL), 0);
	assert_true(h.nr > 0);
	assert_int_equal(stat("/proc", &st), 0);
	for (size_t i = 0; i < h.nr; i++) {
		if (h.devices[i] == st.st_dev)
			return;
	}
	fail_msg("procfs is not among %zu mounts", h.nr);
}

static void test_paths_are_taken_apart(void **state)
{
	struct node_dir d;
	char deep[WIRE_PATH_SIZE] = "/dev/";

	assert_int_equal(node_dir_init(&d, "/dev/data", NULL), 0);
	assert_int_equal(d.nr, 1);
	assert_string_equal(node_dir_name(&d), "data");
	assert_int_equal(node_dir_init(&d, "/dev/a/b/c", NULL), 0);
	assert_int_equal(d.nr, 3);
	assert_string_equal(d.names[0], "a");
	assert_string_equal(d.names[1], "b");
	assert_string_equal(node_dir_name(&d), "c");
	for (int i = 0; i < NODE_DEPTH_MAX - 1; i++)
		strcat(deep, "a/");
	strcat(deep, "b");
	assert_int_equal(node_dir_init(&d, deep, NULL), 0);
	strcat(deep, "/b");
	assert_int_equal(node_dir_init(&d, deep, NULL), -ENAMETOOLONG);
}

/* A directory of the test's own in the place of the container's /dev. */
static int make_dev(char path[32])
{
	strcpy(path, "/tmp/test-node-XXXXXX");
	assert_non_null(mkdtemp(path));
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void test_directories_are_made_and_removed_again(void **state)
{
	struct node_dir d, again;
	unsigned int made = 0, none = 0;
	char path[32];
	auto_close int dev_fd = make_dev(path);

	node_dir_init(&d, "/dev/a/b/c", NULL);
	assert_int_equal(node_dir_walk(&d, dev_fd, NULL, NULL), -ENOENT);
	assert_int_equal(node_dir_walk(&d, dev_fd, &made, NULL), 0);
	assert_int_equal(made, 2);
	node_dir_init(&again, "/dev/a/b/c", NULL);
	assert_int_equal(node_dir_walk(&again, dev_fd, &none, NULL), 0);
	assert_int_equal(none, 0);
	node_dir_prune(&d, 1);
	assert_int_equal(faccessat(dev_fd, "a", F_OK, 0), 0);
	assert_int_equal(faccessat(dev_fd, "a/b", F_OK, 0), -1);
	node_dir_prune(&d, 1);
	assert_int_equal(faccessat(dev_fd, "a", F_OK, 0), -1);
	assert_int_equal(rmdir(path), 0);
}

static void test_only_what_was_made_is_removed(void **state)
{
	struct node_dir d;
	unsigned int made = 0;
	char path[32];
	auto_close int dev_fd = make_dev(path);

	assert_int_equal(mkdirat(dev_fd, "a", 0755), 0);
	node_dir_init(&d, "/dev/a/b/c", NULL);
	assert_int_equal(node_dir_walk(&d, dev_fd, &made, NULL), 0);
	assert_int_equal(made, 1);
	node_dir_prune(&d, made);
	assert_int_equal(faccessat(dev_fd, "a/b", F_OK, 0), -1);
	assert_int_equal(unlinkat(dev_fd, "a", AT_REMOVEDIR), 0);
	assert_int_equal(rmdir(path), 0);
}

static void test_links_and_files_are_no_way(void **state)
{
	static const char *const ways[] = { "/dev/link/x", "/dev/up/x", "/dev/file/x",
					    "/dev/self/x" };
	unsigned int made = 0;
	char path[32];
	auto_close int dev_fd = make_dev(path);

	assert_int_equal(symlinkat("/tmp", dev_fd, "link"), 0);
	assert_int_equal(symlinkat("..", dev_fd, "up"), 0);
	assert_int_equal(symlinkat(".", dev_fd, "self"), 0);
	assert_int_equal(mknodat(dev_fd, "file", S_IFREG | 0600, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		struct node_dir d;
		struct err e = { "" };

		node_dir_init(&d, ways[i], NULL);
		assert_int_equal(node_dir_walk(&d, dev_fd, &made, &e), -ENOTDIR);
		assert_non_null(strstr(e.text, "is no directory"));
	}
	assert_int_equal(made, 0);
	unlinkat(dev_fd, "link", 0);
	unlinkat(dev_fd, "up", 0);
	unlinkat(dev_fd, "self", 0);
	unlinkat(dev_fd, "file", 0);
	assert_int_equal(rmdir(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids_are_mapped_to_the_host),
		cmocka_unit_test(test_mounts_are_read),
		cmocka_unit_test(test_own_mounts_are_known),
		cmocka_unit_test(test_paths_are_taken_apart),
		cmocka_unit_test(test_directories_are_made_and_removed_again),
		cmocka_unit_test(test_only_what_was_made_is_removed),
		cmocka_unit_test(test_links_and_files_are_no_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
