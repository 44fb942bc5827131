/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/rule.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/wire/start.h"
#include "policy/address.h"
#include "policy/pattern.h"
#include "targets/catalog.h"
#include "targets/image_format.h"

#define RULE_SIZE_MIN 512 /* one sector */
#define RULE_DEVICES_MAX 65536
#define RULE_OPS_MAX 1000000000
#define RULE_NBD_SECONDS_MAX 3600
#define RULE_NBD_SECONDS 30

#define RULE_PATH_EXPECTED                                                                         \
	"expected a path that begins with /, without . and .. and //; at its end, / means "        \
	"everything below"

#define BIT(n) (1u << (n))

static const char *const acts[POLICY_ACT_END] = {
	[POLICY_ATTACH] = "attach",	[POLICY_MOUNT] = "mount",   [POLICY_RESIZE] = "resize",
	[POLICY_SNAPSHOT] = "snapshot", [POLICY_DELETE] = "delete", [POLICY_CREATE] = "create",
};

const char *rule_act_name(unsigned int act)
{
	return act < POLICY_ACT_END ? acts[act] : NULL;
}

static const char *target_name(unsigned int target)
{
	const struct catalog_target *t = catalog_target(target);

	static_assert(TARGET_END <= 32, "targets do not fit the mask");
	return t ? t->name : NULL;
}

static const struct field principal_fields[] = {
	{ "user", field_user, offsetof(struct rule_principal, uid) },
	{ "uid", field_u32, offsetof(struct rule_principal, uid), .max = FIELD_ID_LAST },
	{ "group", field_group, offsetof(struct rule_principal, gid) },
	{ "gid", field_u32, offsetof(struct rule_principal, gid), .max = FIELD_ID_LAST },
	{ "cgroup", field_text, offsetof(struct rule_principal, cgroup), .ok = pattern_path_ok,
	  .expected = "expected a path that begins with /, without . and .. and //; * means any "
		      "characters but /; at its end, / means everything below" },
	{ "owner", field_user, offsetof(struct rule_principal, owner_uid) },
	{ "owner_uid", field_u32, offsetof(struct rule_principal, owner_uid),
	  .max = FIELD_ID_LAST },
	{ "any", field_true },
};

/* A principal is who asks, or anybody, and where the container is. */
static int read_principal(const struct field_reader *p, const struct document_node *n,
			  const struct field *f, void *into)
{
	static const char *const pairs[][2] = {
		{ "user", "uid" }, { "group", "gid" }, { "owner", "owner_uid" }, { "any", "user" },
		{ "any", "uid" },  { "any", "group" }, { "any", "gid" },
	};
	struct rule_principal *principal = FIELD_AT(struct rule_principal, into, f);
	int r;

	r = field_read_all(p, n, principal_fields, ARRAY_SIZE(principal_fields), principal);
	if (r < 0)
		return r;
	if (!n->first)
		return document_error(n, p->e, "expected at least one key; \"any\" is everybody");
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		if (document_find(n, pairs[i][0]) && document_find(n, pairs[i][1]))
			return document_error(n, p->e, "expected one of %s and %s, found both",
					      pairs[i][0], pairs[i][1]);
	}
	principal->has_uid = document_find(n, "user") || document_find(n, "uid");
	principal->has_gid = document_find(n, "group") || document_find(n, "gid");
	principal->has_owner = document_find(n, "owner") || document_find(n, "owner_uid");
	return 0;
}

static const struct field mount_fields[] = {
	{ "under", field_list, offsetof(struct rule_mount, under), true, .ok = pattern_path_ok,
	  .expected = RULE_PATH_EXPECTED },
	{ "filesystems", field_list, offsetof(struct rule_mount, filesystems), true,
	  .ok = field_name_ok, .expected = FIELD_NAME_EXPECTED },
	{ "trust_raw_writers", field_bool, offsetof(struct rule_mount, trust_raw_writers) },
};

static int read_mount(const struct field_reader *p, const struct document_node *n,
		      const struct field *f, void *into)
{
	return field_read_all(p, n, mount_fields, ARRAY_SIZE(mount_fields),
			      FIELD_AT(struct rule_mount, into, f));
}

static const struct field io_fields[] = {
	{ "read_bytes", field_size, offsetof(struct policy_io, read_bytes), false, RULE_SIZE_MIN,
	  INT64_MAX },
	{ "write_bytes", field_size, offsetof(struct policy_io, write_bytes), false, RULE_SIZE_MIN,
	  INT64_MAX },
	{ "read_ops", field_u64, offsetof(struct policy_io, read_ops), false, 1, RULE_OPS_MAX },
	{ "write_ops", field_u64, offsetof(struct policy_io, write_ops), false, 1, RULE_OPS_MAX },
};

static int read_io(const struct field_reader *p, const struct document_node *n,
		   const struct field *f, void *into)
{
	int r;

	r = field_read_all(p, n, io_fields, ARRAY_SIZE(io_fields),
			   FIELD_AT(struct policy_io, into, f));
	if (!r && !n->first)
		r = document_error(n, p->e, "expected at least one limit");
	return r;
}

static const struct field rule_fields[] = {
	{ "id", field_text, offsetof(struct rule, id), true, .ok = field_name_ok,
	  .expected = FIELD_NAME_EXPECTED },
	{ "principal", read_principal, offsetof(struct rule, principal), true },
	{ "may", field_set, offsetof(struct rule, acts), .name = rule_act_name },
	{ "targets", field_set, offsetof(struct rule, targets), true, TARGET_NONE + 1,
	  .name = target_name },
	{ "backing", field_list, offsetof(struct rule, backing), .ok = pattern_path_ok,
	  .expected = RULE_PATH_EXPECTED },
	{ "backing_owner", field_choice, offsetof(struct rule, any_backing_owner),
	  .words = { "caller", "any" } },
	{ "nbd", field_list, offsetof(struct rule, nbd), .ok = address_pattern_ok,
	  .expected = "expected \"unix:/PATH\", \"exec:/usr/PROGRAM\" or \"tcp:HOST:PORT\", as in "
		      "ublk-oci-policy(5)" },
	{ "nbd_timeout", field_u32, offsetof(struct rule, nbd_timeout_seconds), false, 1,
	  RULE_NBD_SECONDS_MAX },
	{ "nbd_reissue", field_bool, offsetof(struct rule, nbd_reissue) },
	{ "formats", field_set, offsetof(struct rule, formats), false, IMAGE_NONE + 1,
	  .name = image_format_name },
	{ "image_chain", field_list, offsetof(struct rule, image_chain), .ok = pattern_path_ok,
	  .expected = RULE_PATH_EXPECTED },
	{ "pools", field_list, offsetof(struct rule, pools), .ok = field_name_ok,
	  .expected = FIELD_NAME_EXPECTED },
	{ "access", field_choice, offsetof(struct rule, read_only), .words = { "rw", "ro" } },
	{ "share_read_only", field_bool, offsetof(struct rule, share_read_only) },
	{ "hook_claims", field_bool, offsetof(struct rule, hook_claims) },
	{ "host_claims", field_bool, offsetof(struct rule, host_claims) },
	{ "zero_copy", field_bool, offsetof(struct rule, zero_copy) },
	{ "discard", field_bool, offsetof(struct rule, discard) },
	{ "host", field_bool, offsetof(struct rule, host) },
	{ "max_size", field_size, offsetof(struct rule, max_size_bytes), true, RULE_SIZE_MIN,
	  INT64_MAX },
	{ "max_bytes_per_container", field_size, offsetof(struct rule, max_bytes_per_container),
	  false, RULE_SIZE_MIN, INT64_MAX },
	{ "max_bytes", field_size, offsetof(struct rule, max_bytes), false, RULE_SIZE_MIN,
	  INT64_MAX },
	{ "max_devices_per_container", field_u32, offsetof(struct rule, max_devices_per_container),
	  false, 1, RULE_DEVICES_MAX },
	{ "max_devices", field_u32, offsetof(struct rule, max_devices), false, 1,
	  RULE_DEVICES_MAX },
	{ "max_queues", field_u32, offsetof(struct rule, max_queues), false, 1, START_QUEUES_MAX },
	{ "max_depth", field_u32, offsetof(struct rule, max_depth), false, 1, START_DEPTH_MAX },
	{ "mount", read_mount, offsetof(struct rule, mount) },
	{ "io", read_io, offsetof(struct rule, io) },
};

/* Does the rule have a target with files, and one that is reached by an address? */
static void rule_kinds(const struct rule *rule, bool *ret_files, bool *ret_address)
{
	*ret_files = *ret_address = false;
	for (unsigned int i = TARGET_NONE + 1; i < TARGET_END; i++) {
		*ret_files |= rule->targets & BIT(i) && catalog_target(i)->nr_fds;
		*ret_address |= rule->targets & BIT(i) && catalog_target(i)->by_address;
	}
}

/* What one key alone does not tell. */
static int rule_check(const struct field_reader *p, const struct document_node *n,
		      const struct rule *rule)
{
	static const char *const container[] = { "max_bytes_per_container", "io", "share_read_only",
						 "hook_claims", "host_claims" };
	static const char *const container_principal[] = { "cgroup", "owner", "owner_uid" };
	static const char *const servers[] = { "nbd_timeout", "nbd_reissue" };
	static const char words[] = "the rule is for containers";
	static const char image_words[] = "target image is in targets";
	const struct document_node *principal = document_find(n, "principal");
	bool image = rule->targets & BIT(TARGET_IMAGE);
	bool files, address;
	int r;

	rule_kinds(rule, &files, &address);
	/* Whose files are volumes, by their pools, may leave it out. */
	if (rule->pools.nr)
		r = field_only_if(p, n, "backing", files, "a target with files is in targets");
	else
		r = field_needed_if(p, n, "backing", files, "a target with files is in targets");
	if (!r)
		r = field_only_if(p, n, "backing_owner", files,
				  "a target with files is in targets");
	if (!r)
		r = field_needed_if(p, n, "nbd", address, "target nbd is in targets");
	if (!r)
		r = field_needed_if(p, n, "formats", image, image_words);
	if (!r)
		r = field_only_if(p, n, "image_chain", image, image_words);
	if (!r)
		r = field_needed_if(p, n, "mount", rule->acts & BIT(POLICY_MOUNT),
				    "mount is in may");
	if (!r)
		r = field_needed_if(p, n, "max_devices_per_container", !rule->host, words);
	for (size_t i = 0; i < ARRAY_SIZE(servers) && !r; i++)
		r = field_only_if(p, n, servers[i], address, "target nbd is in targets");
	for (size_t i = 0; i < ARRAY_SIZE(container) && !r; i++)
		r = field_only_if(p, n, container[i], !rule->host, words);
	for (size_t i = 0; i < ARRAY_SIZE(container_principal) && !r; i++)
		r = field_only_if(p, principal, container_principal[i], !rule->host, words);
	return r;
}

int rule_read(const struct field_reader *p, const struct document_node *n, struct rule *rule)
{
	int r;

	rule->acts = BIT(POLICY_ATTACH);
	rule->discard = true;
	rule->max_devices = 64;
	rule->max_queues = 4;
	rule->max_depth = 64;
	rule->nbd_timeout_seconds = RULE_NBD_SECONDS;
	r = field_read_all(p, n, rule_fields, ARRAY_SIZE(rule_fields), rule);
	return r < 0 ? r : rule_check(p, n, rule);
}

void rule_free(struct rule *rule)
{
	struct texts *const lists[] = {
		&rule->backing, &rule->nbd,	    &rule->image_chain,
		&rule->pools,	&rule->mount.under, &rule->mount.filesystems
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		texts_free(lists[i]);
	free(rule->principal.cgroup);
	free(rule->id);
}
