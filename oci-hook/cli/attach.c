/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/attach.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "driver/base/text.h"
#include "oci-hook/cli/cli.h"
#include "oci-hook/cli/show.h"
#include "oci-hook/cli/show_timing.h"
#include "oci-hook/client.h"
#include "oci-hook/containers.h"
#include "oci-hook/keys.h"
#include "oci-hook/keys_check.h"
#include "oci-hook/keys_files.h"
#include "oci-hook/keys_set.h"
#include "oci-hook/quote.h"
#include "oci-hook/volume_device.h"

static const struct cli_option attach_options[] = {
	{ "container", "ID", 'c', "the container: its name, or (the beginning of) its ID" },
	{ "host", NULL, 'H', "no container: a device for the host, /dev/ublkbN, or mounted there" },
	{ "block", "FILE", 'b', "with --host --volume: this empty file becomes the device" },
	{ "read-only", NULL, 'r', "short for --access ro" },
	{ "ephemeral", NULL, 'E', "short for --delta ephemeral" },
	{ "engine", "NAME", 'e', "ask this runtime only: crun or runc" },
	{ "root", "DIR", 'R', "the runtime's state directory" },
	{ "json", NULL, 'j', "the result as JSON" },
	{ "timing", NULL, 't', "what it took, step by step" },
};

static const struct cli_page attach_page = {
	.command = "attach",
	.synopsis =
		"attach --container ID --device PATH --target NAME [OPTION]...\n"
		"attach --container ID --mount PATH --fs NAME --target NAME [OPTION]...\n"
		"attach --container ID --volume NAME [--device PATH] [OPTION]...\n"
		"attach --host --target NAME [OPTION]...\n"
		"attach --host --mount DIR --fs NAME {--target NAME | --volume NAME} [OPTION]...\n"
		"attach --host --block FILE --volume NAME [OPTION]...",
	.about = "Gives a running container, or the host, a block device or a mounted file "
		 "system.",
	.options = attach_options,
	.nr_options = ARRAY_SIZE(attach_options),
	.keys = true,
};

struct attach_ask {
	const char *container;
	bool host;
	bool json;
	bool timed;
	struct containers_query query;
	struct attach_options keys;
};

static int attach_set_file(struct attach_options *o, const char *path, struct err *e)
{
	char real[PATH_MAX];

	/* As it is called from the root; what it is the helper finds out. */
	if (!realpath(path, real))
		return err_sys(e, errno, "block: cannot find the file");
	if (text_copy(o->path, sizeof(o->path), real) < 0)
		return err_set(e, ENAMETOOLONG, "block: the path is too long");
	o->on_file = true;
	return 0;
}

/* CLI_DONE, or the exit status when *ret_leave is set. */
static int attach_parse(struct attach_ask *a, int argc, char **argv, bool *ret_leave)
{
	struct err e;
	int c, status = CLI_DONE;

	*ret_leave = true;
	while ((c = cli_next(&attach_page, argc, argv, &status)) != 0) {
		int r = 0;

		if (c < 0)
			return status;
		if (c == 'c')
			a->container = optarg;
		else if (c == 'H')
			a->host = true;
		else if (c == 'b')
			r = attach_set_file(&a->keys, optarg, &e);
		else if (c == 'r')
			r = keys_set(&a->keys, KEY_ACCESS, "ro", &e);
		else if (c == 'E')
			r = keys_set(&a->keys, KEY_DELTA, "ephemeral", &e);
		else if (c == 'e')
			a->query.engine = optarg;
		else if (c == 'R')
			a->query.root = optarg;
		else if (c == 'j')
			a->json = true;
		else if (c == 't')
			a->timed = true;
		else
			r = keys_set(&a->keys, (enum catalog_key)(c - CLI_KEY_CODE), optarg, &e);
		if (r < 0)
			return cli_misuse(&attach_page, "%s", e.text);
	}
	if (optind < argc)
		return cli_misuse(&attach_page, "there is one word too many");
	if (!a->container == !a->host)
		return cli_misuse(&attach_page, "one of --container ID and --host is needed");
	keys_default_path(&a->keys);
	if (keys_check(&a->keys, a->host, &e) < 0)
		return cli_misuse(&attach_page, "%s", e.text);
	if (a->timed && a->keys.given[KEY_VOLUME])
		return cli_misuse(&attach_page, "--timing does not go with --volume");
	*ret_leave = false;
	return CLI_DONE;
}

static int attach_send(const struct attach_ask *a, const struct container *c, int place_fd,
		       const struct keys_files *files, struct wire_reply *ret,
		       struct wire_timing *ret_timing, struct err *e)
{
	struct wire_attach req = { 0 };

	text_copy(req.container, sizeof(req.container), c->id);
	text_copy(req.engine, sizeof(req.engine), c->engine);
	if (a->keys.given[KEY_VOLUME])
		return volume_device_claim(&a->keys, c->id, c->engine, place_fd, CLIENT_TIMEOUT_MS,
					   ret, e);
	keys_fill(&a->keys, a->host, &req);
	if (a->timed)
		req.flags |= WIRE_TIMED;
	return client_attach(&req, place_fd, files->fds, files->nr, CLIENT_TIMEOUT_MS, ret,
			     ret_timing, e);
}

/* Where it is to be: c, or the directory of the host, for as long as the helper needs it. */
static int attach_find_place(struct attach_ask *a, struct container *c, int *ret_dir_fd,
			     struct err *e)
{
	if (!a->host)
		return container_find(c, &a->query, a->container, e);
	return a->keys.filesystem || a->keys.on_file ? keys_files_open_host(&a->keys, ret_dir_fd, e)
						     : 0;
}

static int attach_ask(struct attach_ask *a, struct container *c, struct wire_reply *ret,
		      struct wire_timing *ret_timing, struct err *e)
{
	struct keys_files files = KEYS_FILES_INIT;
	auto_close int dir_fd = -1;
	int r;

	r = keys_files_open(&a->keys, &files, e);
	if (r == 0)
		r = attach_find_place(a, c, &dir_fd, e);
	if (r == 0)
		r = attach_send(a, c, a->host ? dir_fd : c->pidfd, &files, ret, ret_timing, e);
	keys_files_close(&files, r == 0);
	return r;
}

static void attach_print_json(const struct attach_ask *a, const struct container *c,
			      const struct wire_reply *reply, const struct wire_timing *timing,
			      int64_t client_us)
{
	auto_json struct json_object *o = json_object_new_object();
	char name[24];

	snprintf(name, sizeof(name), "ublkb%" PRIu32, reply->dev_id);
	show_add_text(o, "device", name);
	show_add_number(o, "dev_id", reply->dev_id);
	show_add_hex(o, "generation", reply->generation);
	show_add_number(o, "major", reply->major);
	show_add_number(o, "minor", reply->minor);
	show_add_bool(o, "host", a->host);
	show_add_text(o, "container", c->id);
	show_add_text(o, "path", a->keys.path);
	show_add_filesystem(o, a->keys.filesystem);
	show_add_text(o, "warning", reply->reason);
	if (a->timed)
		show_timing_add(o, timing, client_us);
	show_json_print(o);
}

static void attach_print(const struct attach_ask *a, const struct container *c,
			 const struct wire_reply *reply, const struct wire_timing *timing,
			 int64_t client_us)
{
	if (a->host && a->keys.filesystem)
		printf("ublkb%" PRIu32 " is mounted at %s\n", reply->dev_id, a->keys.path);
	else if (a->host && a->keys.on_file)
		printf("ublkb%" PRIu32 " is %s\n", reply->dev_id, a->keys.path);
	else if (a->host)
		printf("/dev/ublkb%" PRIu32 "\n", reply->dev_id);
	else if (a->keys.filesystem)
		printf("ublkb%" PRIu32 " is mounted at %s in container %s\n", reply->dev_id,
		       a->keys.path, c->id);
	else
		printf("ublkb%" PRIu32 " is %s in container %s\n", reply->dev_id, a->keys.path,
		       c->id);
	if (a->timed)
		show_timing_print(timing, client_us);
}

int attach_main(int argc, char **argv)
{
	auto_free struct attach_ask *a = calloc(1, sizeof(*a));
	auto_container struct container c = CONTAINER_INIT;
	struct wire_reply reply = { 0 };
	struct wire_timing timing = { 0 };
	char words[WIRE_REASON_SIZE];
	int64_t began_us = clock_now_us(), client_us;
	struct err e;
	bool leave;
	int r;

	if (!a)
		return CLI_FAILED;
	a->query.timeout_ms = CLIENT_TIMEOUT_MS;
	keys_init(&a->keys);
	r = attach_parse(a, argc, argv, &leave);
	if (leave)
		return r;
	r = attach_ask(a, &c, &reply, &timing, &e);
	client_us = clock_now_us() - began_us;
	if (r < 0)
		return cli_fail(&attach_page, &e);
	if (*reply.reason)
		fprintf(stderr, CLI_NAME ": attach: warning: %s\n",
			quote_text(words, sizeof(words), reply.reason));
	if (a->json)
		attach_print_json(a, &c, &reply, &timing, client_us);
	else
		attach_print(a, &c, &reply, &timing, client_us);
	return cli_end(&attach_page);
}
