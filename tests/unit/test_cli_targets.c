/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "driver/base/cleanup.h"
#include "oci-hook/auto_json.h"
#include "oci-hook/cli/targets.h"
#include "targets/catalog.h"
#include "tests/unit/capture.h"

#define OUTPUT_SIZE 8192

static int run(const char *option, char text[OUTPUT_SIZE])
{
	char *argv[] = { (char *)"targets", (char *)option, NULL };

	return capture(targets_main, option ? 2 : 1, argv, NULL, text, OUTPUT_SIZE);
}

/* Is this word in that list of the target? */
static bool says(struct json_object *o, const char *list, const char *word)
{
	struct json_object *words = json_object_object_get(o, list);
	bool found = false;

	assert_true(json_object_is_type(words, json_type_array));
	for (size_t i = 0; i < json_object_array_length(words); i++)
		found |= !strcmp(json_object_get_string(json_object_array_get_idx(words, i)), word);
	return found;
}

/* What is said of each is what the catalog, and so the helper, has of it. */
static void test_each_target_that_is_served_is_listed(void **state)
{
	auto_json struct json_object *all = NULL;
	char text[OUTPUT_SIZE];
	size_t nr = 0;

	assert_int_equal(run("--json", text), 0);
	all = json_tokener_parse(text);
	assert_true(json_object_is_type(all, json_type_array));
	for (unsigned int id = TARGET_NONE + 1; id < TARGET_END; id++) {
		const struct catalog_target *t = catalog_target(id);
		struct json_object *o;

		o = json_object_array_get_idx(all, nr++);
		assert_string_equal(json_object_get_string(json_object_object_get(o, "name")),
				    t->name);
		assert_int_equal(says(o, "needs", "size"), t->needs_size);
		assert_int_equal(says(o, "needs", "backing"), t->nr_fds > 0);
		assert_int_equal(says(o, "needs", "base"), t->based);
		assert_int_equal(says(o, "needs", "nbd"), t->by_address);
		assert_int_equal(says(o, "rule_keys", "nbd_reissue"), t->by_address);
		assert_int_equal(says(o, "keys", "delta"), t->based);
		assert_int_equal(says(o, "needs", "format"), t->image);
		assert_int_equal(says(o, "keys", "base-format"), t->image);
		assert_int_equal(says(o, "rule_keys", "image_chain"), t->image);
		assert_int_equal(says(o, "keys", "error-ratio"), t->faults);
		assert_int_equal(says(o, "features", "flush"), t->volatile_cache);
		assert_int_equal(says(o, "features", "discard"), t->discards);
		assert_int_equal(says(o, "features", "zero-copy"), t->zero_copy);
		assert_int_equal(says(o, "features", "threads"), t->threads);
		assert_int_equal(says(o, "rule_keys", "backing"), t->nr_fds > 0);
		assert_true(says(o, "rule_keys", "targets") && says(o, "rule_keys", "max_size"));
	}
	assert_int_equal(json_object_array_length(all), nr);
}

/* A head, and a line for each; columns stand below each other. */
static void test_people_get_a_table(void **state)
{
	char text[OUTPUT_SIZE], *line, *rest = text;
	const char *what;
	size_t column = 0;

	assert_int_equal(run(NULL, text), 0);
	line = strsep(&rest, "\n");
	assert_int_equal(strncmp(line, "NAME ", 5), 0);
	what = strstr(line, "WHAT");
	assert_non_null(what);
	column = (size_t)(what - line);
	for (unsigned int id = TARGET_NONE + 1; id < TARGET_END; id++) {
		const struct catalog_target *t = catalog_target(id);

		line = strsep(&rest, "\n");
		assert_non_null(line);
		assert_int_equal(strncmp(line, t->name, strlen(t->name)), 0);
		assert_true(strlen(line) > column);
		assert_string_equal(line + column, t->help);
	}
	assert_string_equal(rest, "");
}

static void test_what_is_not_understood_is_said(void **state)
{
	char text[OUTPUT_SIZE];

	assert_int_equal(run("file", text), 2);
	assert_non_null(strstr(text, "one word too many"));
	assert_int_equal(run("--help", text), 0);
	assert_non_null(strstr(text, "targets [--json]"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_target_that_is_served_is_listed),
		cmocka_unit_test(test_people_get_a_table),
		cmocka_unit_test(test_what_is_not_understood_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
