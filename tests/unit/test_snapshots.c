/* SPDX-License-Identifier: Apache-2.0 */
/* The list of snapshots in an image, from text that the image may have made up. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "oci-hook/cli/snapshots.h"

#define REST ", \"date-sec\": 5, \"vm-state-size\": 7, \"icount\": 0 }"
#define ROW "{ \"id\": \"1\", \"name\": \"a\"" REST

static const struct {
	const char *said;
	const char *list; /* NULL: refused */
} rows[] = {
	{ "{ \"format\": \"qcow2\" }", "[]" },
	{ "{ \"snapshots\": [] }\n", "[]" },
	{ "{ \"snapshots\": [ " ROW " ], \"virtual-size\": 1 }",
	  "[{\"id\":\"1\",\"name\":\"a\",\"created\":5,\"vm_state_bytes\":7}]" },
	/* Of a terminal's commands, lines and directions nothing is left. */
	{ "{ \"snapshots\": [ { \"id\": \"\\u0007\", \"name\": \"\\u001b[2J\\n\xe2\x80\xae\"" REST
	  " ] }",
	  "[{\"id\":\"\\\\x07\",\"name\":\"\\\\x1b[2J\\\\x0a\\\\xe2\\\\x80\\\\xae\",\"created\":5,"
	  "\"vm_state_bytes\":7}]" },
	{ "", NULL },
	{ "qemu-img: no", NULL },
	{ "[ " ROW " ]", NULL },
	{ "{ \"snapshots\": {} }", NULL },
	{ "{ \"snapshots\": null }", NULL },
	{ "{ \"snapshots\": [ null ] }", NULL },
	{ "{ \"snapshots\": [ 1 ] }", NULL },
	{ "{ \"snapshots\": [ [] ] }", NULL },
	{ "{ \"snapshots\": [ { \"name\": \"a\"" REST " ] }", NULL },
	{ "{ \"snapshots\": [ { \"id\": 1, \"name\": \"a\"" REST " ] }", NULL },
	{ "{ \"snapshots\": [ { \"id\": \"1\", \"name\": \"a\", \"date-sec\": -5, "
	  "\"vm-state-size\": 7 } ] }",
	  NULL },
	{ "{ \"snapshots\": [ { \"id\": \"1\", \"name\": \"a\", \"date-sec\": \"5\", "
	  "\"vm-state-size\": 7 } ] }",
	  NULL },
	{ "{ \"snapshots\": [ { \"id\": \"1\", \"name\": \"a\", \"date-sec\": 5 } ] }", NULL },
	{ "{ \"snapshots\": [ " ROW " ] } {}", NULL },
	{ "{ \"snapshots\": [ " ROW, NULL },
	{ "{ \"snapshots\": [ { \"id\": \"1\", \"name\": \"\xff\"" REST " ] }", NULL },
	{ "{ \"a\": [[[[[[[[[[[[[[[[[[[[ 1 ]]]]]]]]]]]]]]]]]]]] }", NULL },
};

static void test_what_is_taken(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json struct json_object *list = NULL;
		struct err e = { "" };
		int r = snapshots_parse(&list, rows[i].said, strlen(rows[i].said), &e);

		if (!rows[i].list) {
			if (r != -EINVAL || list || !*e.text)
				fail_msg("taken: %s", rows[i].said);
			continue;
		}
		if (r < 0)
			fail_msg("%s: %s", rows[i].said, e.text);
		assert_string_equal(json_object_to_json_string_ext(list, JSON_C_TO_STRING_PLAIN),
				    rows[i].list);
	}
}

/* So many snapshots, and names so long. */
static void test_bounds(void **state)
{
	static char text[WIRE_IMAGE_SAYS_BYTES], name[20000];
	auto_json struct json_object *list = NULL, *none = NULL;
	size_t n = (size_t)sprintf(text, "{ \"snapshots\": [ ");
	const size_t begin = n;
	struct json_object *row;
	struct err e;

	for (int i = 0; i < SNAPSHOTS_MAX; i++)
		n += (size_t)sprintf(text + n, "%s" ROW, i ? "," : "");
	strcpy(text + n, "] }");
	assert_int_equal(snapshots_parse(&list, text, strlen(text), &e), 0);
	assert_int_equal(json_object_array_length(list), SNAPSHOTS_MAX);
	strcpy(text + n, "," ROW "] }");
	assert_int_equal(snapshots_parse(&none, text, strlen(text), &e), -EINVAL);
	memset(name, 'n', sizeof(name) - 1);
	sprintf(text + begin, "{ \"id\": \"1\", \"name\": \"%s\"" REST "] }", name);
	json_object_put(list);
	list = NULL;
	assert_int_equal(snapshots_parse(&list, text, strlen(text), &e), 0);
	row = json_object_array_get_idx(list, 0);
	assert_true(strlen(auto_json_text(row, "name")) < 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_taken),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
