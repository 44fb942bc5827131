/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "driver/base/num.h"
#include "driver/base/ublk_abi.h"
#include "oci-hook/cli/features.h"
#include "oci-hook/quote.h"
#include "targets/catalog.h"

#define SHOW_TEXT_SIZE 4096
#define SHOW_COLUMN 34

static const char *const states[] = {
	[WIRE_STATE_ATTACHING] = "attaching", [WIRE_STATE_LIVE] = "live",
	[WIRE_STATE_DETACHING] = "detaching", [WIRE_STATE_RECOVERING] = "recovering",
	[WIRE_STATE_FAILED] = "failed",
};

/* The driver's words for a device, UBLK_S_DEV_*. */
static const char *const kernel_states[] = { "dead", "live", "quiesced", "fail-io" };

void show_add_text(struct json_object *o, const char *key, const char *text)
{
	char clean[SHOW_TEXT_SIZE];

	json_object_object_add(o, key,
			       json_object_new_string(quote_text(clean, sizeof(clean), text)));
}

void show_add_filesystem(struct json_object *o, uint32_t filesystem)
{
	json_object_object_add(o, "filesystem", NULL);
	if (catalog_filesystem(filesystem))
		show_add_text(o, "filesystem", catalog_filesystem(filesystem));
}

void show_add_number(struct json_object *o, const char *key, uint64_t n)
{
	json_object_object_add(o, key, json_object_new_uint64(n));
}

void show_add_bool(struct json_object *o, const char *key, bool yes)
{
	json_object_object_add(o, key, json_object_new_boolean(yes));
}

void show_add_hex(struct json_object *o, const char *key, uint64_t n)
{
	char text[17];

	snprintf(text, sizeof(text), "%016" PRIx64, n);
	json_object_object_add(o, key, json_object_new_string(text));
}

const char *show_state(uint32_t state)
{
	return state < ARRAY_SIZE(states) && states[state] ? states[state] : "unknown";
}

const char *show_target(uint32_t target)
{
	const struct catalog_target *t = catalog_target(target);

	return t ? t->name : "unknown";
}

const char *show_access(uint32_t flags)
{
	return flags & WIRE_READ_ONLY ? "ro" : "rw";
}

unsigned int show_threads(const struct wire_device *d)
{
	return d->flags & WIRE_THREADS ? d->nr_queues : 1;
}

static void show_names(struct json_object *o, const struct wire_device *d)
{
	char name[24];

	snprintf(name, sizeof(name), "ublkb%" PRIu32, d->dev_id);
	show_add_text(o, "device", name);
	show_add_number(o, "dev_id", d->dev_id);
	show_add_hex(o, "generation", d->generation);
}

struct json_object *show_outcome(const struct wire_device *d, int r, const struct err *e)
{
	struct json_object *o = json_object_new_object();

	show_names(o, d);
	show_add_text(o, "error", r < 0 ? e->text : "");
	return o;
}

static void show_device_numbers(struct json_object *o, const struct wire_device *d)
{
	show_names(o, d);
	show_add_number(o, "major", d->major);
	show_add_number(o, "minor", d->minor);
}

struct json_object *show_device(const struct wire_device *d)
{
	struct json_object *o = json_object_new_object();
	struct json_object *container = NULL, *worker = json_object_new_object();
	struct json_object *owner = json_object_new_object();

	show_device_numbers(o, d);
	show_add_text(o, "state", show_state(d->state));
	show_add_text(o, "target", show_target(d->target));
	show_add_text(o, "access", show_access(d->flags));
	show_add_bool(o, "no_access", d->flags & WIRE_NO_ACCESS);
	show_add_number(o, "size_bytes", d->size_bytes);
	show_add_number(o, "queues", d->nr_queues);
	show_add_number(o, "depth", d->depth);
	show_add_bool(o, "host", d->flags & WIRE_HOST);
	show_add_bool(o, "made_ahead", d->flags & WIRE_AHEAD);
	show_add_bool(o, "claim", d->flags & WIRE_CLAIMED);
	if (!(d->flags & WIRE_NO_CONTAINER)) {
		container = json_object_new_object();
		show_add_text(container, "id", d->container);
		show_add_text(container, "engine", d->engine);
		show_add_number(container, "pid", (uint64_t)d->container_pid);
	}
	json_object_object_add(o, "container", container);
	show_add_text(o, "path", d->path);
	show_add_filesystem(o, d->filesystem);
	show_add_text(o, "backing", d->backing);
	show_add_text(o, "rule", d->rule);
	show_add_number(owner, "uid", d->peer_uid);
	show_add_number(owner, "gid", d->peer_gid);
	json_object_object_add(o, "owner", owner);
	show_add_number(o, "since", d->since);
	show_add_number(worker, "pid", (uint64_t)d->worker_pid);
	show_add_number(worker, "uid", d->worker_uid);
	json_object_object_add(o, "worker", worker);
	return o;
}

static void show_add_limit(struct json_object *o, const char *key, uint64_t limit)
{
	if (limit)
		show_add_number(o, key, limit);
	else
		json_object_object_add(o, key, NULL);
}

struct json_object *show_io(const struct wire_io *io)
{
	struct json_object *limits = json_object_new_object();

	show_add_limit(limits, "read_bytes", io->read_bytes);
	show_add_limit(limits, "write_bytes", io->write_bytes);
	show_add_limit(limits, "read_ops", io->read_ops);
	show_add_limit(limits, "write_ops", io->write_ops);
	return limits;
}

/* What its container may do per second; null where, and when, it is not limited. */
static void show_add_io_limits(struct json_object *o, const struct wire_io *io)
{
	bool limited = io->read_bytes || io->write_bytes || io->read_ops || io->write_ops;

	json_object_object_add(o, "io_limits", limited ? show_io(io) : NULL);
}

struct json_object *show_details(const struct wire_details *d)
{
	struct json_object *o = show_device(&d->device);
	struct json_object *kernel = json_object_new_object();
	struct json_object *node, *container;
	char mode[8];

	show_add_text(kernel, "state",
		      d->kernel_state < ARRAY_SIZE(kernel_states) ? kernel_states[d->kernel_state]
								  : "unknown");
	json_object_object_add(kernel, "flags", features_json(d->kernel_flags));
	json_object_object_add(kernel, "features", features_json(d->kernel_features));
	json_object_object_add(o, "kernel", kernel);
	show_add_number(o, "max_io_bytes", d->max_io_bytes);
	show_add_number(o, "logical_block_bytes", d->logical_block_bytes);
	show_add_number(o, "physical_block_bytes", d->physical_block_bytes);
	show_add_text(o, "data_path", d->kernel_flags & UBLK_F_AUTO_BUF_REG ? "zero-copy" : "copy");
	show_add_text(o, "profile", d->device.flags & WIRE_THROUGHPUT ? "throughput" : "latency");
	show_add_bool(o, "batch", d->kernel_flags & UBLK_F_BATCH_IO);
	show_add_number(o, "threads", show_threads(&d->device));
	show_add_bool(o, "direct_io", d->direct_io);
	show_add_text(o, "base", d->base);
	show_add_text(o, "export", d->export_name);
	show_add_number(o, "connections", d->nr_connections);
	show_add_number(o, "backing_dev", d->backing_dev);
	show_add_number(o, "backing_inode", d->backing_inode);
	show_add_bool(o, "discard", d->discard);
	show_add_io_limits(o, &d->io);
	json_object_object_add(o, "failure", NULL);
	if (*d->failure)
		show_add_text(o, "failure", d->failure);
	if (!json_object_object_get_ex(o, "container", &container) || !container)
		return o;
	show_add_number(container, "cgroup_inode", d->container_cgroup_inode);
	show_add_number(container, "mount_ns_inode", d->container_mount_ns_inode);
	show_add_number(container, "owner_uid", d->container_owner_uid);
	if (d->device.filesystem)
		return o;
	node = json_object_new_object();
	snprintf(mode, sizeof(mode), "%04o", d->node_mode & 0777);
	show_add_number(node, "uid", d->node_uid);
	show_add_number(node, "gid", d->node_gid);
	show_add_text(node, "mode", mode);
	json_object_object_add(o, "node", node);
	return o;
}

void show_json_print(struct json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
						       JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* A namespace is one line: its inode, and whose it is. */
static bool print_namespace(const char *key, struct json_object *o)
{
	struct json_object *inode, *host;

	if (!json_object_is_type(o, json_type_object) ||
	    !json_object_object_get_ex(o, "inode", &inode) ||
	    !json_object_object_get_ex(o, "host", &host))
		return false;
	printf("%-*s %s (%s)\n", SHOW_COLUMN, key, json_object_get_string(inode),
	       json_object_get_boolean(host) ? "shared with host" : "own");
	return true;
}

static bool has_suffix(const char *text, const char *suffix)
{
	size_t n = strlen(text), k = strlen(suffix);

	return n >= k && !strcmp(text + n - k, suffix);
}

static void print_value(const char *key, struct json_object *o)
{
	char size[NUM_SIZE_TEXT];

	if (!o || (json_object_is_type(o, json_type_string) && !json_object_get_string_len(o)))
		printf("%-*s -\n", SHOW_COLUMN, key);
	else if (json_object_is_type(o, json_type_boolean))
		printf("%-*s %s\n", SHOW_COLUMN, key, json_object_get_boolean(o) ? "yes" : "no");
	else if (has_suffix(key, "_bytes") && json_object_is_type(o, json_type_int))
		printf("%-*s %s (%s)\n", SHOW_COLUMN, key, json_object_get_string(o),
		       num_format_size(json_object_get_uint64(o), size));
	else
		printf("%-*s %s\n", SHOW_COLUMN, key, json_object_get_string(o));
}

static void print_lines(const char *prefix, struct json_object *o)
{
	struct json_object_iter i;

	json_object_object_foreachC(o, i)
	{
		char key[128];

		snprintf(key, sizeof(key), "%s%s%s", prefix, *prefix ? "." : "", i.key);
		if (print_namespace(key, i.val))
			continue;
		if (json_object_is_type(i.val, json_type_object)) {
			print_lines(key, i.val);
		} else if (json_object_is_type(i.val, json_type_array)) {
			printf("%-*s", SHOW_COLUMN, key);
			if (!json_object_array_length(i.val))
				printf(" (none)");
			for (size_t k = 0; k < json_object_array_length(i.val); k++)
				printf(" %s",
				       json_object_get_string(json_object_array_get_idx(i.val, k)));
			putchar('\n');
		} else {
			print_value(key, i.val);
		}
	}
}

void show_text_print(struct json_object *o)
{
	print_lines("", o);
}
