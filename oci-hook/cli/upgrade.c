/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/upgrade.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "driver/base/cleanup.h"
#include "oci-hook/cli/cli.h"
#include "oci-hook/cli/find.h"
#include "oci-hook/cli/show.h"

static const struct cli_option upgrade_options[] = {
	{ "all", NULL, 'a', "all devices that are served" },
	{ "json", NULL, 'j', "what became of each, as JSON" },
};

static const struct cli_page upgrade_page = {
	.command = "upgrade",
	.synopsis = "upgrade DEVICE... [--json]\n"
		    "upgrade --all [--json]",
	.about = "Gives devices new workers while they are used, of the program the helper has.\n"
		 "DEVICE is N, ublkbN, /dev/ublkbN or a generation.",
	.options = upgrade_options,
	.nr_options = ARRAY_SIZE(upgrade_options),
};

static int upgrade_find(struct client_devices *ret, char *const *names, int nr_names, struct err *e)
{
	auto_client_devices struct client_devices all = { 0 };
	int r;

	r = client_list(&all, CLIENT_TIMEOUT_MS, e);
	if (r < 0)
		return r;
	ret->rows = calloc(all.nr + (size_t)nr_names + 1, sizeof(*ret->rows));
	if (!ret->rows)
		return err_sys(e, ENOMEM, "cannot look for the devices");
	for (size_t i = 0; !nr_names && i < all.nr; i++) {
		if (all.rows[i].state == WIRE_STATE_LIVE && !(all.rows[i].flags & WIRE_CLAIMED))
			ret->rows[ret->nr++] = all.rows[i];
	}
	for (int i = 0; i < nr_names; i++) {
		r = find_among(&ret->rows[ret->nr++], &all, names[i], e);
		if (r < 0)
			return r;
	}
	return 0;
}

static struct json_object *upgrade_json(const struct wire_device *row,
					const struct wire_upgraded *done, int r,
					const struct err *e)
{
	struct json_object *o = show_outcome(row, r, e);

	if (r == 0) {
		show_add_number(o, "old_pid", (uint64_t)done->old_pid);
		show_add_number(o, "new_pid", (uint64_t)done->new_pid);
		show_add_number(o, "pause_us", done->pause_us);
	}
	return o;
}

static int upgrade_one(const struct wire_device *row, bool json, struct json_object *all)
{
	struct wire_upgraded done;
	struct err e = { "" };
	int r;

	r = client_upgrade(row->generation, CLIENT_TIMEOUT_MS, &done, &e);
	json_object_array_add(all, upgrade_json(row, &done, r, &e));
	if (r < 0) {
		err_prefix(&e, r, "ublkb%" PRIu32, row->dev_id);
		return cli_fail(&upgrade_page, &e);
	}
	if (!json)
		printf("ublkb%" PRIu32 ": worker %" PRId32 " serves it instead of %" PRId32
		       ", after a pause of %.1f ms\n",
		       row->dev_id, done.new_pid, done.old_pid, done.pause_us / 1000.0);
	return CLI_DONE;
}

int upgrade_main(int argc, char **argv)
{
	auto_client_devices struct client_devices found = { 0 };
	auto_json struct json_object *results = json_object_new_array();
	bool all = false, json = false;
	int c, r, status = CLI_DONE;
	struct err e;

	while ((c = cli_next(&upgrade_page, argc, argv, &status)) != 0) {
		if (c < 0)
			return status;
		all |= c == 'a';
		json |= c == 'j';
	}
	if (all == (argc > optind))
		return cli_misuse(&upgrade_page, "one of DEVICE and --all is needed");
	if (upgrade_find(&found, argv + optind, argc - optind, &e) < 0)
		return cli_fail(&upgrade_page, &e);
	for (size_t i = 0; i < found.nr; i++) {
		if (upgrade_one(&found.rows[i], json, results) != CLI_DONE)
			status = CLI_FAILED;
	}
	if (json)
		show_json_print(results);
	r = cli_end(&upgrade_page);
	return status == CLI_DONE ? r : status;
}
