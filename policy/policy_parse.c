/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "policy/pattern.h"
#include "policy/rule.h"

#define PARSE_VERSION 1
#define PARSE_HANG_SECONDS 30
#define PARSE_POOLS_MAX 64
#define PARSE_OVERCOMMIT_MAX 100000
#define PARSE_SIZE_MIN 512

static const char *const default_filesystems[] = { "ext4", "xfs", "btrfs", "tmpfs" };

static int check_id_unique(const struct field_reader *p, const struct document_node *n,
			   const struct policy *policy)
{
	const struct rule *last = &policy->rules[policy->nr_rules - 1];

	for (const struct rule *rule = policy->rules; rule < last; rule++) {
		if (!strcmp(rule->id, last->id))
			return document_error(document_find(n, "id"), p->e,
					      "\"%s\" is the id of rules[%zu] already", last->id,
					      (size_t)(rule - policy->rules));
	}
	return 0;
}

static int read_rules(const struct field_reader *p, const struct document_node *n,
		      const struct field *f, void *into)
{
	struct policy *policy = into;
	char found[DOCUMENT_FOUND_SIZE];
	int r = 0;

	if (n->type != DOCUMENT_ARRAY)
		return document_error(n, p->e, "expected an array, found %s",
				      document_found(n, found));
	if (!n->first)
		return 0;
	policy->rules = calloc(n->last->index + 1, sizeof(*policy->rules));
	if (!policy->rules)
		return field_no_memory(p);
	for (const struct document_node *m = n->first; m && !r; m = m->next) {
		r = rule_read(p, m, &policy->rules[policy->nr_rules++]);
		if (!r)
			r = check_id_unique(p, m, policy);
	}
	return r;
}

static bool pool_path_ok(const char *path)
{
	return pattern_path_ok(path) && path[strlen(path) - 1] != '/';
}

static const struct field pool_fields[] = {
	{ "name", field_text, offsetof(struct policy_pool, name), true, .ok = field_name_ok,
	  .expected = FIELD_NAME_EXPECTED },
	{ "path", field_text, offsetof(struct policy_pool, path), true, .ok = pool_path_ok,
	  .expected = "expected a path that begins with /, without . and .. and //, and without "
		      "/ at its end" },
	{ "capacity", field_size, offsetof(struct policy_pool, capacity_bytes), false,
	  PARSE_SIZE_MIN, INT64_MAX },
	{ "overcommit_percent", field_u32, offsetof(struct policy_pool, overcommit_percent), false,
	  POLICY_OVERCOMMIT_NONE, PARSE_OVERCOMMIT_MAX },
	{ "backend", field_text, offsetof(struct policy_pool, backend), false, .ok = field_name_ok,
	  .expected = FIELD_NAME_EXPECTED },
};

/* What no other pool has: its name, and its place. */
static int check_pool_unique(const struct field_reader *p, const struct document_node *n,
			     const struct policy *policy)
{
	const struct policy_pool *last = &policy->pools[policy->nr_pools - 1];

	for (const struct policy_pool *pool = policy->pools; pool < last; pool++) {
		if (!strcmp(pool->name, last->name))
			return document_error(document_find(n, "name"), p->e,
					      "\"%s\" is the name of pools[%zu] already",
					      last->name, (size_t)(pool - policy->pools));
		if (!strcmp(pool->path, last->path))
			return document_error(document_find(n, "path"), p->e,
					      "this is where pools[%zu] is already",
					      (size_t)(pool - policy->pools));
	}
	return 0;
}

static int read_pool(const struct field_reader *p, const struct document_node *n,
		     struct policy *policy)
{
	struct policy_pool *pool = &policy->pools[policy->nr_pools++];
	int r;

	pool->overcommit_percent = POLICY_OVERCOMMIT_NONE;
	r = field_read_all(p, n, pool_fields, ARRAY_SIZE(pool_fields), pool);
	if (!r)
		r = field_only_if(p, n, "overcommit_percent", pool->capacity_bytes,
				  "there is a capacity");
	return r < 0 ? r : check_pool_unique(p, n, policy);
}

static int read_pools(const struct field_reader *p, const struct document_node *n,
		      const struct field *f, void *into)
{
	struct policy *policy = into;
	char found[DOCUMENT_FOUND_SIZE];
	int r = 0;

	if (n->type != DOCUMENT_ARRAY || !n->first || n->last->index >= PARSE_POOLS_MAX)
		return document_error(n, p->e, "expected an array of 1 to %d pools, found %s",
				      PARSE_POOLS_MAX, document_found(n, found));
	policy->pools = calloc(n->last->index + 1, sizeof(*policy->pools));
	if (!policy->pools)
		return field_no_memory(p);
	for (const struct document_node *m = n->first; m && !r; m = m->next)
		r = read_pool(p, m, policy);
	return r;
}

static int add_default_pool(const struct field_reader *p, struct policy *policy)
{
	struct policy_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return field_no_memory(p);
	policy->pools = pool;
	policy->nr_pools = 1;
	pool->overcommit_percent = POLICY_OVERCOMMIT_NONE;
	pool->name = strdup("default");
	pool->path = strdup(POLICY_POOL_PATH);
	return pool->name && pool->path ? 0 : field_no_memory(p);
}

static const struct field worker_ids_fields[] = {
	{ "first", field_u32, offsetof(struct policy, worker_ids_first), true, 1000,
	  FIELD_ID_LAST },
	{ "count", field_u32, offsetof(struct policy, worker_ids_count), true, 1, 65536 },
};

static int read_worker_ids(const struct field_reader *p, const struct document_node *n,
			   const struct field *f, void *into)
{
	/* nobody, and (uid_t)-1 in 16 bits */
	static const uint32_t reserved[] = { 65534, 65535 };
	struct policy *policy = into;
	uint64_t first, last;
	int r;

	r = field_read_all(p, n, worker_ids_fields, ARRAY_SIZE(worker_ids_fields), into);
	if (r < 0)
		return r;
	first = policy->worker_ids_first;
	last = first + policy->worker_ids_count - 1;
	if (last > FIELD_ID_LAST)
		return document_error(n, p->e,
				      "expected ids up to %u, found %" PRIu64 " to %" PRIu64,
				      FIELD_ID_LAST, first, last);
	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++) {
		if (first <= reserved[i] && reserved[i] <= last)
			return document_error(n, p->e,
					      "expected ids without %u, which the system reserves; "
					      "found %" PRIu64 " to %" PRIu64,
					      reserved[i], first, last);
	}
	return 0;
}

static const struct field policy_fields[] = {
	{ "version", field_constant, 0, true, PARSE_VERSION, PARSE_VERSION },
	{ "worker_ids", read_worker_ids, 0, true },
	{ "filesystems", field_list, offsetof(struct policy, filesystems), .ok = field_name_ok,
	  .expected = "expected the name of a filesystem, as in /proc/self/mountinfo" },
	{ "hang_seconds", field_u32, offsetof(struct policy, hang_seconds), false, 0, 3600 },
	{ "pools", read_pools },
	{ "rules", read_rules, 0, true },
};

static int add_default_filesystems(const struct field_reader *p, struct policy *policy)
{
	for (size_t i = 0; i < ARRAY_SIZE(default_filesystems); i++) {
		if (texts_add(&policy->filesystems, default_filesystems[i]) < 0)
			return field_no_memory(p);
	}
	return 0;
}

int policy_parse(struct policy **ret, const char *text, size_t size,
		 const struct policy_names *names, struct err *e)
{
	auto_document struct document *d = NULL;
	auto_policy struct policy *policy = NULL;
	const struct field_reader p = { .names = names, .e = e };
	int r;

	if (size > POLICY_SIZE_MAX)
		return err_set(e, EFBIG, "expected at most %d bytes, found %zu", POLICY_SIZE_MAX,
			       size);
	r = document_parse(&d, text, size, e);
	if (r < 0)
		return r;
	policy = calloc(1, sizeof(*policy));
	if (!policy)
		return field_no_memory(&p);
	policy->hang_seconds = PARSE_HANG_SECONDS;
	r = field_read_all(&p, document_root(d), policy_fields, ARRAY_SIZE(policy_fields), policy);
	if (!r && !policy->filesystems.nr)
		r = add_default_filesystems(&p, policy);
	if (!r && !policy->nr_pools)
		r = add_default_pool(&p, policy);
	if (r < 0)
		return r;
	*ret = ptr_take(policy);
	return 0;
}
