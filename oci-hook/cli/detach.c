/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/detach.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "driver/base/cleanup.h"
#include "oci-hook/cli/cli.h"
#include "oci-hook/cli/find.h"
#include "oci-hook/quote.h"

static const struct cli_option detach_options[] = {
	{ "container", "ID", 'c',
	  "the container, running or not; the beginning of its ID is enough" },
	{ "device", "PATH", 'd', "the device at this path in the container" },
	{ "all", NULL, 'a', "all devices of the container" },
	{ "host", NULL, 'H', "DEVICE is one of the host, from attach --host" },
	{ "force", NULL, 'f', "even if it is open or mounted: what is not written is lost" },
};

static const struct cli_page detach_page = {
	.command = "detach",
	.synopsis = "detach --container ID (--device PATH | --all) [--force]\n"
		    "detach [--host] DEVICE [--force]",
	.about = "Takes a device away. DEVICE is N, ublkbN, /dev/ublkbN or a generation.",
	.options = detach_options,
	.nr_options = ARRAY_SIZE(detach_options),
};

struct detach_ask {
	const char *container;
	const char *path;
	const char *name;
	bool all;
	bool host;
	bool force;
};

static int detach_parse(struct detach_ask *d, int argc, char **argv, bool *ret_leave)
{
	int c, status = CLI_DONE;

	*ret_leave = true;
	while ((c = cli_next(&detach_page, argc, argv, &status)) != 0) {
		if (c < 0)
			return status;
		if (c == 'c')
			d->container = optarg;
		else if (c == 'd')
			d->path = optarg;
		else if (c == 'a')
			d->all = true;
		else if (c == 'H')
			d->host = true;
		else
			d->force = true;
	}
	if (optind < argc)
		d->name = argv[optind++];
	if (optind < argc)
		return cli_misuse(&detach_page, "there is one word too many");
	if (!d->container == !d->name)
		return cli_misuse(&detach_page, "one of --container ID and DEVICE is needed");
	if (d->container && (d->host || !d->path == !d->all))
		return cli_misuse(&detach_page, "with --container, one of --device PATH and --all "
						"is needed, and not --host");
	if (d->name && (d->path || d->all))
		return cli_misuse(&detach_page, "--device and --all go with --container");
	*ret_leave = false;
	return CLI_DONE;
}

static int detach_find(struct client_devices *ret, const struct detach_ask *d, struct err *e)
{
	struct wire_device *row;
	int r;

	if (d->container)
		return find_in_container(ret, d->container, d->path, CLIENT_TIMEOUT_MS, e);
	row = calloc(1, sizeof(*row));
	if (!row)
		return err_sys(e, ENOMEM, "cannot look for the device");
	ret->rows = row;
	r = find_by_name(row, d->name, CLIENT_TIMEOUT_MS, e);
	if (r < 0)
		return r;
	if (d->host && !(row->flags & WIRE_HOST))
		return err_set(e, EINVAL, "ublkb%" PRIu32 " is a container's, not the host's",
			       row->dev_id);
	ret->nr = 1;
	return 0;
}

int detach_main(int argc, char **argv)
{
	auto_client_devices struct client_devices found = { 0 };
	struct detach_ask d = { 0 };
	int r, status = CLI_DONE;
	struct err e;
	bool leave;

	r = detach_parse(&d, argc, argv, &leave);
	if (leave)
		return r;
	if (detach_find(&found, &d, &e) < 0)
		return cli_fail(&detach_page, &e);
	for (size_t i = 0; i < found.nr; i++) {
		struct wire_reply reply = { 0 };
		char words[WIRE_REASON_SIZE];

		r = client_detach(found.rows[i].generation, d.force ? WIRE_DETACH_FORCE : 0,
				  CLIENT_TIMEOUT_MS, &reply, &e);
		if (r < 0) {
			err_prefix(&e, r, "ublkb%" PRIu32, found.rows[i].dev_id);
			status = cli_fail(&detach_page, &e);
		} else if (*reply.reason) {
			fprintf(stderr, CLI_NAME ": detach: warning: %s\n",
				quote_text(words, sizeof(words), reply.reason));
		}
	}
	return status;
}
