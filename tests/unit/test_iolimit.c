/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/iolimit.h"

static const struct {
	struct wire_io io;
	const char *line;
} rows[] = {
	{ { 0, 0, 0, 0 }, "259:3 rbps=max wbps=max riops=max wiops=max" },
	{ { 1, 0, 0, 0 }, "259:3 rbps=1 wbps=max riops=max wiops=max" },
	{ { 0, 4 << 20, 0, 0 }, "259:3 rbps=max wbps=4194304 riops=max wiops=max" },
	{ { 1, 2, 3, 4 }, "259:3 rbps=1 wbps=2 riops=3 wiops=4" },
	{ { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX },
	  "259:3 rbps=18446744073709551615 wbps=18446744073709551615 "
	  "riops=18446744073709551615 wiops=18446744073709551615" },
};

static void test_a_line_names_every_limit(void **state)
{
	char line[IOLIMIT_LINE_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		iolimit_line(line, 259, 3, &rows[i].io);
		assert_string_equal(line, rows[i].line);
	}
	iolimit_line(line, UINT32_MAX, UINT32_MAX, &rows[ARRAY_SIZE(rows) - 1].io);
	assert_int_equal(strncmp(line, "4294967295:4294967295 ", 22), 0);
	assert_int_equal(strcmp(line + strlen(line) - 6, "551615"), 0);
}

/* Of whatever disks this machine has: a partition's is not the partition, and is one itself. */
static void test_a_disk_is_found_by_its_part(void **state)
{
	auto_closedir DIR *d = opendir("/sys/dev/block");
	unsigned int major, minor;
	struct dirent *entry;
	char path[300];
	dev_t dev;

	assert_int_equal(iolimit_disk(0), 0);
	assert_int_equal(iolimit_disk(makedev(0, 99)), 0);
	assert_int_equal(iolimit_disk(makedev(4095, 1048575)), 0);
	while (d && (entry = readdir(d))) {
		if (sscanf(entry->d_name, "%u:%u", &major, &minor) != 2)
			continue;
		snprintf(path, sizeof(path), "/sys/dev/block/%s/partition", entry->d_name);
		dev = makedev(major, minor);
		assert_int_equal(iolimit_disk(dev) == dev, access(path, F_OK) < 0);
		assert_int_equal(iolimit_disk(iolimit_disk(dev)), iolimit_disk(dev));
	}
}

/* A limit in a file that is the container's owner's is none: it is that file's owner who counts. */
static void test_whose_a_limit_would_be(void **state)
{
	char dir[] = "/tmp/test-iolimit.XXXXXX", path[64];
	auto_close int fd = -1, file_fd = -1;
	bool others = geteuid() != 0;

	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(iolimit_delegated(fd), others);
	snprintf(path, sizeof(path), "%s/io.max", dir);
	file_fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_true(file_fd >= 0);
	assert_int_equal(iolimit_delegated(fd), others);
	if (!others) {
		assert_int_equal(fchown(file_fd, 1000, 1000), 0);
		assert_true(iolimit_delegated(fd));
	}
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_disk_is_found_by_its_part),
		cmocka_unit_test(test_whose_a_limit_would_be),
		cmocka_unit_test(test_a_line_names_every_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
