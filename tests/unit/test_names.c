/* SPDX-License-Identifier: Apache-2.0 */
/* Names of containers, from files as podman, Docker and nerdctl write them. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "oci-hook/names.h"

#define WEB "1111111111111111111111111111111111111111111111111111111111111111"
#define DB "2222222222222222222222222222222222222222222222222222222222222222"
#define OLD "3333333333333333333333333333333333333333333333333333333333333333"

static const struct {
	const char *path, *text;
} files[] = {
	{ "/var/lib/containers/storage/overlay-containers/containers.json",
	  "[{\"id\":\"" WEB "\",\"names\":[\"web\",\"www\"],\"image\":\"x\",\"metadata\":\"{}\"},"
	  "{\"id\":\"" OLD "\",\"names\":null},{\"names\":[\"web\"]},7,"
	  "{\"id\":\"../"
	  "evil\",\"names\":[\"evil\"]},{\"id\":\"x\",\"names\":[null,3,\"three\"]}]" },
	{ "/var/lib/containers/storage/overlay-containers/volatile-containers.json",
	  "[{\"id\":\"aaaa\",\"names\":[\"gone-soon\"]}]" },
	{ "/var/lib/containers/storage/vfs-containers/containers.json", "[ not json" },
	{ "/var/lib/docker/containers/" DB "/config.v2.json",
	  "{\"ID\":\"" DB "\",\"Name\":\"/db\",\"State\":{\"Running\":true}}" },
	{ "/var/lib/docker/containers/" OLD "/config.v2.json", "[]" },
	{ "/var/lib/nerdctl/1935db59/names/default/shop", "cccc" },
	{ "/var/lib/nerdctl/1935db59/names/other/twice", "dddd\n" },
	{ "/var/lib/nerdctl/1935db59/names/default/twice", "eeee" },
	{ "/home/containers/storage/overlay-containers/containers.json",
	  "[{\"id\":\"f0f0\",\"names\":[\"mine\"]},{\"id\":\"abab\",\"names\":[\"db\"]}]" },
};

static char root[] = "/tmp/ublk-oci-names.XXXXXX";
static char home[64];

static void make_parents(char *path)
{
	for (char *s = strchr(path + 1, '/'); s; s = strchr(s + 1, '/')) {
		*s = '\0';
		mkdir(path, 0755);
		*s = '/';
	}
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(root))
		return -1;
	snprintf(home, sizeof(home), "%s/home", root);
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		char path[PATH_MAX];
		FILE *f;

		snprintf(path, sizeof(path), "%s%s", root, files[i].path);
		make_parents(path);
		f = fopen(path, "w");
		if (!f)
			return -1;
		fputs(files[i].text, f);
		fclose(f);
	}
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	(void)state;
	return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void test_names_become_ids(void **state)
{
	static const struct {
		const char *name;
		bool home;
		int r;
		const char *says; /* the ID, or a part of the reason */
	} rows[] = {
		{ "web", false, 0, WEB },
		{ "www", false, 0, WEB },
		{ "gone-soon", false, 0, "aaaa" },
		{ "three", false, 0, "x" },
		{ "db", false, 0, DB },
		{ "shop", false, 0, "cccc" },
		{ "mine", true, 0, "f0f0" },
		{ "mine", false, -ENOENT, "no engine has a container named mine" },
		{ "we", false, -ENOENT, "named we" },
		{ "evil", false, -ENOENT, "named evil" },
		{ "/db", false, -ENOENT, "no container can have this name" },
		{ "*", false, -ENOENT, "no container can have this name" },
		{ "", false, -ENOENT, "no container can have this name" },
		{ "twice", false, -ENOTUNIQ, "several containers are named twice: " },
		{ "db", true, -ENOTUNIQ, "222222222222 (docker)" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char id[WIRE_CONTAINER_SIZE] = "";
		struct err e = { .text = "" };
		int r = names_find_below(id, root, rows[i].home ? home : NULL, rows[i].name, &e);

		if (r != rows[i].r || !strstr(r ? e.text : id, rows[i].says))
			fail_msg("%s: %d, \"%s\", \"%s\"", rows[i].name, r, id, e.text);
	}
}

/* A user's own file is no word on what root's containers are called. */
static void test_files_of_others_say_nothing(void **state)
{
	char id[WIRE_CONTAINER_SIZE], path[PATH_MAX];
	struct err e;

	(void)state;
	if (geteuid() != 0)
		skip(); /* only root can give a file away */
	snprintf(path, sizeof(path), "%s%s", root, files[0].path);
	assert_int_equal(chown(path, 1234, -1), 0);
	assert_int_equal(names_find_below(id, root, NULL, "web", &e), -ENOENT);
	assert_int_equal(chown(path, 0, -1), 0);
	assert_int_equal(names_find_below(id, root, NULL, "web", &e), 0);
}

/* Neither a pipe, which would be waited for, nor a huge file is read. */
static void test_what_is_no_small_file_is_passed_over(void **state)
{
	char id[WIRE_CONTAINER_SIZE], path[PATH_MAX];
	struct err e;

	(void)state;
	snprintf(path, sizeof(path), "%s/var/lib/nerdctl/1935db59/names/default/pipe", root);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(names_find_below(id, root, NULL, "pipe", &e), -ENOENT);
	snprintf(path, sizeof(path), "%s/var/lib/nerdctl/1935db59/names/default/shop", root);
	assert_int_equal(truncate(path, 9 << 20), 0);
	assert_int_equal(names_find_below(id, root, NULL, "shop", &e), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_become_ids),
		cmocka_unit_test(test_files_of_others_say_nothing),
		cmocka_unit_test(test_what_is_no_small_file_is_passed_over),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
