/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "oci-hook/quote.h"

#define CLI_OPTIONS_MAX (32 + KEY_END)
#define CLI_HELP_CODE (CLI_KEY_CODE + KEY_END)
#define CLI_COLUMN 24

/* KEY_PATH is --device too: in a command the path is the device one speaks of. */
static const char *key_option(enum catalog_key key)
{
	return key == KEY_PATH ? "device" : catalog_key(key)->name;
}

static void help_line(FILE *to, const char *name, const char *value, const char *help)
{
	char left[64];

	snprintf(left, sizeof(left), "--%s%s%s", name, value ? " " : "", value ? value : "");
	fprintf(to, "  %-*s%s%s\n", CLI_COLUMN, left, strlen(left) < CLI_COLUMN ? "" : " ", help);
}

static void help_print(FILE *to, const struct cli_page *page)
{
	const char *rest = page->synopsis;
	const char *lead = "usage: ";

	while (*rest) {
		int n = (int)strcspn(rest, "\n");

		fprintf(to, "%s" CLI_NAME " %.*s\n", lead, n, rest);
		rest += n + (rest[n] != '\0');
		lead = "       ";
	}
	fprintf(to, "%s\n\n", page->about);
	for (size_t i = 0; i < page->nr_options; i++)
		help_line(to, page->options[i].name, page->options[i].value, page->options[i].help);
	for (unsigned int i = KEY_NONE + 1; page->keys && i < KEY_END; i++)
		help_line(to, key_option((enum catalog_key)i), catalog_key(i)->value,
			  catalog_key(i)->help);
	help_line(to, "help", NULL, "this text");
}

static void options_make(struct option *ret, const struct cli_page *page)
{
	size_t nr = 0;

	for (size_t i = 0; i < page->nr_options && nr < CLI_OPTIONS_MAX; i++)
		ret[nr++] =
			(struct option){ page->options[i].name,
					 page->options[i].value ? required_argument : no_argument,
					 NULL, page->options[i].code };
	for (int i = KEY_NONE + 1; page->keys && i < KEY_END && nr < CLI_OPTIONS_MAX; i++)
		ret[nr++] = (struct option){ key_option((enum catalog_key)i), required_argument,
					     NULL, CLI_KEY_CODE + i };
	ret[nr++] = (struct option){ "help", no_argument, NULL, CLI_HELP_CODE };
	ret[nr] = (struct option){ 0 };
}

int cli_next(const struct cli_page *page, int argc, char **argv, int *ret_status)
{
	struct option options[CLI_OPTIONS_MAX + 2];
	char word[QUOTE_SIZE];
	int c;

	options_make(options, page);
	opterr = 0;
	c = getopt_long(argc, argv, page->first_word ? "+:h" : ":h", options, NULL);
	if (c == -1)
		return 0;
	if (c == 'h' || c == CLI_HELP_CODE) {
		help_print(stdout, page);
		*ret_status = cli_end(page);
		return -1;
	}
	if (c != ':' && c != '?')
		return c;
	quote_text(word, sizeof(word), argv[optind - 1]);
	if (c == ':')
		*ret_status = cli_misuse(page, "option %s needs a value", word);
	else
		*ret_status = cli_misuse(page,
					 "option %s is not known, not unique, or takes no "
					 "value",
					 word);
	return -1;
}

static int group_usage(const struct cli_group *group, FILE *to, int status)
{
	fprintf(to, "usage: " CLI_NAME " %sCOMMAND [OPTION]...\n%s\n\n", group->command,
		group->about);
	for (size_t i = 0; i < group->nr_rows; i++)
		fprintf(to, "  %-10s %s\n", group->rows[i].name, group->rows[i].help);
	fprintf(to, "\n" CLI_NAME " %sCOMMAND --help tells more%s.\n", group->command, group->more);
	return fflush(to) ? CLI_FAILED : status;
}

int cli_group_main(const struct cli_group *group, int argc, char **argv)
{
	char word[QUOTE_SIZE];

	if (argc < 2)
		return group_usage(group, stderr, CLI_USAGE);
	for (size_t i = 0; i < group->nr_rows; i++) {
		if (!strcmp(argv[1], group->rows[i].name))
			return group->rows[i].main(argc - 1, argv + 1);
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return group_usage(group, stdout, CLI_DONE);
	fprintf(stderr, CLI_NAME ": there is no command %s%s (see " CLI_NAME " %s--help)\n",
		group->command, quote_text(word, sizeof(word), argv[1]), group->command);
	return CLI_USAGE;
}

int cli_fail(const struct cli_page *page, const struct err *e)
{
	char line[2 * ERR_TEXT_SIZE];

	fprintf(stderr, CLI_NAME ": %s: %s\n", page->command,
		quote_text(line, sizeof(line), e->text));
	return CLI_FAILED;
}

int cli_misuse(const struct cli_page *page, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, CLI_NAME ": %s: ", page->command);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, " (see " CLI_NAME " %s --help)\n", page->command);
	return CLI_USAGE;
}

int cli_end(const struct cli_page *page)
{
	struct err e;

	if (!fflush(stdout) && !ferror(stdout))
		return CLI_DONE;
	err_sys(&e, errno, "cannot write the result");
	return cli_fail(page, &e);
}
