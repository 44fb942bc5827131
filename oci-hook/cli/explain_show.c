/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/explain_show.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "oci-hook/cli/show.h"
#include "oci-hook/quote.h"

#define EXPLAIN_SHOWN_SIZE 512

/* The limits of a verdict on I/O, by their names in a rule. */
static const struct {
	const char *name;
	size_t off;
} limits[] = {
	{ "read_bytes", offsetof(struct policy_io, read_bytes) },
	{ "write_bytes", offsetof(struct policy_io, write_bytes) },
	{ "read_ops", offsetof(struct policy_io, read_ops) },
	{ "write_ops", offsetof(struct policy_io, write_ops) },
};

static uint64_t limit_value(const struct policy_io *io, size_t i)
{
	return *(const uint64_t *)(const void *)((const char *)io + limits[i].off);
}

/* --- for people -------------------------------------------------------------- */

static void text_who(const struct policy_claim *claim)
{
	printf("who    uid %" PRIu32, claim->uid);
	for (size_t i = 0; i < claim->nr_gids; i++)
		printf("%s%" PRIu32,
		       i		    ? ", "
		       : claim->nr_gids > 1 ? ", groups "
					    : ", group ",
		       claim->gids[i]);
	puts(claim->nr_gids ? "" : ", no groups");
}

static void text_where(const struct policy_claim *claim)
{
	char shown[EXPLAIN_SHOWN_SIZE];

	if (claim->host)
		puts("where  the host");
	else
		printf("where  a container, its user namespace owned by uid %" PRIu32
		       ", its cgroup %s\n",
		       claim->owner_uid,
		       claim->cgroup ? quote_text(shown, sizeof(shown), claim->cgroup)
				     : "not given");
}

static void text_word(const char *before, const char *text)
{
	char shown[EXPLAIN_SHOWN_SIZE];

	if (text)
		printf(", %s%s", before, quote_text(shown, sizeof(shown), text));
}

static void text_what(const struct policy_claim *claim)
{
	char size[NUM_SIZE_TEXT];

	printf("what   %s: %s, %s, %s, %u queue%s of depth %u", explain_act(claim->act),
	       show_target(claim->target), num_format_size(claim->size_bytes, size),
	       claim->read_only ? "ro" : "rw", claim->nr_queues, claim->nr_queues == 1 ? "" : "s",
	       claim->depth);
	text_word("", claim->backing);
	if (claim->backing)
		printf(" of uid %" PRIu32, claim->backing_uid);
	text_word("over ", claim->base);
	text_word("", claim->address);
	text_word("pool ", claim->pool);
	text_word("mounted at ", claim->mount_path);
	text_word("as ", claim->mount_filesystem);
	if (claim->raw_writers)
		printf(", written by others than root");
	puts(claim->zero_copy ? ", zero copy" : "");
}

static void text_there(const struct policy_claim *claim)
{
	char size[NUM_SIZE_TEXT], all[NUM_SIZE_TEXT];

	if (claim->devices_in_container || claim->bytes_in_container || claim->devices_in_all ||
	    claim->bytes_in_all)
		printf("there  %u devices of %s in the container, %u of %s in all\n",
		       claim->devices_in_container,
		       num_format_size(claim->bytes_in_container, size), claim->devices_in_all,
		       num_format_size(claim->bytes_in_all, all));
}

static void text_tried(void *arg, const struct policy_trial *trial)
{
	printf("%-6s rule \"%s\"%s%s\n", trial->allowed ? "yes" : "no", trial->rule,
	       *trial->why ? ": " : "", trial->why);
}

static void text_verdict(const struct policy_verdict *verdict)
{
	if (!verdict->allowed) {
		printf("refused: %s\n", verdict->reason);
		return;
	}
	printf("allowed by rule \"%s\"", verdict->rule);
	if (verdict->discard)
		printf(", with discard");
	if (verdict->trust_raw_writers)
		printf(", with trust_raw_writers");
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		if (limit_value(&verdict->io, i))
			printf(", %s %" PRIu64 "/s", limits[i].name, limit_value(&verdict->io, i));
	}
	puts("");
}

static bool show_text(const struct explain *x, const struct policy *policy)
{
	struct policy_verdict verdict;

	text_who(&x->claim);
	text_where(&x->claim);
	text_what(&x->claim);
	text_there(&x->claim);
	if (*x->note)
		printf("note   %s\n", x->note);
	policy_explain(policy, &x->claim, text_tried, NULL, &verdict);
	text_verdict(&verdict);
	return verdict.allowed;
}

/* --- for programs ------------------------------------------------------------ */

static void add_text_or_null(struct json_object *o, const char *key, const char *text)
{
	if (text)
		show_add_text(o, key, text);
	else
		json_object_object_add(o, key, NULL);
}

static struct json_object *json_claim(const struct policy_claim *claim)
{
	struct json_object *o = json_object_new_object(), *gids = json_object_new_array();

	show_add_text(o, "act", explain_act(claim->act));
	show_add_number(o, "uid", claim->uid);
	for (size_t i = 0; i < claim->nr_gids; i++)
		json_object_array_add(gids, json_object_new_uint64(claim->gids[i]));
	json_object_object_add(o, "gids", gids);
	show_add_bool(o, "host", claim->host);
	add_text_or_null(o, "cgroup", claim->cgroup);
	show_add_number(o, "owner_uid", claim->owner_uid);
	show_add_text(o, "target", show_target(claim->target));
	show_add_text(o, "access", claim->read_only ? "ro" : "rw");
	show_add_number(o, "size_bytes", claim->size_bytes);
	add_text_or_null(o, "backing", claim->backing);
	show_add_number(o, "backing_uid", claim->backing_uid);
	if (claim->base)
		show_add_text(o, "base", claim->base);
	add_text_or_null(o, "address", claim->address);
	add_text_or_null(o, "pool", claim->pool);
	show_add_bool(o, "zero_copy", claim->zero_copy);
	show_add_number(o, "queues", claim->nr_queues);
	show_add_number(o, "depth", claim->depth);
	add_text_or_null(o, "mount_path", claim->mount_path);
	add_text_or_null(o, "mount_filesystem", claim->mount_filesystem);
	show_add_bool(o, "raw_writers", claim->raw_writers);
	show_add_number(o, "devices_in_container", claim->devices_in_container);
	show_add_number(o, "bytes_in_container", claim->bytes_in_container);
	show_add_number(o, "devices", claim->devices_in_all);
	show_add_number(o, "bytes", claim->bytes_in_all);
	return o;
}

static void json_tried(void *arg, const struct policy_trial *trial)
{
	struct json_object *o = json_object_new_object();

	show_add_text(o, "rule", trial->rule);
	show_add_bool(o, "allowed", trial->allowed);
	show_add_text(o, "why", trial->why);
	json_object_array_add(arg, o);
}

static struct json_object *json_grants(const struct policy_verdict *verdict)
{
	struct json_object *o = json_object_new_object(), *io = json_object_new_object();

	show_add_bool(o, "discard", verdict->discard);
	show_add_bool(o, "trust_raw_writers", verdict->trust_raw_writers);
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		show_add_number(io, limits[i].name, limit_value(&verdict->io, i));
	json_object_object_add(o, "io", io);
	return o;
}

static bool show_json(const struct explain *x, const struct policy *policy)
{
	auto_json struct json_object *o = json_object_new_object();
	struct json_object *tried = json_object_new_array();
	struct policy_verdict verdict;

	policy_explain(policy, &x->claim, json_tried, tried, &verdict);
	show_add_text(o, "policy", x->policy);
	show_add_bool(o, "allowed", verdict.allowed);
	add_text_or_null(o, "rule", verdict.allowed ? verdict.rule : NULL);
	add_text_or_null(o, "reason", verdict.allowed ? NULL : verdict.reason);
	add_text_or_null(o, "note", *x->note ? x->note : NULL);
	json_object_object_add(o, "tried", tried);
	json_object_object_add(o, "grants", verdict.allowed ? json_grants(&verdict) : NULL);
	json_object_object_add(o, "claim", json_claim(&x->claim));
	show_json_print(o);
	return verdict.allowed;
}

bool explain_show(const struct explain *x, const struct policy *policy)
{
	return x->json ? show_json(x, policy) : show_text(x, policy);
}
