/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"

static const struct {
	const char *what, *text, *json;
} texts[] = {
	{ "nothing", "", "" },
	{ "plain text", "a b/c'<>", "a b/c'<>" },
	{ "what JSON escapes", "\"\\", "\\\"\\\\" },
	{ "control characters", "\x01\n\x1b[2J\x7f", "\\u0001\\u000a\\u001b[2J\\u007f" },
	{ "two bytes", "\xc3\xbc", "\\u00fc" },
	{ "a control character of two bytes", "\xc2\x9b", "\\u009b" },
	{ "three bytes", "\xe2\x80\xae", "\\u202e" },
	{ "four bytes", "\xf0\x9f\x98\x80", "\\ud83d\\ude00" },
	{ "the last character", "\xf4\x8f\xbf\xbf", "\\udbff\\udfff" },
	{ "past the last character", "\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd" },
	{ "an overlong slash", "\xc0\xaf", "\\ufffd\\ufffd" },
	{ "overlong in three", "\xe0\x80\xaf", "\\ufffd\\ufffd\\ufffd" },
	{ "overlong in four", "\xf0\x80\x80\xaf", "\\ufffd\\ufffd\\ufffd\\ufffd" },
	{ "a surrogate", "\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd" },
	{ "a continuation alone", "\x80x", "\\ufffdx" },
	{ "cut off", "\xe2\x80", "\\ufffd\\ufffd" },
	{ "cut off by a quote", "\xe2\"", "\\ufffd\\\"" },
	{ "bytes of no UTF-8", "\xff\xfe", "\\ufffd\\ufffd" },
};

static void test_texts_are_ascii_and_one_line(void **state)
{
	char buf[256], expected[256];
	struct json j;
	int length;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		json_init(&j, buf, sizeof(buf));
		json_text(&j, "t", texts[i].text);
		length = json_fini(&j);
		assert_int_equal(length, strlen(buf));
		snprintf(expected, sizeof(expected), "{\"t\":\"%s\"}", texts[i].json);
		if (strcmp(buf, expected))
			fail_msg("%s: %s", texts[i].what, buf);
	}
}

static void test_an_overlong_text_is_cut_at_a_character(void **state)
{
	char text[3 * JSON_TEXT_MAX + 1] = "", buf[2 * JSON_TEXT_MAX], *end;
	struct json j;

	for (size_t i = 0; i < JSON_TEXT_MAX; i++)
		strcat(text, "\xc3\xbc");
	json_init(&j, buf, sizeof(buf));
	json_text(&j, "t", text);
	assert_true(json_fini(&j) <= (int)(JSON_TEXT_MAX + strlen("{\"t\":\"...\"}")));
	end = strstr(buf, "...");
	assert_non_null(end);
	assert_memory_equal(end - 6, "\\u00fc", 6);
	assert_string_equal(end, "...\"}");
}

static void test_members_and_objects(void **state)
{
	static const uint32_t groups[] = { 0, UINT32_MAX };
	char buf[256];
	struct json j;

	json_init(&j, buf, sizeof(buf));
	json_object(&j, "a");
	json_number(&j, "n", UINT64_MAX);
	json_numbers(&j, "g", groups, 2);
	json_object_end(&j);
	json_text(&j, "t", NULL);
	json_object(&j, "b");
	json_object_end(&j);
	json_numbers(&j, "none", NULL, 0);
	assert_true(json_fini(&j) > 0);
	assert_string_equal(buf, "{\"a\":{\"n\":18446744073709551615,\"g\":[0,4294967295]},"
				 "\"t\":null,\"b\":{},\"none\":[]}");
}

static void test_arrays_have_no_keys(void **state)
{
	char buf[256];
	struct json j;

	json_init(&j, buf, sizeof(buf));
	json_array(&j, "a");
	json_text(&j, NULL, "x");
	json_object(&j, NULL);
	json_text(&j, "k", "v");
	json_array(&j, "none");
	json_array_end(&j);
	json_object_end(&j);
	json_text(&j, NULL, "y");
	json_array_end(&j);
	json_number(&j, "n", 1);
	assert_true(json_fini(&j) > 0);
	assert_string_equal(buf, "{\"a\":[\"x\",{\"k\":\"v\",\"none\":[]},\"y\"],\"n\":1}");
}

static void test_a_buffer_too_small_is_noticed(void **state)
{
	static const char whole[] = "{\"key\":\"value\"}";

	for (size_t size = 1; size <= sizeof(whole); size++) {
		char *buf = malloc(size); /* of exactly this size, for the sanitizer */
		struct json j;

		json_init(&j, buf, size);
		json_text(&j, "key", "value");
		assert_int_equal(json_fini(&j),
				 size < sizeof(whole) ? -E2BIG : (int)sizeof(whole) - 1);
		free(buf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts_are_ascii_and_one_line),
		cmocka_unit_test(test_an_overlong_text_is_cut_at_a_character),
		cmocka_unit_test(test_members_and_objects),
		cmocka_unit_test(test_arrays_have_no_keys),
		cmocka_unit_test(test_a_buffer_too_small_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
