/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/resize.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "oci-hook/cli/cli.h"
#include "oci-hook/cli/find.h"
#include "oci-hook/cli/show.h"
#include "oci-hook/quote.h"

static const struct cli_option resize_options[] = {
	{ "size", "SIZE", 's', "what it is to have; without it all that is behind it" },
	{ "container", "ID", 'c', "with --device: the device there" },
	{ "device", "PATH", 'd', "path in the container" },
	{ "mount", "PATH", 'd', "the same: where its file system is mounted" },
	{ "json", NULL, 'j', "as JSON" },
};

static const struct cli_page resize_page = {
	.command = "resize",
	.synopsis = "resize DEVICE [--size SIZE] [--json]\n"
		    "resize --container ID --device PATH [--size SIZE] [--json]",
	.about = "Makes a device larger while it is used. What is behind it (its backing file) has "
		 "to\n"
		 "be as large already; an image grows with it. DEVICE is N, ublkbN, /dev/ublkbN or "
		 "a generation.",
	.options = resize_options,
	.nr_options = ARRAY_SIZE(resize_options),
};

struct resize_ask {
	const char *name;
	const char *container;
	const char *path;
	uint64_t bytes;
	bool json;
};

static int resize_parse(struct resize_ask *a, int argc, char **argv, bool *ret_leave)
{
	int c, status = CLI_DONE;
	char word[QUOTE_SIZE];

	*ret_leave = true;
	while ((c = cli_next(&resize_page, argc, argv, &status)) != 0) {
		if (c < 0)
			return status;
		if (c == 's' && (num_parse_size(optarg, &a->bytes) < 0 || !a->bytes))
			return cli_misuse(&resize_page,
					  "size %s is none; write bytes, or 64K, 10M, 1G, 1T",
					  quote_text(word, sizeof(word), optarg));
		if (c == 'c')
			a->container = optarg;
		else if (c == 'd')
			a->path = optarg;
		else if (c == 'j')
			a->json = true;
	}
	if (optind < argc)
		a->name = argv[optind++];
	if (optind < argc)
		return cli_misuse(&resize_page, "there is one word too many");
	if (!a->container != !a->path || !a->container == !a->name)
		return cli_misuse(&resize_page,
				  "either DEVICE, or --container ID and --device PATH is needed");
	*ret_leave = false;
	return CLI_DONE;
}

static void resize_print_json(const struct wire_device *row, const struct wire_upgraded *done)
{
	auto_json struct json_object *o = show_outcome(row, 0, NULL);

	show_add_number(o, "size_bytes", done->size_bytes);
	show_add_number(o, "size_bytes_before", row->size_bytes);
	show_add_number(o, "pause_us", done->pause_us);
	show_json_print(o);
}

int resize_main(int argc, char **argv)
{
	struct resize_ask a = { 0 };
	struct wire_upgraded done;
	struct wire_device row;
	char size[NUM_SIZE_TEXT], before[NUM_SIZE_TEXT];
	struct err e;
	bool leave;
	int r;

	r = resize_parse(&a, argc, argv, &leave);
	if (leave)
		return r;
	if (find_either(&row, a.name, a.container, a.path, CLIENT_TIMEOUT_MS, &e) < 0 ||
	    client_resize(row.generation, a.bytes, CLIENT_TIMEOUT_MS, &done, &e) < 0)
		return cli_fail(&resize_page, &e);
	if (a.json)
		resize_print_json(&row, &done);
	else if (done.pause_us)
		printf("ublkb%" PRIu32 ": %s, it was %s; after a pause of %.1f ms\n", row.dev_id,
		       num_format_size(done.size_bytes, size),
		       num_format_size(row.size_bytes, before), done.pause_us / 1000.0);
	else
		printf("ublkb%" PRIu32 ": %s, as before\n", row.dev_id,
		       num_format_size(done.size_bytes, size));
	return cli_end(&resize_page);
}
