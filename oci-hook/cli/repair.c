/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/repair.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "driver/base/cleanup.h"
#include "oci-hook/cli/cli.h"
#include "oci-hook/cli/find.h"
#include "oci-hook/cli/show.h"
#include "oci-hook/client.h"
#include "oci-hook/quote.h"

static const struct cli_option repair_options[] = {
	{ "container", "ID", 'c',
	  "see that this container can open its devices, instead; give access again" },
	{ "dry-run", NULL, 'n', "only say what would be done" },
	{ "json", NULL, 'j', "what became of each, as JSON" },
};

static const struct cli_page repair_page = {
	.command = "repair",
	.synopsis = "repair [--dry-run] [--json]\n"
		    "repair --container ID [--dry-run] [--json]",
	.about = "Removes what carries our mark and belongs to no device on record: devices,\n"
		 "workers, cgroups, device filters, nodes, files. With a container: sees that it\n"
		 "can open its devices. Only root may ask.",
	.options = repair_options,
	.nr_options = ARRAY_SIZE(repair_options),
};

struct repair_ask {
	const char *container; /* NULL: the whole machine */
	uint32_t flags;	       /* enum wire_repair_flag */
	bool json;
};

static const char *const repair_kinds[WIRE_ORPHAN_END] = {
	[WIRE_ORPHAN_NONE] = "?",	 [WIRE_ORPHAN_RECORD] = "record",
	[WIRE_ORPHAN_FILTER] = "filter", [WIRE_ORPHAN_NODE] = "node",
	[WIRE_ORPHAN_PLACE] = "place",	 [WIRE_ORPHAN_WORKER] = "worker",
	[WIRE_ORPHAN_DEVICE] = "device", [WIRE_ORPHAN_CGROUP] = "cgroup",
	[WIRE_ORPHAN_KEPT] = "kept",	 [WIRE_ORPHAN_COUNTERS] = "counters",
	[WIRE_ORPHAN_FILE] = "file",	 [WIRE_ORPHAN_ENTRY] = "entry",
};

static const struct {
	const char *key;
	const char *words;
} repair_outcomes[WIRE_OUTCOME_END] = {
	[WIRE_OUTCOME_NONE] = { "?", "?" },
	[WIRE_OUTCOME_FOUND] = { "found", "would be removed" },
	[WIRE_OUTCOME_REMOVED] = { "removed", "removed" },
	[WIRE_OUTCOME_STAYS] = { "stays", "could not be removed" },
};

/* "device ublkb3: it has our mark, and no record names it: removed" */
static void repair_print(const struct wire_orphan *o)
{
	char name[2 * WIRE_ORPHAN_NAME_SIZE], why[2 * WIRE_ORPHAN_WHY_SIZE];
	char failure[2 * WIRE_REASON_SIZE];

	printf("%s %s: %s: %s%s%s\n", repair_kinds[o->kind],
	       quote_text(name, sizeof(name), o->name), quote_text(why, sizeof(why), o->why),
	       repair_outcomes[o->outcome].words, *o->failure ? ": " : "",
	       quote_text(failure, sizeof(failure), o->failure));
}

static struct json_object *repair_json(const struct wire_orphan *o)
{
	struct json_object *row = json_object_new_object();

	show_add_text(row, "kind", repair_kinds[o->kind]);
	show_add_text(row, "name", o->name);
	show_add_text(row, "why", o->why);
	show_add_text(row, "outcome", repair_outcomes[o->outcome].key);
	show_add_text(row, "error", o->failure);
	return row;
}

static void repair_show(const struct client_orphans *found, bool json)
{
	auto_json struct json_object *all = json_object_new_array();

	if (!json && !found->nr)
		puts("nothing is there that belongs to nobody");
	for (size_t i = 0; i < found->nr; i++) {
		if (json)
			json_object_array_add(all, repair_json(&found->rows[i]));
		else
			repair_print(&found->rows[i]);
	}
	if (json)
		show_json_print(all);
}

/* --- of one container -------------------------------------------------------------------- */

static const struct {
	const char *key;
	const char *words;
} repair_accesses[WIRE_ACCESS_END] = {
	[WIRE_ACCESS_NONE] = { "?", "?" },
	[WIRE_ACCESS_OPEN] = { "open", "the container can open it" },
	[WIRE_ACCESS_REPAIRED] = { "repaired", "the container could not open it, and can again" },
	[WIRE_ACCESS_LOST] = { "lost", "the container cannot open it" },
	[WIRE_ACCESS_UNKNOWN] = { "unknown", "it could not be tried" },
};

/* "ublkb3 (/dev/data): the container could not open it, and can again: its device filter ..." */
static void repair_print_access(const struct wire_access *a)
{
	char path[2 * WIRE_PATH_SIZE], why[2 * WIRE_REASON_SIZE];

	printf("ublkb%" PRIu32 " (%s): %s%s%s\n", a->dev_id,
	       quote_text(path, sizeof(path), a->path), repair_accesses[a->outcome].words,
	       *a->why ? ": " : "", quote_text(why, sizeof(why), a->why));
}

static struct json_object *repair_access_json(const struct wire_access *a)
{
	struct json_object *row = json_object_new_object();
	char name[24];

	snprintf(name, sizeof(name), "ublkb%" PRIu32, a->dev_id);
	show_add_text(row, "device", name);
	show_add_hex(row, "generation", a->generation);
	show_add_text(row, "path", a->path);
	show_add_text(row, "outcome", repair_accesses[a->outcome].key);
	show_add_text(row, "why", a->why);
	return row;
}

static int repair_container(const struct repair_ask *ask)
{
	auto_client_accesses struct client_accesses seen = { 0 };
	auto_client_devices struct client_devices found = { 0 };
	auto_json struct json_object *all = json_object_new_array();
	int status;
	struct err e;

	if (find_in_container(&found, ask->container, NULL, CLIENT_TIMEOUT_MS, &e) < 0 ||
	    client_repair_container(found.rows[0].generation, ask->flags, CLIENT_TIMEOUT_MS, &seen,
				    &e) < 0)
		return cli_fail(&repair_page, &e);
	for (size_t i = 0; i < seen.nr; i++) {
		if (ask->json)
			json_object_array_add(all, repair_access_json(&seen.rows[i]));
		else
			repair_print_access(&seen.rows[i]);
	}
	if (ask->json)
		show_json_print(all);
	else if (!seen.nr)
		puts("it has no device whose access could be lost");
	status = cli_end(&repair_page);
	for (size_t i = 0; i < seen.nr; i++) {
		if (seen.rows[i].outcome == WIRE_ACCESS_LOST ||
		    seen.rows[i].outcome == WIRE_ACCESS_UNKNOWN)
			status = CLI_FAILED;
	}
	return status;
}

/* --- of the machine ------------------------------------------------------------------------ */

static int repair_machine(const struct repair_ask *ask)
{
	auto_client_orphans struct client_orphans found = { 0 };
	struct wire_reply reply = { 0 };
	char words[2 * WIRE_REASON_SIZE];
	int status;
	struct err e;

	if (client_repair(ask->flags, CLIENT_TIMEOUT_MS, &found, &reply, &e) < 0)
		return cli_fail(&repair_page, &e);
	repair_show(&found, ask->json);
	if (*reply.reason)
		fprintf(stderr, CLI_NAME ": repair: warning: %s\n",
			quote_text(words, sizeof(words), reply.reason));
	status = cli_end(&repair_page);
	for (size_t i = 0; i < found.nr; i++) {
		if (found.rows[i].outcome == WIRE_OUTCOME_STAYS)
			status = CLI_FAILED;
	}
	return status;
}

int repair_main(int argc, char **argv)
{
	struct repair_ask ask = { 0 };
	int c, status = CLI_DONE;

	while ((c = cli_next(&repair_page, argc, argv, &status)) != 0) {
		if (c < 0)
			return status;
		if (c == 'n')
			ask.flags |= WIRE_REPAIR_DRY_RUN;
		else if (c == 'c')
			ask.container = optarg;
		else
			ask.json = true;
	}
	if (optind < argc)
		return cli_misuse(&repair_page, "there is one word too many");
	return ask.container ? repair_container(&ask) : repair_machine(&ask);
}
