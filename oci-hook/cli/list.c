/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/list.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "oci-hook/cli/cli.h"
#include "oci-hook/cli/find.h"
#include "oci-hook/cli/show.h"
#include "oci-hook/client.h"
#include "oci-hook/quote.h"
#include "targets/catalog.h"

#define LIST_CELL_SIZE 512
#define LIST_ID_SHORT 12 /* of an engine's 64 hex digits */
#define LIST_ID_LONG 64

static const struct cli_option list_options[] = {
	{ "container", "ID", 'c',
	  "only those of this container: its name, or (the beginning of) its ID" },
	{ "json", NULL, 'j', "everything, as JSON" },
};

static const struct cli_page list_page = {
	.command = "list",
	.synopsis = "list [--container ID] [--json]",
	.about = "Lists the devices you may see: root all, others what they attached.",
	.options = list_options,
	.nr_options = ARRAY_SIZE(list_options),
};

static void cell_device(const struct wire_device *d, char *cell)
{
	snprintf(cell, LIST_CELL_SIZE, "ublkb%" PRIu32, d->dev_id);
}

static void cell_container(const struct wire_device *d, char *cell)
{
	if (d->flags & WIRE_NO_CONTAINER) {
		strcpy(cell, d->flags & WIRE_HOST ? "(host)" : "(made ahead)");
		return;
	}
	quote_text(cell, LIST_CELL_SIZE, d->container);
	if (strlen(cell) == LIST_ID_LONG && strspn(cell, "0123456789abcdef") == LIST_ID_LONG)
		cell[LIST_ID_SHORT] = '\0';
}

static void cell_path(const struct wire_device *d, char *cell)
{
	size_t n;

	if (d->flags & WIRE_HOST && !d->filesystem && !(d->flags & WIRE_CLAIMED))
		snprintf(cell, LIST_CELL_SIZE, "/dev/ublkb%" PRIu32, d->dev_id);
	else
		quote_text(cell, LIST_CELL_SIZE, d->path);
	if (catalog_filesystem(d->filesystem)) {
		n = strlen(cell);
		snprintf(cell + n, LIST_CELL_SIZE - n, " (%s)", catalog_filesystem(d->filesystem));
	}
}

static void cell_target(const struct wire_device *d, char *cell)
{
	strcpy(cell, show_target(d->target));
}

static void cell_size(const struct wire_device *d, char *cell)
{
	char size[NUM_SIZE_TEXT];

	strcpy(cell, num_format_size(d->size_bytes, size));
}

static void cell_access(const struct wire_device *d, char *cell)
{
	strcpy(cell, d->flags & WIRE_NO_ACCESS ? "no access" : show_access(d->flags));
}

static void cell_worker(const struct wire_device *d, char *cell)
{
	if (d->worker_pid > 0)
		snprintf(cell, LIST_CELL_SIZE, "%" PRId32, d->worker_pid);
	else
		strcpy(cell, "-");
}

static void cell_uid(const struct wire_device *d, char *cell)
{
	snprintf(cell, LIST_CELL_SIZE, "%" PRIu32, d->worker_uid);
}

static void cell_state(const struct wire_device *d, char *cell)
{
	strcpy(cell, show_state(d->state));
}

static const struct {
	const char *name;
	void (*cell)(const struct wire_device *d, char *cell);
} columns[] = {
	{ "DEVICE", cell_device }, { "CONTAINER", cell_container },
	{ "PATH", cell_path },	   { "TARGET", cell_target },
	{ "SIZE", cell_size },	   { "ACCESS", cell_access },
	{ "WORKER", cell_worker }, { "UID", cell_uid },
	{ "STATE", cell_state },
};

static void list_print_row(const struct wire_device *d, const size_t *widths)
{
	char cell[LIST_CELL_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
		if (d)
			columns[i].cell(d, cell);
		else
			strcpy(cell, columns[i].name);
		printf("%-*s%s", i + 1 < ARRAY_SIZE(columns) ? (int)widths[i] : 0, cell,
		       i + 1 < ARRAY_SIZE(columns) ? "  " : "\n");
	}
}

static void list_print(const struct client_devices *d)
{
	size_t widths[ARRAY_SIZE(columns)];
	char cell[LIST_CELL_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
		widths[i] = strlen(columns[i].name);
		for (size_t k = 0; k < d->nr; k++) {
			columns[i].cell(&d->rows[k], cell);
			if (strlen(cell) > widths[i])
				widths[i] = strlen(cell);
		}
	}
	list_print_row(NULL, widths);
	for (size_t k = 0; k < d->nr; k++)
		list_print_row(&d->rows[k], widths);
}

static void list_print_json(const struct client_devices *d)
{
	auto_json struct json_object *list = json_object_new_array();

	for (size_t k = 0; k < d->nr; k++)
		json_object_array_add(list, show_device(&d->rows[k]));
	show_json_print(list);
}

/* Leaves those of one container; a list may be empty, so an unknown ID is no error. */
static void list_filter(struct client_devices *d, const char *id)
{
	char named[WIRE_CONTAINER_SIZE];
	size_t nr = 0;
	int best = 0;

	id = find_container_id(d, id, named);
	for (size_t k = 0; k < d->nr; k++) {
		int match = client_device_matches(&d->rows[k], id);

		best = match > best ? match : best;
	}
	for (size_t k = 0; k < d->nr; k++) {
		if (best && client_device_matches(&d->rows[k], id) == best)
			d->rows[nr++] = d->rows[k];
	}
	d->nr = nr;
}

int list_run(const struct list_view *view, int argc, char **argv)
{
	auto_client_devices struct client_devices d = { 0 };
	const char *container = NULL;
	int c, status = CLI_DONE;
	bool json = false;
	struct err e;

	while ((c = cli_next(view->page, argc, argv, &status)) != 0) {
		if (c < 0)
			return status;
		if (c == 'c')
			container = optarg;
		else
			json = true;
	}
	if (optind < argc)
		return cli_misuse(view->page, "there is one word too many");
	if (client_list(&d, CLIENT_TIMEOUT_MS, &e) < 0)
		return cli_fail(view->page, &e);
	if (container)
		list_filter(&d, container);
	if (json)
		view->print_json(&d);
	else
		view->print(&d);
	return cli_end(view->page);
}

int list_main(int argc, char **argv)
{
	static const struct list_view view = { &list_page, list_print, list_print_json };

	return list_run(&view, argc, argv);
}
