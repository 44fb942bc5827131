/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/base/ublk_abi.h"
#include "driver/privileged/memlimit.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "targets/catalog.h"

#define MIB (UINT64_C(1) << 20)

static const struct record example = {
	.nr_queues = 2,
	.depth = 32,
	.max_io_bytes = 256 << 10,
	.size_bytes = 100 * MIB,
};

static void test_counts_what_may_be_in_memory(void **state)
{
	static const struct {
		enum target_id target;
		uint32_t direct_io;
		uint64_t backing_bytes;
	} rows[] = {
		{ TARGET_NULL, 0, 0 },	{ TARGET_MEMORY, 0, 100 * MIB },
		{ TARGET_FILE, 1, 0 },	{ TARGET_FILE, 0, 100 * MIB },
		{ TARGET_IMAGE, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct record rec = example;

		rec.target = rows[i].target;
		rec.direct_io = rows[i].direct_io;
		assert_int_equal(memlimit_bytes(&rec),
				 16 * MIB + rows[i].backing_bytes + MEMLIMIT_ROOM_BYTES);
	}
}

/* The kernel's pages are not the worker's. */
static void test_zero_copy_has_no_buffers(void **state)
{
	struct record rec = example;

	rec.target = TARGET_NULL;
	rec.max_io_bytes = 1 << 20;
	rec.kernel_flags = UBLK_F_AUTO_BUF_REG;
	assert_int_equal(memlimit_bytes(&rec), MEMLIMIT_ROOM_BYTES);
}

static void test_does_not_wrap(void **state)
{
	struct record rec = example;

	rec.target = TARGET_MEMORY;
	rec.nr_queues = 16;
	rec.depth = 256;
	rec.size_bytes = INT64_MAX;
	assert_true(memlimit_bytes(&rec) > rec.size_bytes);
}

static void make_file(const char *path)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fclose(f);
}

static void assert_file(const char *path, const char *expected)
{
	FILE *f = fopen(path, "r");
	char text[32] = "";

	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	fclose(f);
	assert_string_equal(text, expected);
}

static void test_writes_it(void **state)
{
	char dir[] = "/tmp/ublk-oci-memlimit-XXXXXX", share[64], limit[64];
	struct record rec = example;
	struct err e = { "" };
	struct stat st;

	assert_non_null(mkdtemp(dir));
	snprintf(rec.cgroup, sizeof(rec.cgroup), "%s/device", dir);
	snprintf(share, sizeof(share), "%s/cgroup.subtree_control", dir);
	snprintf(limit, sizeof(limit), "%s/memory.max", rec.cgroup);
	assert_int_equal(mkdir(rec.cgroup, 0700), 0);
	rec.target = TARGET_NULL;
	assert_int_equal(memlimit_set(&rec, &e), 0); /* no controller, no file */
	assert_int_equal(access(limit, F_OK), -1);

	make_file(share);
	assert_int_equal(memlimit_set(&rec, &e), 0);
	assert_file(share, "+memory"); /* which gives the others their file */

	make_file(share);
	make_file(limit);
	assert_int_equal(memlimit_set(&rec, &e), 0);
	assert_file(limit, "83886080");
	assert_int_equal(stat(share, &st), 0);
	assert_int_equal(st.st_size, 0); /* shared already */

	unlink(limit);
	unlink(share);
	assert_int_equal(mkdir(share, 0700), 0);
	assert_int_equal(memlimit_set(&rec, &e), -EISDIR); /* it cannot be shared */
	rmdir(share);
	make_file(share);

	assert_int_equal(mkdir(limit, 0700), 0);
	assert_true(memlimit_set(&rec, &e) < 0);
	assert_non_null(strstr(e.text, "limit the memory"));
	rmdir(limit);
	unlink(share);
	rmdir(rec.cgroup);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts_what_may_be_in_memory),
		cmocka_unit_test(test_zero_copy_has_no_buffers),
		cmocka_unit_test(test_does_not_wrap),
		cmocka_unit_test(test_writes_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
