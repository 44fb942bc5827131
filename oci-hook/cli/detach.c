/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/detach.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "oci-hook/cli/cli.h"
#include "oci-hook/cli/find.h"
#include "oci-hook/cli/show.h"
#include "oci-hook/cli/show_timing.h"
#include "oci-hook/quote.h"

/* Stopping a device is waiting for other processors, mostly. The helper grants a user 16. */
#define DETACH_AT_ONCE 8

static const struct cli_option detach_options[] = {
	{ "container", "ID", 'c',
	  "the container, running or not; its name, or (the beginning of) its ID" },
	{ "device", "PATH", 'd', "the device at this path in the container" },
	{ "mount", "PATH", 'm',
	  "the file system mounted at this path, in the container or with --host on the host" },
	{ "block", "FILE", 'b', "with --host: the device that this file has become" },
	{ "all", NULL, 'a', "all devices of the container; without one, all of yours" },
	{ "host", NULL, 'H', "of the host, from attach --host" },
	{ "force", NULL, 'f', "even if it is open or mounted: what is not written is lost" },
	{ "json", NULL, 'j', "what became of each, as JSON" },
	{ "timing", NULL, 't', "what it took, step by step" },
};

static const struct cli_page detach_page = {
	.command = "detach",
	.synopsis = "detach --container ID (--device PATH | --mount PATH | --all) [OPTION]...\n"
		    "detach --host (--mount DIR | --block FILE) [OPTION]...\n"
		    "detach [--host] DEVICE... [OPTION]...\n"
		    "detach [--host] --all [OPTION]...",
	.about = "Takes devices away. DEVICE is N, ublkbN, /dev/ublkbN or a generation.",
	.options = detach_options,
	.nr_options = ARRAY_SIZE(detach_options),
};

struct detach_ask {
	const char *container;
	const char *path;
	char *const *names; /* as they were given */
	int nr_names;
	bool all;
	bool host;
	bool force;
	bool json;
	bool timed;
};

static int detach_parse(struct detach_ask *d, int argc, char **argv, bool *ret_leave)
{
	int c, status = CLI_DONE;
	bool mounted = false, on_host = false;

	*ret_leave = true;
	while ((c = cli_next(&detach_page, argc, argv, &status)) != 0) {
		if (c < 0)
			return status;
		if (c == 'c')
			d->container = optarg;
		else if (c == 'd' || c == 'm' || c == 'b')
			d->path = optarg;
		else if (c == 'a')
			d->all = true;
		else if (c == 'H')
			d->host = true;
		else if (c == 'f')
			d->force = true;
		else if (c == 'j')
			d->json = true;
		else
			d->timed = true;
		if (c == 'd' || c == 'm' || c == 'b')
			on_host = c == 'b', mounted = c != 'd';
	}
	d->names = argv + optind;
	d->nr_names = argc - optind;
	if (!!d->container + (d->nr_names > 0) + (!d->container && d->all) + (d->host && mounted) !=
	    1)
		return cli_misuse(&detach_page, "one of --container ID, --host --mount DIR, "
						"DEVICE and --all is needed");
	if (d->container && (d->host || on_host || !d->path == !d->all))
		return cli_misuse(&detach_page, "with --container, one of --device PATH, --mount "
						"PATH and --all is needed, and not --host");
	if (d->path && !d->container && !(d->host && mounted))
		return cli_misuse(&detach_page, "--device goes with --container, and --mount with "
						"that or --host");
	*ret_leave = false;
	return CLI_DONE;
}

/* All there are, or the host's; but what was made ahead is for device remove. */
static int detach_find_all(struct client_devices *ret, const struct detach_ask *d, struct err *e)
{
	size_t nr = 0;
	int r;

	r = client_list(ret, CLIENT_TIMEOUT_MS, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ret->nr; i++) {
		uint32_t flags = ret->rows[i].flags;

		if (d->host ? flags & WIRE_HOST : !(flags & WIRE_AHEAD))
			ret->rows[nr++] = ret->rows[i];
	}
	ret->nr = nr;
	return 0;
}

/* Is each what it was said to be, and said once? */
static int detach_find_names(struct client_devices *ret, const struct detach_ask *d, struct err *e)
{
	auto_client_devices struct client_devices all = { 0 };
	struct wire_device *row;
	int r;

	r = client_list(&all, CLIENT_TIMEOUT_MS, e);
	if (r < 0)
		return r;
	ret->rows = calloc((size_t)d->nr_names, sizeof(*ret->rows));
	if (!ret->rows)
		return err_sys(e, ENOMEM, "cannot look for the devices");
	for (int i = 0; i < d->nr_names; i++) {
		row = &ret->rows[ret->nr];
		r = find_among(row, &all, d->names[i], e);
		if (r < 0)
			return r;
		if (d->host && !(row->flags & WIRE_HOST))
			return err_set(e, EINVAL,
				       "ublkb%" PRIu32 " is a container's, not the host's",
				       row->dev_id);
		for (size_t j = 0; j < ret->nr; j++) {
			if (ret->rows[j].generation == row->generation)
				return err_set(e, EINVAL, "ublkb%" PRIu32 " was named twice",
					       row->dev_id);
		}
		ret->nr++;
	}
	return 0;
}

static int detach_find_on_host(struct client_devices *ret, const char *path, struct err *e)
{
	auto_client_devices struct client_devices all = { 0 };
	int r;

	r = client_list(&all, CLIENT_TIMEOUT_MS, e);
	if (r < 0)
		return r;
	ret->rows = calloc(1, sizeof(*ret->rows));
	if (!ret->rows)
		return err_sys(e, ENOMEM, "cannot look for the device");
	r = find_on_host(ret->rows, &all, path, e);
	ret->nr = r == 0;
	return r;
}

static int detach_find(struct client_devices *ret, const struct detach_ask *d, struct err *e)
{
	if (d->container)
		return find_in_container(ret, d->container, d->path, CLIENT_TIMEOUT_MS, e);
	if (d->path)
		return detach_find_on_host(ret, d->path, e);
	return d->all ? detach_find_all(ret, d, e) : detach_find_names(ret, d, e);
}

/* What becomes of one device. */
struct detach_result {
	const struct wire_device *row;
	struct json_object *lost; /* what the helper says is; the result's */
	struct client_call call;
	struct wire_reply reply;
	struct wire_timing timing;
	int64_t client_us;
	struct err e;
	int r;
};

/* Said at once: it is still to be done. */
static void detach_lost(void *arg, const char *text)
{
	struct detach_result *result = arg;
	char words[2 * WIRE_REASON_SIZE];

	quote_text(words, sizeof(words), text);
	fprintf(stderr, CLI_NAME ": detach: ublkb%" PRIu32 ": %s\n", result->row->dev_id, words);
	json_object_array_add(result->lost, json_object_new_string(words));
}

static void detach_begin(struct detach_result *result, const struct wire_device *row,
			 uint32_t flags)
{
	*result = (struct detach_result){
		.row = row,
		.lost = json_object_new_array(),
		.call.fd = -1,
	};
	result->r = client_detach_begin(&result->call, row->generation, flags, CLIENT_TIMEOUT_MS,
					&result->e);
	result->call.lost = detach_lost;
	result->call.arg = result;
}

static void detach_end(struct detach_result *result, int64_t began_us)
{
	if (result->r == 0)
		result->r = client_detach_end(&result->call, &result->reply, &result->timing,
					      &result->e);
	result->client_us = clock_now_us() - began_us;
}

static void detach_print(const struct detach_ask *d, const struct wire_device *row,
			 struct detach_result *result)
{
	char words[WIRE_REASON_SIZE];

	if (result->r < 0) {
		err_prefix(&result->e, result->r, "ublkb%" PRIu32, row->dev_id);
		cli_fail(&detach_page, &result->e);
		return;
	}
	if (*result->reply.reason)
		fprintf(stderr, CLI_NAME ": detach: warning: %s\n",
			quote_text(words, sizeof(words), result->reply.reason));
	if (d->timed && !d->json) {
		printf("ublkb%" PRIu32 "\n", row->dev_id);
		show_timing_print(&result->timing, result->client_us);
	}
}

static struct json_object *detach_json(const struct detach_ask *d, const struct wire_device *row,
				       const struct detach_result *result)
{
	struct json_object *o = show_outcome(row, result->r, &result->e);

	show_add_text(o, "warning", result->reply.reason);
	json_object_object_add(o, "lost", result->lost);
	if (d->timed && result->r == 0)
		show_timing_add(o, &result->timing, result->client_us);
	return o;
}

/* Takes away rows[0 .. nr): so many are under way at once, and told of in their order. */
static int detach_run(const struct detach_ask *d, const struct client_devices *found,
		      int64_t began_us, struct json_object *all)
{
	uint32_t flags = (d->force ? WIRE_DETACH_FORCE | WIRE_DETACH_TELL : 0u) |
			 (d->timed ? WIRE_DETACH_TIMED : 0u);
	struct detach_result flight[DETACH_AT_ONCE];
	size_t asked = 0;
	int status = CLI_DONE;

	for (size_t i = 0; i < found->nr; i++) {
		struct detach_result *result = &flight[i % DETACH_AT_ONCE];

		for (; asked < found->nr && asked < i + DETACH_AT_ONCE; asked++)
			detach_begin(&flight[asked % DETACH_AT_ONCE], &found->rows[asked], flags);
		detach_end(result, began_us);
		detach_print(d, &found->rows[i], result);
		json_object_array_add(all, detach_json(d, &found->rows[i], result));
		if (result->r < 0)
			status = CLI_FAILED;
	}
	return status;
}

int detach_main(int argc, char **argv)
{
	auto_client_devices struct client_devices found = { 0 };
	auto_json struct json_object *all = json_object_new_array();
	int64_t began_us = clock_now_us();
	struct detach_ask d = { 0 };
	int r, status;
	struct err e;
	bool leave;

	r = detach_parse(&d, argc, argv, &leave);
	if (leave)
		return r;
	if (detach_find(&found, &d, &e) < 0)
		return cli_fail(&detach_page, &e);
	status = detach_run(&d, &found, began_us, all);
	if (d.json)
		show_json_print(all);
	r = cli_end(&detach_page);
	return status == CLI_DONE ? r : status;
}
