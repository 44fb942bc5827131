/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/device.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "driver/base/text.h"
#include "oci-hook/cli/cli.h"
#include "oci-hook/cli/device_restore.h"
#include "oci-hook/cli/list.h"
#include "oci-hook/cli/show.h"
#include "oci-hook/client.h"
#include "oci-hook/keys.h"
#include "oci-hook/keys_check.h"
#include "oci-hook/keys_files.h"
#include "oci-hook/keys_set.h"
#include "oci-hook/quote.h"

#define DEVICE_DIR "/dev/"
#define DEVICE_KIND "ublk-oci.io/device" /* what engines call them */
#define DEVICE_JSON_OPTION                                                                         \
	{                                                                                          \
		"json", NULL, 'j', "the result as JSON"                                            \
	}

static const struct cli_option create_options[] = {
	{ "read-only", NULL, 'r', "short for --access ro" },
	DEVICE_JSON_OPTION,
};

static const struct cli_page create_page = {
	.command = "device create",
	.synopsis = "device create NAME --target NAME [OPTION]...",
	.about = "Makes a device for a container to come, which finds it at /dev/NAME:\n"
		 "podman run --device " DEVICE_KIND "=NAME ...",
	.options = create_options,
	.nr_options = ARRAY_SIZE(create_options),
	.keys = true,
};

static const struct cli_option list_options[] = { DEVICE_JSON_OPTION };

static const struct cli_page list_page = {
	.command = "device list",
	.synopsis = "device list [--json]",
	.about = "Lists the devices made ahead that you may see, and which containers have them.",
	.options = list_options,
	.nr_options = ARRAY_SIZE(list_options),
};

static const struct cli_option remove_options[] = {
	{ "all", NULL, 'a', "all that are yours; for root, all there are" },
	{ "force", NULL, 'f', "even if a container has it: what is not written is lost" },
};

static const struct cli_page remove_page = {
	.command = "device remove",
	.synopsis = "device remove NAME... [--force]\n"
		    "device remove --all [--force]",
	.about = "Removes devices that were made ahead.",
	.options = remove_options,
	.nr_options = ARRAY_SIZE(remove_options),
};

static const char *device_name(const struct wire_device *d)
{
	return strncmp(d->path, DEVICE_DIR, strlen(DEVICE_DIR)) ? d->path
								: d->path + strlen(DEVICE_DIR);
}

/* --- create ------------------------------------------------------------------------------ */

int device_set_name(struct attach_options *keys, const char *name, struct err *e)
{
	char word[QUOTE_SIZE], path[WIRE_PATH_SIZE];

	if (!text_device_name_ok(name))
		return err_set(e, EINVAL,
			       "\"%s\" is no name: 1 to %d characters of A-Z a-z 0-9 _ . : -, the "
			       "first and the last a letter or a digit",
			       quote_text(word, sizeof(word), name), TEXT_DEVICE_NAME_MAX);
	if (keys->given[KEY_PATH])
		return err_set(e, EINVAL,
			       "--device does not go with it: the container finds it at " DEVICE_DIR
			       "NAME");
	snprintf(path, sizeof(path), DEVICE_DIR "%s", name);
	return keys_set(keys, KEY_PATH, path, e);
}

/* CLI_DONE, or the exit status when *ret_leave is set. */
static int create_parse(struct attach_options *keys, bool *ret_json, int argc, char **argv,
			bool *ret_leave)
{
	struct err e;
	int c, r = 0, status = CLI_DONE;

	*ret_leave = true;
	while (r == 0 && (c = cli_next(&create_page, argc, argv, &status)) != 0) {
		if (c < 0)
			return status;
		if (c == 'r')
			r = keys_set(keys, KEY_ACCESS, "ro", &e);
		else if (c == 'j')
			*ret_json = true;
		else
			r = keys_set(keys, (enum catalog_key)(c - CLI_KEY_CODE), optarg, &e);
	}
	if (r == 0 && argc - optind != 1)
		return cli_misuse(&create_page, "one NAME is needed");
	if (r == 0)
		r = device_set_name(keys, argv[optind], &e);
	if (r == 0 && keys->given[KEY_VOLUME])
		r = err_set(&e, EINVAL, "a volume has its own command: " CLI_NAME " volume attach");
	if (r == 0)
		r = keys_check(keys, false, &e);
	if (r < 0)
		return cli_misuse(&create_page, "%s", e.text);
	*ret_leave = false;
	return CLI_DONE;
}

int device_make(const struct attach_options *keys, struct wire_reply *ret, struct err *e)
{
	struct wire_attach req = { 0 };
	struct keys_files files = KEYS_FILES_INIT;
	int r;

	if (keys->ephemeral)
		return err_set(e, EINVAL,
			       "what is made ahead is made again after a start: its delta is kept");
	r = keys_files_open(keys, &files, e);
	if (r < 0)
		return r;
	keys_fill(keys, false, &req);
	req.flags |= WIRE_AHEAD;
	r = client_attach(&req, -1, files.fds, files.nr, CLIENT_TIMEOUT_MS, ret, NULL, e);
	keys_files_close(&files, r == 0);
	return r;
}

static void create_print_json(const char *name, const struct wire_reply *reply)
{
	auto_json struct json_object *o = json_object_new_object();
	char text[QUOTE_SIZE];

	show_add_text(o, "name", name);
	snprintf(text, sizeof(text), DEVICE_KIND "=%s", name);
	show_add_text(o, "cdi", text);
	snprintf(text, sizeof(text), "ublkb%" PRIu32, reply->dev_id);
	show_add_text(o, "device", text);
	show_add_number(o, "dev_id", reply->dev_id);
	show_add_hex(o, "generation", reply->generation);
	show_add_text(o, "warning", reply->reason);
	show_json_print(o);
}

static int device_create(int argc, char **argv)
{
	auto_free struct attach_options *keys = calloc(1, sizeof(*keys));
	struct wire_reply reply = { 0 };
	char words[WIRE_REASON_SIZE];
	bool json = false, leave;
	const char *name;
	struct err e;
	int r;

	if (!keys)
		return CLI_FAILED;
	keys_init(keys);
	r = create_parse(keys, &json, argc, argv, &leave);
	if (leave)
		return r;
	if (device_make(keys, &reply, &e) < 0)
		return cli_fail(&create_page, &e);
	name = keys->path + strlen(DEVICE_DIR);
	if (*reply.reason)
		fprintf(stderr, CLI_NAME ": device create: warning: %s\n",
			quote_text(words, sizeof(words), reply.reason));
	if (json)
		create_print_json(name, &reply);
	else
		printf("%s is ublkb%" PRIu32 ", for --device " DEVICE_KIND "=%s\n", name,
		       reply.dev_id, name);
	return cli_end(&create_page);
}

/* --- list -------------------------------------------------------------------------------- */

/* What containers have of it comes behind it in the list. */
static bool list_is_claim(const struct client_devices *d, size_t device, size_t i)
{
	return i < d->nr && d->rows[i].flags & WIRE_CLAIMED &&
	       d->rows[i].dev_id == d->rows[device].dev_id;
}

static void list_print(const struct client_devices *d)
{
	char word[QUOTE_SIZE], size[NUM_SIZE_TEXT], device[24];

	printf("%-24s %-10s %-8s %-8s %-6s %-11s %s\n", "NAME", "DEVICE", "TARGET", "SIZE",
	       "ACCESS", "STATE", "CONTAINERS");
	for (size_t i = 0; i < d->nr; i++) {
		const struct wire_device *row = &d->rows[i];

		if (!(row->flags & WIRE_AHEAD))
			continue;
		snprintf(device, sizeof(device), "ublkb%" PRIu32, row->dev_id);
		printf("%-24s %-10s %-8s %-8s %-6s %-11s",
		       quote_text(word, sizeof(word), device_name(row)), device,
		       show_target(row->target), num_format_size(row->size_bytes, size),
		       show_access(row->flags), show_state(row->state));
		if (!list_is_claim(d, i, i + 1))
			printf(" -");
		for (size_t k = i + 1; list_is_claim(d, i, k); k++)
			printf("%s%s", k == i + 1 ? " " : ",",
			       quote_text(word, sizeof(word),
					  d->rows[k].flags & WIRE_HOST ? d->rows[k].path
								       : d->rows[k].container));
		printf("\n");
	}
}

static void list_print_json(const struct client_devices *d)
{
	auto_json struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < d->nr; i++) {
		struct json_object *o, *claims;

		if (!(d->rows[i].flags & WIRE_AHEAD))
			continue;
		o = show_device(&d->rows[i]);
		claims = json_object_new_array();
		show_add_text(o, "name", device_name(&d->rows[i]));
		for (size_t k = i + 1; list_is_claim(d, i, k); k++)
			json_object_array_add(claims, show_device(&d->rows[k]));
		json_object_object_add(o, "claims", claims);
		json_object_array_add(list, o);
	}
	show_json_print(list);
}

static int device_list(int argc, char **argv)
{
	static const struct list_view view = { &list_page, list_print, list_print_json };

	return list_run(&view, argc, argv);
}

/* --- remove ------------------------------------------------------------------------------ */

static void remove_lost(void *arg, const char *text)
{
	const struct wire_device *row = arg;
	char name[QUOTE_SIZE], words[2 * WIRE_REASON_SIZE];

	fprintf(stderr, CLI_NAME ": device remove: %s: %s\n",
		quote_text(name, sizeof(name), device_name(row)),
		quote_text(words, sizeof(words), text));
}

static int remove_one(struct wire_device *row, bool force)
{
	struct client_call call = { .fd = -1 };
	struct wire_reply reply = { 0 };
	char name[QUOTE_SIZE];
	struct err e;
	int r;

	r = client_detach_begin(&call, row->generation,
				force ? WIRE_DETACH_FORCE | WIRE_DETACH_TELL : 0, CLIENT_TIMEOUT_MS,
				&e);
	if (r == 0) {
		call.lost = remove_lost;
		call.arg = row;
		r = client_detach_end(&call, &reply, NULL, &e);
	}
	if (r == 0)
		return CLI_DONE;
	err_prefix(&e, r, "%s", quote_text(name, sizeof(name), device_name(row)));
	return cli_fail(&remove_page, &e);
}

static struct wire_device *remove_find(const struct client_devices *all, const char *name)
{
	for (size_t i = 0; i < all->nr; i++) {
		if (all->rows[i].flags & WIRE_AHEAD && !strcmp(device_name(&all->rows[i]), name))
			return &all->rows[i];
	}
	return NULL;
}

static int remove_named(const struct client_devices *all, char *const *names, bool force)
{
	int status = CLI_DONE;
	char word[QUOTE_SIZE];
	struct err e;

	for (; *names; names++) {
		struct wire_device *row = remove_find(all, *names);

		if (row && remove_one(row, force) == CLI_DONE)
			continue;
		status = CLI_FAILED;
		if (row)
			continue;
		err_set(&e, ENODEV,
			"there is no device %s, or it is not yours (see " CLI_NAME " device list)",
			quote_text(word, sizeof(word), *names));
		cli_fail(&remove_page, &e);
	}
	return status;
}

static int device_remove(int argc, char **argv)
{
	auto_client_devices struct client_devices all = { 0 };
	bool every = false, force = false;
	int c, status = CLI_DONE;
	struct err e;

	while ((c = cli_next(&remove_page, argc, argv, &status)) != 0) {
		if (c < 0)
			return status;
		every |= c == 'a';
		force |= c == 'f';
	}
	if (every == (argc > optind))
		return cli_misuse(&remove_page, "one of NAME and --all is needed");
	if (client_list(&all, CLIENT_TIMEOUT_MS, &e) < 0)
		return cli_fail(&remove_page, &e);
	if (!every)
		return remove_named(&all, argv + optind, force);
	for (size_t i = 0; i < all.nr; i++) {
		if (all.rows[i].flags & WIRE_AHEAD && remove_one(&all.rows[i], force) != CLI_DONE)
			status = CLI_FAILED;
	}
	return status;
}

/* --- all of them ------------------------------------------------------------------------- */

static const struct cli_command device_commands[] = {
	{ "create", device_create, "make one" },
	{ "list", device_list, "list them, and who has them" },
	{ "remove", device_remove, "remove them" },
	{ "restore", device_restore, "make them again, after the machine was started" },
};

static const struct cli_group device_group = {
	.command = "device ",
	.about = "Devices that are made before there is a container for them.",
	.more = "",
	.rows = device_commands,
	.nr_rows = ARRAY_SIZE(device_commands),
};

int device_main(int argc, char **argv)
{
	return cli_group_main(&device_group, argc, argv);
}
