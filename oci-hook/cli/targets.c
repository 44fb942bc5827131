/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/targets.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "oci-hook/cli/cli.h"
#include "oci-hook/cli/show.h"
#include "targets/catalog.h"

#define TARGETS_CELL_SIZE 160

static const struct cli_option targets_options[] = {
	{ "json", NULL, 'j', "the same as JSON" },
};

static const struct cli_page targets_page = {
	.command = "targets",
	.synopsis = "targets [--json]",
	.about = "Lists what a device can be made of: what each needs, what it can do, and the "
		 "keys of a rule that are about it.",
	.options = targets_options,
	.nr_options = ARRAY_SIZE(targets_options),
};

/* --- facts, each a word where a target has it ------------------------------------------------ */

struct targets_fact {
	const char *word;
	bool (*has)(const struct catalog_target *t);
};

static bool has_always(const struct catalog_target *t)
{
	return t != NULL;
}

static bool has_file(const struct catalog_target *t)
{
	return t->nr_fds > 0;
}

static bool has_base(const struct catalog_target *t)
{
	return t->based;
}

static bool has_address(const struct catalog_target *t)
{
	return t->by_address;
}

static bool has_format(const struct catalog_target *t)
{
	return t->image;
}

static bool has_size(const struct catalog_target *t)
{
	return t->needs_size;
}

static bool has_cache(const struct catalog_target *t)
{
	return t->volatile_cache;
}

static bool has_discard(const struct catalog_target *t)
{
	return t->discards;
}

static bool has_zero_copy(const struct catalog_target *t)
{
	return t->zero_copy;
}

static bool has_threads(const struct catalog_target *t)
{
	return t->threads;
}

static bool has_faults(const struct catalog_target *t)
{
	return t->faults;
}

/* The keys of an attach that it does not go without. */
static const struct targets_fact needs[] = {
	{ "size", has_size },	{ "backing", has_file },  { "base", has_base },
	{ "nbd", has_address }, { "format", has_format },
};

/* Those that it alone has. */
static const struct targets_fact own_keys[] = {
	{ "cluster", has_base },	{ "delta", has_base },
	{ "delay", has_faults },	{ "error-ratio", has_faults },
	{ "error-range", has_faults },	{ "export", has_address },
	{ "connections", has_address }, { "base", has_format },
	{ "base-format", has_format },
};

static const struct targets_fact features[] = {
	{ "flush", has_cache },
	{ "discard", has_discard },
	{ "zero-copy", has_zero_copy },
	{ "threads", has_threads },
};

static const struct targets_fact rule_keys[] = {
	{ "targets", has_always },	{ "max_size", has_always },
	{ "backing", has_file },	{ "backing_owner", has_file },
	{ "discard", has_discard },	{ "zero_copy", has_zero_copy },
	{ "nbd", has_address },		{ "nbd_timeout", has_address },
	{ "nbd_reissue", has_address }, { "formats", has_format },
	{ "image_chain", has_format },
};

static const struct {
	const char *key; /* of the JSON, and the head of the column */
	const char *head;
	const struct targets_fact *facts;
	size_t nr;
} columns[] = {
	{ "needs", "NEEDS", needs, ARRAY_SIZE(needs) },
	{ "keys", "OWN KEYS", own_keys, ARRAY_SIZE(own_keys) },
	{ "features", "FEATURES", features, ARRAY_SIZE(features) },
	{ "rule_keys", "RULE KEYS", rule_keys, ARRAY_SIZE(rule_keys) },
};

/* --- both ways of showing them ------------------------------------------------------------------
 */

static const char *targets_cell(size_t column, const struct catalog_target *t,
				char cell[TARGETS_CELL_SIZE])
{
	size_t n = 0;

	strcpy(cell, "-");
	for (size_t i = 0; i < columns[column].nr; i++) {
		const struct targets_fact *fact = &columns[column].facts[i];

		if (fact->has(t))
			n += (size_t)snprintf(cell + n, TARGETS_CELL_SIZE - n, "%s%s", n ? " " : "",
					      fact->word);
	}
	return cell;
}

static void targets_print(void)
{
	size_t widths[ARRAY_SIZE(columns)];
	char cell[TARGETS_CELL_SIZE];

	printf("%-8s", "NAME");
	for (size_t k = 0; k < ARRAY_SIZE(columns); k++) {
		widths[k] = strlen(columns[k].head);
		for (unsigned int id = TARGET_NONE + 1; id < TARGET_END; id++) {
			const struct catalog_target *t = catalog_target(id);

			if (strlen(targets_cell(k, t, cell)) > widths[k])
				widths[k] = strlen(cell);
		}
		printf("%-*s  ", (int)widths[k], columns[k].head);
	}
	printf("WHAT\n");
	for (unsigned int id = TARGET_NONE + 1; id < TARGET_END; id++) {
		const struct catalog_target *t = catalog_target(id);

		printf("%-8s", t->name);
		for (size_t k = 0; k < ARRAY_SIZE(columns); k++)
			printf("%-*s  ", (int)widths[k], targets_cell(k, t, cell));
		printf("%s\n", t->help);
	}
}

static struct json_object *targets_words(size_t column, const struct catalog_target *t)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < columns[column].nr; i++) {
		if (columns[column].facts[i].has(t))
			json_object_array_add(list, json_object_new_string(
							    columns[column].facts[i].word));
	}
	return list;
}

static void targets_print_json(void)
{
	auto_json struct json_object *list = json_object_new_array();

	for (unsigned int id = TARGET_NONE + 1; id < TARGET_END; id++) {
		const struct catalog_target *t = catalog_target(id);
		struct json_object *o;

		o = json_object_new_object();
		show_add_text(o, "name", t->name);
		show_add_text(o, "what", t->help);
		for (size_t k = 0; k < ARRAY_SIZE(columns); k++)
			json_object_object_add(o, columns[k].key, targets_words(k, t));
		json_object_array_add(list, o);
	}
	show_json_print(list);
}

int targets_main(int argc, char **argv)
{
	int c, status = CLI_DONE;
	bool json = false;

	while ((c = cli_next(&targets_page, argc, argv, &status)) != 0) {
		if (c < 0)
			return status;
		json = true;
	}
	if (optind < argc)
		return cli_misuse(&targets_page, "there is one word too many");
	if (json)
		targets_print_json();
	else
		targets_print();
	return cli_end(&targets_page);
}
