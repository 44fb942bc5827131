/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "oci-hook/options.h"
#include "tests/unit/capture.h"

#define USAGE "usage: prog [--policy FILE]\n"

/* Prints what it was given, as a program would use it. */
static int program(int argc, char **argv)
{
	static const struct option table[] = {
		{ "policy", required_argument, NULL, 'p' },
		{ "debug", no_argument, NULL, 'd' },
		OPTIONS_LAST,
	};
	static const struct options options = { "prog 1.2", USAGE, table };
	int c, status = 77;

	while ((c = options_next(&options, argc, argv, &status)) > 0)
		printf("%c=%s ", c, c == 'p' ? optarg : "");
	if (c < 0)
		return status;
	for (; optind < argc; optind++)
		printf("%s ", argv[optind]);
	printf("end\n");
	return 0;
}

static void test_options_come_one_by_one(void **state)
{
	static const struct {
		const char *words[5];
		int status;
		const char *text; /* how it ends */
	} rows[] = {
		{ { NULL }, 0, "end\n" },
		{ { "--policy", "a", "--debug" }, 0, "p=a d= end\n" },
		{ { "--policy=a", "--pol", "b", "word" }, 0, "p=a p=b word end\n" },
		{ { "--debug", "--", "--debug" }, 0, "d= --debug end\n" },
		{ { "--help" }, 0, USAGE },
		{ { "-h", "--bad" }, 0, USAGE },
		{ { "--version", "--bad" }, 0, "prog 1.2\n" },
		{ { "--debug", "--version" }, 0, "d= prog 1.2\n" },
		{ { "--bad", "--help" }, OPTIONS_MISUSE, "option '--bad'\n" USAGE },
		{ { "-v" }, OPTIONS_MISUSE, "option -- 'v'\n" USAGE },
		{ { "--policy" }, OPTIONS_MISUSE, "requires an argument\n" USAGE },
		{ { "--debug=1" }, OPTIONS_MISUSE, "doesn't allow an argument\n" USAGE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *argv[ARRAY_SIZE(rows[i].words) + 2] = { (char *)(uintptr_t) "prog" },
						       text[512];
		int argc = 1;
		size_t n;

		for (; rows[i].words[argc - 1]; argc++)
			argv[argc] = (char *)(uintptr_t)rows[i].words[argc - 1];
		assert_int_equal(capture(program, argc, argv, NULL, text, sizeof(text)),
				 rows[i].status);
		n = strlen(rows[i].text);
		if (strlen(text) < n || strcmp(text + strlen(text) - n, rows[i].text))
			fail_msg("row %zu: %s", i, text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_options_come_one_by_one) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
