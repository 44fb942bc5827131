/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/notice.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "driver/wire/notice.h"
#include "driver/wire/stats.h"

#define DEV_BYTES (UINT64_C(1) << 20)

static struct device device(void)
{
	return (struct device){ .rec = { .dev_id = 3, .size_bytes = DEV_BYTES } };
}

static struct notice notice(uint16_t op, uint16_t error, uint64_t off, uint64_t len)
{
	return (struct notice){ NOTICE_MAGIC, op, error, off, len };
}

static const char *line(struct device *d, struct notice m, int64_t now_ms)
{
	static char text[256];

	return notice_line(d, &m, sizeof(m), now_ms, text, sizeof(text)) ? text : NULL;
}

static void test_a_line_says_what_failed_where_and_why(void **state)
{
	struct device d = device();

	assert_string_equal(line(&d, notice(STATS_WRITE, ENOSPC, 4096, 8192), 1),
			    "ublkb3: write of 8192 bytes at 4096 fails: No space left on device: "
			    "what is behind it is full; the next ones are counted, see ublk-oci "
			    "stats ublkb3");
	assert_non_null(strstr(line(&d, notice(STATS_READ, ENXIO, DEV_BYTES - 512, 512), 1),
			       "read of 512 bytes at 1048064 fails: its backing file ends before"));
	assert_non_null(strstr(line(&d, notice(STATS_FLUSH, EROFS, 0, 0), 1),
			       "flush of 0 bytes at 0 fails: Read-only file system;"));
}

static void test_what_cannot_be_true_is_no_line(void **state)
{
	struct device d = device();
	struct notice m = notice(STATS_READ, EIO, 0, 512);
	char text[256];

	assert_null(line(&d, notice(STATS_REFUSED, EIO, 0, 512), 1));
	assert_null(line(&d, notice(STATS_OP_END, EIO, 0, 512), 1));
	assert_null(line(&d, notice(UINT16_MAX, EIO, 0, 512), 1));
	assert_null(line(&d, notice(STATS_READ, 0, 0, 512), 1));
	assert_null(line(&d, notice(STATS_READ, NOTICE_ERROR_MAX + 1, 0, 512), 1));
	assert_null(line(&d, notice(STATS_READ, EIO, DEV_BYTES + 1, 0), 1));
	assert_null(line(&d, notice(STATS_READ, EIO, DEV_BYTES, 1), 1));
	assert_null(line(&d, notice(STATS_READ, EIO, 512, UINT64_MAX), 1));
	assert_false(notice_line(&d, &m, sizeof(m) - 1, 1, text, sizeof(text)));
	assert_false(notice_line(&d, &m, sizeof(m) + 1, 1, text, sizeof(text)));
	m.magic++;
	assert_null(line(&d, m, 1));
	m.magic--;
	assert_non_null(line(&d, m, 1));
}

static void test_one_of_a_kind_in_a_while(void **state)
{
	struct device d = device(), other = device();
	const struct notice full = notice(STATS_WRITE, ENOSPC, 0, 512);
	const struct notice broken = notice(STATS_WRITE, EIO, 0, 512);

	assert_non_null(line(&d, full, 1000));
	assert_null(line(&d, full, 1000));
	assert_null(line(&d, full, 1000 + NOTICE_WHILE_MS - 1));
	assert_non_null(line(&d, broken, 2000));
	assert_null(line(&d, broken, 2000));
	assert_non_null(line(&other, full, 1000));
	assert_non_null(line(&d, full, 1000 + NOTICE_WHILE_MS));
	assert_null(line(&d, broken, 1000 + NOTICE_WHILE_MS));
}

/* Whoever makes up kinds of errors gets no more lines for it. */
static void test_of_many_kinds_a_few(void **state)
{
	struct device d = device();
	unsigned int n = 0;

	for (uint16_t error = 1; error <= NOTICE_ERROR_MAX; error++)
		n += line(&d, notice(STATS_READ, error, 0, 512), 1000) != NULL;
	assert_int_equal(n, NOTICE_KINDS);
	assert_non_null(line(&d, notice(STATS_READ, EIO, 0, 512), 1000 + NOTICE_WHILE_MS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_line_says_what_failed_where_and_why),
		cmocka_unit_test(test_what_cannot_be_true_is_no_line),
		cmocka_unit_test(test_one_of_a_kind_in_a_while),
		cmocka_unit_test(test_of_many_kinds_a_few),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
