/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/num.h"
#include "driver/base/text.h"
#include "driver/wire/start.h"
#include "policy/document.h"
#include "policy/rule.h"
#include "policy/policy_shown.h"
#include "targets/catalog.h"

#define PARSE_VERSION 1
#define PARSE_SIZE_MIN 512	  /* one sector */
#define PARSE_ID_LAST 4294967294u /* 4294967295 means "no id" to the kernel */
#define PARSE_NAME_MAX 63
#define PARSE_LIST_MAX 256
#define PARSE_MAX_DEVICES 64 /* defaults of a rule */
#define PARSE_MAX_QUEUES 4
#define PARSE_MAX_DEPTH 64

static const char *const default_filesystems[] = { "ext4", "xfs", "btrfs", "tmpfs" };

struct parse {
	const struct policy_names *names;
	struct err *e;
};

/*
 * One key an object may have. read() checks the value and puts it at offset in
 * the struct the object becomes.
 */
struct field {
	const char *key;
	int (*read)(struct parse *, const struct document_node *, const struct field *, void *into);
	size_t offset;
	bool required;
	uint64_t min; /* of a number or a size */
	uint64_t max;
};

/* Where the value of a field goes. */
#define FIELD_AT(type, into, field) ((type *)(void *)((char *)(into) + (field)->offset))

static int read_type(struct parse *p, const struct document_node *n, enum document_type type)
{
	char found[DOCUMENT_FOUND_SIZE];

	if (n->type == type)
		return 0;
	return document_error(n, p->e, "expected %s, found %s", document_type_words(type),
			      document_found(n, found));
}

static const struct field *field_find(const struct field *fields, size_t nr, const char *key)
{
	for (size_t i = 0; i < nr; i++) {
		if (!strcmp(fields[i].key, key))
			return &fields[i];
	}
	return NULL;
}

static int unknown_key(struct parse *p, const struct document_node *n, const struct field *fields,
		       size_t nr)
{
	char known[ERR_TEXT_SIZE] = "";
	size_t used = 0;

	for (size_t i = 0; i < nr && used < sizeof(known); i++)
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "",
					 fields[i].key);
	return document_key_error(n, p->e, "unknown key, expected one of %s", known);
}

/* An object whose keys are exactly those of the table, less the optional ones. */
static int read_fields(struct parse *p, const struct document_node *n, const struct field *fields,
		       size_t nr, void *into)
{
	const struct field *f;
	int r;

	r = read_type(p, n, DOCUMENT_OBJECT);
	if (r < 0)
		return r;
	for (const struct document_node *m = n->first; m; m = m->next) {
		f = field_find(fields, nr, m->key);
		if (!f)
			return unknown_key(p, m, fields, nr);
		r = f->read(p, m, f, into);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < nr; i++) {
		if (fields[i].required && !document_find(n, fields[i].key))
			return document_error(n, p->e, "expected the key \"%s\"", fields[i].key);
	}
	return 0;
}

static int number_get(struct parse *p, const struct document_node *n, const struct field *f,
		      uint64_t *ret)
{
	char found[DOCUMENT_FOUND_SIZE];

	if (n->type == DOCUMENT_NUMBER && n->whole && n->number >= f->min && n->number <= f->max) {
		*ret = n->number;
		return 0;
	}
	if (f->min == f->max)
		return document_error(n, p->e, "expected %" PRIu64 ", found %s", f->min,
				      document_found(n, found));
	return document_error(n, p->e,
			      "expected a whole number from %" PRIu64 " to %" PRIu64 ", found %s",
			      f->min, f->max, document_found(n, found));
}

static int read_version(struct parse *p, const struct document_node *n, const struct field *f,
			void *into)
{
	uint64_t version;

	return number_get(p, n, f, &version);
}

static int read_u32(struct parse *p, const struct document_node *n, const struct field *f,
		    void *into)
{
	uint64_t number = 0;
	int r;

	r = number_get(p, n, f, &number);
	if (!r)
		*FIELD_AT(uint32_t, into, f) = (uint32_t)number;
	return r;
}

static int read_bool(struct parse *p, const struct document_node *n, const struct field *f,
		     void *into)
{
	int r;

	r = read_type(p, n, DOCUMENT_BOOL);
	if (!r)
		*FIELD_AT(bool, into, f) = n->truth;
	return r;
}

static int read_size(struct parse *p, const struct document_node *n, const struct field *f,
		     void *into)
{
	char found[DOCUMENT_FOUND_SIZE];
	uint64_t bytes = 0;
	bool ok = false;

	if (n->type == DOCUMENT_STRING) {
		ok = !num_parse_size(n->text, &bytes);
	} else if (n->type == DOCUMENT_NUMBER) {
		ok = n->whole;
		bytes = n->number;
	}
	if (!ok || bytes < f->min || bytes > f->max)
		return document_error(n, p->e,
				      "expected a size such as \"64M\" or \"1G\", or bytes, from "
				      "%" PRIu64 " to %" PRIu64 ", found %s",
				      f->min, f->max, document_found(n, found));
	*FIELD_AT(uint64_t, into, f) = bytes;
	return 0;
}

static int read_id(struct parse *p, const struct document_node *n, const struct field *f,
		   void *into)
{
	int r;

	r = read_type(p, n, DOCUMENT_STRING);
	if (r < 0)
		return r;
	if (!text_name_ok(n->text, POLICY_ID_MAX))
		return document_error(n, p->e,
				      "expected 1 to %d characters of A-Z a-z 0-9 . _ + : @ -, the "
				      "first of them not . or -",
				      POLICY_ID_MAX);
	return text_copy(FIELD_AT(char, into, f), POLICY_ID_MAX + 1, n->text);
}

/* An array of 1 to PARSE_LIST_MAX values, each a string, none twice. */
static int read_strings(struct parse *p, const struct document_node *n)
{
	char shown[POLICY_SHOWN_SIZE];
	int r;

	r = read_type(p, n, DOCUMENT_ARRAY);
	if (r < 0)
		return r;
	if (!n->first || n->last->index >= PARSE_LIST_MAX)
		return document_error(n, p->e, "expected 1 to %d values, found %u", PARSE_LIST_MAX,
				      n->first ? n->last->index + 1 : 0);
	for (const struct document_node *m = n->first; m; m = m->next) {
		r = read_type(p, m, DOCUMENT_STRING);
		if (r < 0)
			return r;
		for (const struct document_node *o = n->first; o != m; o = o->next) {
			if (!strcmp(o->text, m->text))
				return document_error(m, p->e, "\"%s\" is here twice",
						      policy_shown(m->text, shown));
		}
	}
	return 0;
}

/* Appends a copy; the list grows by one. */
static int strings_add(struct parse *p, char ***strings, size_t *nr, const char *text)
{
	char **more = reallocarray(*strings, *nr + 1, sizeof(*more));

	if (!more)
		return err_sys(p->e, ENOMEM, "cannot read the policy");
	*strings = more;
	more[*nr] = strdup(text);
	if (!more[*nr])
		return err_sys(p->e, ENOMEM, "cannot read the policy");
	(*nr)++;
	return 0;
}

static int read_filesystems(struct parse *p, const struct document_node *n, const struct field *f,
			    void *into)
{
	struct policy *policy = into;
	int r;

	r = read_strings(p, n);
	for (const struct document_node *m = n->first; m && !r; m = m->next) {
		if (!text_name_ok(m->text, PARSE_NAME_MAX))
			return document_error(m, p->e,
					      "expected the name of a filesystem, as in "
					      "/proc/self/mountinfo");
		r = strings_add(p, &policy->filesystems, &policy->nr_filesystems, m->text);
	}
	return r;
}

static int read_backing(struct parse *p, const struct document_node *n, const struct field *f,
			void *into)
{
	struct rule *rule = into;
	int r;

	r = read_strings(p, n);
	for (const struct document_node *m = n->first; m && !r; m = m->next) {
		if (!rule_path_clean(m->text) || strlen(m->text) >= PATH_MAX)
			return document_error(
				m, p->e,
				"expected a path that begins with /, without . and .. "
				"and //; at its end, / means everything below");
		r = strings_add(p, &rule->backing, &rule->nr_backing, m->text);
	}
	return r;
}

static int unknown_target(struct parse *p, const struct document_node *n)
{
	char known[ERR_TEXT_SIZE] = "", shown[POLICY_SHOWN_SIZE];
	const struct catalog_target *t;
	size_t used = 0;

	for (unsigned int i = 0; i < TARGET_END && used < sizeof(known); i++) {
		t = catalog_target(i);
		if (t)
			used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s",
						 used ? ", " : "", t->name);
	}
	return document_error(n, p->e, "unknown target \"%s\", expected one of %s",
			      policy_shown(n->text, shown), known);
}

static int read_targets(struct parse *p, const struct document_node *n, const struct field *f,
			void *into)
{
	uint32_t targets = 0;
	enum target_id id;
	int r;

	static_assert(TARGET_END <= 32, "targets do not fit the mask");
	r = read_strings(p, n);
	if (r < 0)
		return r;
	for (const struct document_node *m = n->first; m; m = m->next) {
		id = catalog_find(m->text);
		if (id == TARGET_NONE)
			return unknown_target(p, m);
		targets |= 1u << id;
	}
	*FIELD_AT(uint32_t, into, f) = targets;
	return 0;
}

static int read_access(struct parse *p, const struct document_node *n, const struct field *f,
		       void *into)
{
	bool text = n->type == DOCUMENT_STRING, ro = text && !strcmp(n->text, "ro");
	char found[DOCUMENT_FOUND_SIZE];

	if (!ro && !(text && !strcmp(n->text, "rw")))
		return document_error(n, p->e, "expected \"rw\" or \"ro\", found %s",
				      document_found(n, found));
	*FIELD_AT(bool, into, f) = ro;
	return 0;
}

static int read_principal_number(struct parse *p, const struct document_node *n,
				 const struct field *f, void *into)
{
	struct rule *rule = into;

	rule->principal = strcmp(f->key, "uid") ? RULE_PRINCIPAL_GID : RULE_PRINCIPAL_UID;
	return read_u32(p, n, f, into);
}

static int read_principal_name(struct parse *p, const struct document_node *n,
			       const struct field *f, void *into)
{
	bool user = !strcmp(f->key, "user");
	struct rule *rule = into;
	char shown[POLICY_SHOWN_SIZE];
	int r;

	r = read_type(p, n, DOCUMENT_STRING);
	if (r < 0)
		return r;
	if (!text_name_ok(n->text, PARSE_NAME_MAX))
		return document_error(n, p->e, "expected the name of a %s; others by their number",
				      f->key);
	r = user ? p->names->find_user(n->text, &rule->principal_id)
		 : p->names->find_group(n->text, &rule->principal_id);
	if (r == -ENOENT)
		return document_error(n, p->e, "there is no %s \"%s\" on this system", f->key,
				      policy_shown(n->text, shown));
	if (r < 0)
		return document_error(n, p->e, "cannot look up %s \"%s\": %s", f->key,
				      policy_shown(n->text, shown), strerror(-r));
	rule->principal = user ? RULE_PRINCIPAL_UID : RULE_PRINCIPAL_GID;
	return 0;
}

static int read_principal_any(struct parse *p, const struct document_node *n, const struct field *f,
			      void *into)
{
	char found[DOCUMENT_FOUND_SIZE];
	struct rule *rule = into;

	if (n->type != DOCUMENT_BOOL || !n->truth)
		return document_error(n, p->e, "expected true, found %s", document_found(n, found));
	rule->principal = RULE_PRINCIPAL_ANY;
	return 0;
}

static const struct field principal_fields[] = {
	{ "user", read_principal_name },
	{ "uid", read_principal_number, offsetof(struct rule, principal_id), .max = PARSE_ID_LAST },
	{ "group", read_principal_name },
	{ "gid", read_principal_number, offsetof(struct rule, principal_id), .max = PARSE_ID_LAST },
	{ "any", read_principal_any },
};

static int read_principal(struct parse *p, const struct document_node *n, const struct field *f,
			  void *into)
{
	int r;

	r = read_fields(p, n, principal_fields, ARRAY_SIZE(principal_fields), into);
	if (r < 0)
		return r;
	if (!n->first || n->first != n->last)
		return document_error(n, p->e,
				      "expected exactly one of user, uid, group, gid, any");
	return 0;
}

static const struct field rule_fields[] = {
	{ "id", read_id, offsetof(struct rule, id), true },
	{ "principal", read_principal, 0, true },
	{ "targets", read_targets, offsetof(struct rule, targets), true },
	{ "backing", read_backing },
	{ "access", read_access, offsetof(struct rule, read_only) },
	{ "max_size", read_size, offsetof(struct rule, max_size_bytes), true, PARSE_SIZE_MIN,
	  INT64_MAX },
	{ "max_devices_per_container", read_u32, offsetof(struct rule, max_devices_per_container),
	  false, 1, 65536 },
	{ "max_devices", read_u32, offsetof(struct rule, max_devices), false, 1, 65536 },
	{ "host", read_bool, offsetof(struct rule, host) },
	{ "max_queues", read_u32, offsetof(struct rule, max_queues), false, 1, START_QUEUES_MAX },
	{ "max_depth", read_u32, offsetof(struct rule, max_depth), false, 1, START_DEPTH_MAX },
};

static bool rule_has_files(const struct rule *rule)
{
	for (unsigned int i = 0; i < TARGET_END; i++) {
		if (rule->targets & 1u << i && catalog_target(i)->nr_fds)
			return true;
	}
	return false;
}

/* What one key alone does not tell. */
static int check_rule(struct parse *p, const struct document_node *n, const struct rule *rule)
{
	const struct document_node *backing = document_find(n, "backing");
	const struct document_node *most = document_find(n, "max_devices_per_container");

	if (rule_has_files(rule) && !backing)
		return document_error(n, p->e,
				      "expected the key \"backing\", as target file is in targets");
	if (!rule_has_files(rule) && backing)
		return document_key_error(backing, p->e,
					  "expected only where target file is in targets");
	if (!rule->host && !most)
		return document_error(n, p->e, "expected the key \"max_devices_per_container\"");
	if (rule->host && most)
		return document_key_error(most, p->e,
					  "expected only in a rule that is not for the host");
	return 0;
}

static int check_id_unique(struct parse *p, const struct document_node *n,
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

static int read_rules(struct parse *p, const struct document_node *n, const struct field *f,
		      void *into)
{
	struct policy *policy = into;
	struct rule *rule;
	int r;

	r = read_type(p, n, DOCUMENT_ARRAY);
	if (r < 0 || !n->first)
		return r;
	policy->rules = calloc(n->last->index + 1, sizeof(*policy->rules));
	if (!policy->rules)
		return err_sys(p->e, ENOMEM, "cannot read the policy");
	for (const struct document_node *m = n->first; m; m = m->next) {
		rule = &policy->rules[policy->nr_rules++];
		rule->max_devices = PARSE_MAX_DEVICES;
		rule->max_queues = PARSE_MAX_QUEUES;
		rule->max_depth = PARSE_MAX_DEPTH;
		r = read_fields(p, m, rule_fields, ARRAY_SIZE(rule_fields), rule);
		if (!r)
			r = check_rule(p, m, rule);
		if (!r)
			r = check_id_unique(p, m, policy);
		if (r < 0)
			return r;
	}
	return 0;
}

static const struct field worker_ids_fields[] = {
	{ "first", read_u32, offsetof(struct policy, worker_ids_first), true, 1000, PARSE_ID_LAST },
	{ "count", read_u32, offsetof(struct policy, worker_ids_count), true, 1, 65536 },
};

static int read_worker_ids(struct parse *p, const struct document_node *n, const struct field *f,
			   void *into)
{
	/* nobody, and (uid_t)-1 in 16 bits */
	static const uint32_t reserved[] = { 65534, 65535 };
	struct policy *policy = into;
	uint64_t first, last;
	int r;

	r = read_fields(p, n, worker_ids_fields, ARRAY_SIZE(worker_ids_fields), into);
	if (r < 0)
		return r;
	first = policy->worker_ids_first;
	last = first + policy->worker_ids_count - 1;
	if (last > PARSE_ID_LAST)
		return document_error(n, p->e,
				      "expected ids up to %u, found %" PRIu64 " to %" PRIu64,
				      PARSE_ID_LAST, first, last);
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
	{ "version", read_version, 0, true, PARSE_VERSION, PARSE_VERSION },
	{ "worker_ids", read_worker_ids, 0, true },
	{ "filesystems", read_filesystems },
	{ "rules", read_rules, 0, true },
};

static int add_default_filesystems(struct parse *p, struct policy *policy)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(default_filesystems) && !r; i++)
		r = strings_add(p, &policy->filesystems, &policy->nr_filesystems,
				default_filesystems[i]);
	return r;
}

int policy_parse(struct policy **ret, const char *text, size_t size,
		 const struct policy_names *names, struct err *e)
{
	auto_document struct document *d = NULL;
	auto_policy struct policy *policy = NULL;
	struct parse p = { .names = names, .e = e };
	int r;

	if (size > POLICY_SIZE_MAX)
		return err_set(e, EFBIG, "expected at most %d bytes, found %zu", POLICY_SIZE_MAX,
			       size);
	r = document_parse(&d, text, size, e);
	if (r < 0)
		return r;
	policy = calloc(1, sizeof(*policy));
	if (!policy)
		return err_sys(e, ENOMEM, "cannot read the policy");
	r = read_fields(&p, document_root(d), policy_fields, ARRAY_SIZE(policy_fields), policy);
	if (!r && !policy->nr_filesystems)
		r = add_default_filesystems(&p, policy);
	if (r < 0)
		return r;
	*ret = ptr_take(policy);
	return 0;
}
