/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a worker without a C library are those the C library would write. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/worker/bare/format.h"

__attribute__((format(printf, 3, 4))) static int ours(char *out, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = format_text(out, size, fmt, ap);
	va_end(ap);
	return n;
}

#define assert_same(...)                                                                           \
	do {                                                                                       \
		char our_[128], their_[128];                                                       \
		int n_ = snprintf(their_, sizeof(their_), __VA_ARGS__);                            \
		assert_int_equal(ours(our_, sizeof(our_), __VA_ARGS__), n_);                       \
		assert_string_equal(our_, their_);                                                 \
	} while (0)

static void test_what_workers_say(void **state)
{
	assert_same("nothing to fill in");
	assert_same("%s", "");
	assert_same("target %s needs %u backing files, not %u", "file", 1u, 0u);
	assert_same("strange flags %#x, %x, %#x", 0x8000001fu, 0xabcdefu, 0u);
	assert_same("no memory for %zu bytes of buffers", (size_t)SIZE_MAX);
	assert_same("%llu bytes in blocks of %u", (unsigned long long)UINT64_MAX, 4096u);
	assert_same("rules of version %ld, %ld", LONG_MIN, LONG_MAX);
	assert_same("%d %d %d", INT_MIN, -1, INT_MAX);
	assert_same("100 %%, %u", 7u);
}

static void test_what_is_not_known_stays(void **state)
{
	char out[32];
	const char *strange = "50% of %5u";

	assert_int_equal(ours(out, sizeof(out), "%s", strange), (int)strlen(strange));
	assert_string_equal(out, strange);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat"
	ours(out, sizeof(out), "%q and %");
#pragma GCC diagnostic pop
	assert_string_equal(out, "%q and %");
}

static void test_too_long_is_cut_off(void **state)
{
	char out[8];

	memset(out, 'x', sizeof(out));
	assert_int_equal(ours(out, 5, "%s", "abcdef"), 6);
	assert_memory_equal(out, "abcd\0xxx", sizeof(out));
	assert_int_equal(ours(out, 1, "%u", 12345u), 5);
	assert_memory_equal(out, "\0bcd\0xxx", sizeof(out));
	assert_int_equal(ours(out, 0, "%u", 12u), 2);
	assert_memory_equal(out, "\0bcd\0xxx", sizeof(out));
}

static void test_errors_have_the_usual_words(void **state)
{
	static const int known[] = { EPERM, ENOMEM, EINVAL, ENOSPC, EIO, EOPNOTSUPP, ETIMEDOUT };
	char buf[FORMAT_ERROR_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		assert_string_equal(format_error(known[i], buf), strerror(known[i]));
	/* Each has the C library's words, or its number. */
	for (int code = 1; code < 134; code++) {
		char number[32];

		snprintf(number, sizeof(number), "error %d", code);
		if (strcmp(format_error(code, buf), number))
			assert_string_equal(format_error(code, buf), strerror(code));
	}
	assert_string_equal(format_error(INT_MIN, buf), "error -2147483648");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_workers_say),
		cmocka_unit_test(test_what_is_not_known_stays),
		cmocka_unit_test(test_too_long_is_cut_off),
		cmocka_unit_test(test_errors_have_the_usual_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
