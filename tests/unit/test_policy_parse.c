/* SPDX-License-Identifier: Apache-2.0 */
/*
 * With arguments this is a small program instead of a test: it reads each file
 * as a policy and prints one line, "ok" or why not (policy_schema.py uses it).
 */
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/base/err.h"
#include "policy/document.h"
#include "policy/policy.h"
#include "policy/rule.h"
#include "targets/catalog.h"
#include "tests/unit/json_c_takes.h"

/* POLICY_CORPUS and POLICY_EXAMPLES come from the build. */

/* How many allocations succeed from now on; negative: all. The linker leads them here. */
static int allocations_left = -1;

static bool no_memory_now(void)
{
	if (allocations_left > 0)
		allocations_left--;
	else if (!allocations_left)
		return true;
	return false;
}

#define WRAPPED(name, declared, passed)                                                            \
	void *__real_##name declared;                                                              \
	void *__wrap_##name declared;                                                              \
	void *__wrap_##name declared                                                               \
	{                                                                                          \
		return no_memory_now() ? NULL : __real_##name passed;                              \
	}

WRAPPED(malloc, (size_t size), (size))
WRAPPED(calloc, (size_t nr, size_t size), (nr, size))
WRAPPED(reallocarray, (void *p, size_t nr, size_t size), (p, nr, size))
WRAPPED(strdup, (const char *text), (text))

/* Every name has a number, but those a document says have none. */
static int fake_find(const char *name, uint32_t *ret_id)
{
	static const struct {
		const char *name;
		uint32_t id;
	} known[] = { { "ublk-oci-hook", 970 }, { "ublk-oci", 971 }, { "ci", 980 },
		      { "acme", 981 },		{ "globex", 982 },   { "disk", 6 } };

	if (!strcmp(name, "unreachable"))
		return -EIO;
	if (!strncmp(name, "nosuch", strlen("nosuch")))
		return -ENOENT;
	*ret_id = 4711;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (!strcmp(known[i].name, name))
			*ret_id = known[i].id;
	}
	return 0;
}

static const struct policy_names fake_names = { fake_find, fake_find };

/* The whole file; *ret_text is owned by the caller. 0 or -errno. */
static int file_text(const char *path, char **ret_text, size_t *ret_size)
{
	auto_fclose FILE *f = fopen(path, "re");
	auto_free char *text = NULL;

	if (!f)
		return -errno;
	text = malloc(POLICY_SIZE_MAX + 2);
	if (!text)
		return -ENOMEM;
	*ret_size = fread(text, 1, POLICY_SIZE_MAX + 1, f);
	text[*ret_size] = '\0';
	*ret_text = ptr_take(text);
	return 0;
}

static int parse_file(struct policy **ret, const char *path, struct err *e)
{
	auto_free char *text = NULL;
	size_t size;
	int r;

	r = file_text(path, &text, &size);
	if (r < 0)
		return err_sys(e, -r, "%s", path);
	return policy_parse(ret, text, size, &fake_names, e);
}

static int show_verdicts(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		auto_policy struct policy *p = NULL;
		struct err e = { "" };

		puts(parse_file(&p, argv[i], &e) < 0 ? e.text : "ok");
	}
	return 0;
}

/* Calls each() with the path of every document there; how many there were. */
static size_t each_document(const char *dir, void (*each)(const char *path, const char *name))
{
	auto_closedir DIR *d = opendir(dir);
	char path[PATH_MAX];
	struct dirent *entry;
	size_t nr = 0;

	assert_non_null(d);
	while ((entry = readdir(d))) {
		if (fnmatch("*.json", entry->d_name, FNM_PERIOD))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		each(path, entry->d_name);
		nr++;
	}
	return nr;
}

/* What is expected stands in NAME.error, one line. */
static void one_bad(const char *path, const char *name)
{
	auto_policy struct policy *p = NULL;
	auto_free char *expected = NULL;
	char beside[PATH_MAX];
	struct err e = { "" };
	size_t size;

	snprintf(beside, sizeof(beside), "%.*s.error", (int)(strlen(path) - strlen(".json")), path);
	if (file_text(beside, &expected, &size) < 0)
		fail_msg("%s is missing", beside);
	if (!parse_file(&p, path, &e))
		fail_msg("%s is accepted", name);
	if (strncmp(e.text, expected, strlen(e.text)) || strcmp(expected + strlen(e.text), "\n"))
		fail_msg("%s: %s", name, e.text);
}

static void test_bad_documents_are_refused_with_the_reason(void **state)
{
	assert_true(each_document(POLICY_CORPUS "/bad", one_bad) >= 200);
}

static void one_good(const char *path, const char *name)
{
	auto_policy struct policy *p = NULL;
	struct err e = { "" };

	if (parse_file(&p, path, &e) < 0)
		fail_msg("%s: %s", name, e.text);
}

static void test_good_documents_are_accepted(void **state)
{
	assert_true(each_document(POLICY_CORPUS "/good", one_good) >= 45);
}

static void test_examples_are_accepted(void **state)
{
	assert_true(each_document(POLICY_EXAMPLES, one_good) >= 2);
}

static struct policy *good_policy(const char *name)
{
	char path[PATH_MAX];
	struct policy *p = NULL;
	struct err e = { "" };

	snprintf(path, sizeof(path), POLICY_CORPUS "/good/%s.json", name);
	if (parse_file(&p, path, &e) < 0)
		fail_msg("%s: %s", name, e.text);
	return p;
}

static void test_every_key_arrives(void **state)
{
	auto_policy struct policy *p = good_policy("every-key");
	const struct rule *rule = &p->rules[0];

	assert_int_equal(policy_nr_rules(p), 1);
	assert_int_equal(policy_worker_ids_first(p), 910000);
	assert_int_equal(policy_worker_ids_count(p), 1000);
	assert_true(policy_filesystem_ok(p, "ext4"));
	assert_true(policy_filesystem_ok(p, "fuse.sshfs"));
	assert_int_equal(policy_hang_seconds(p), 3600);
	assert_false(policy_filesystem_ok(p, "xfs"));
	assert_false(policy_filesystem_ok(p, "ext"));
	assert_string_equal(rule->id, "all.of_them+here:@-1");
	assert_true(rule->principal.has_gid);
	assert_int_equal(rule->principal.gid, 4294967294u);
	assert_false(rule->principal.has_uid);
	assert_int_equal(rule->targets, 1 << TARGET_NULL | 1 << TARGET_MEMORY | 1 << TARGET_FILE);
	assert_int_equal(rule->backing.nr, 3);
	assert_string_equal(rule->backing.at[0], "/srv/a/");
	assert_string_equal(rule->backing.at[1], "/srv/b.img");
	assert_string_equal(rule->backing.at[2], "/");
	assert_true(rule->read_only);
	assert_int_equal(rule->max_size_bytes, UINT64_C(1) << 30);
	assert_int_equal(rule->max_devices_per_container, 4);
	assert_int_equal(rule->max_devices, 65536);
	assert_false(rule->host);
	assert_int_equal(rule->max_queues, 16);
	assert_int_equal(rule->max_depth, 256);
}

static void test_what_is_not_written_has_its_default(void **state)
{
	static const char *const filesystems[] = { "ext4", "xfs", "btrfs", "tmpfs" };
	auto_policy struct policy *p = good_policy("one-rule");
	const struct rule *rule = &p->rules[0];

	for (size_t i = 0; i < ARRAY_SIZE(filesystems); i++)
		assert_true(policy_filesystem_ok(p, filesystems[i]));
	assert_false(policy_filesystem_ok(p, "fuse"));
	assert_int_equal(policy_hang_seconds(p), 30);
	assert_true(rule->principal.has_uid);
	assert_int_equal(rule->principal.uid, 970);
	assert_false(rule->principal.has_gid);
	assert_false(rule->principal.has_owner);
	assert_null(rule->principal.cgroup);
	assert_int_equal(rule->acts, 1 << POLICY_ATTACH);
	assert_false(rule->any_backing_owner);
	assert_false(rule->share_read_only);
	assert_false(rule->hook_claims || rule->host_claims);
	assert_false(rule->zero_copy);
	assert_true(rule->discard);
	assert_int_equal(rule->max_bytes_per_container, 0);
	assert_int_equal(rule->max_bytes, 0);
	assert_false(rule->read_only);
	assert_false(rule->host);
	assert_int_equal(rule->backing.nr, 0);
	assert_int_equal(rule->max_devices, 64);
	assert_int_equal(rule->max_queues, 4);
	assert_int_equal(rule->max_depth, 64);
}

static void test_escapes_are_decoded(void **state)
{
	auto_policy struct policy *p = good_policy("escaped-characters");

	assert_string_equal(p->rules[0].id, "scratch");
	assert_string_equal(p->rules[0].backing.at[0], "/srv/\xc3\xa9\xf0\x9f\x98\x80/");
}

static void test_principals_become_numbers(void **state)
{
	auto_policy struct policy *all = good_policy("principal-of-all-kinds");
	auto_policy struct policy *any = good_policy("any-principal");
	const struct rule_principal *who = &all->rules[0].principal;

	assert_true(who->has_uid && who->has_gid && who->has_owner);
	assert_int_equal(who->uid, 970);
	assert_int_equal(who->gid, 980);
	assert_int_equal(who->owner_uid, 980);
	assert_string_equal(who->cgroup, "/ci.slice/*/");
	who = &any->rules[0].principal;
	assert_false(who->has_uid || who->has_gid || who->has_owner || who->cgroup);
}

static void test_every_grant_arrives(void **state)
{
	auto_policy struct policy *p = good_policy("every-grant");
	const struct rule *rule = &p->rules[0];

	assert_int_equal(rule->acts, 1 << POLICY_ATTACH | 1 << POLICY_MOUNT | 1 << POLICY_DELETE);
	assert_int_equal(rule->targets, 1 << TARGET_NBD);
	assert_int_equal(rule->nbd.nr, 2);
	assert_string_equal(rule->nbd.at[0], "tcp:[::1]:10809");
	assert_string_equal(rule->nbd.at[1], "unix:/run/x/");
	assert_int_equal(rule->pools.nr, 1);
	assert_string_equal(rule->pools.at[0], "fast");
	assert_true(rule->zero_copy);
	assert_false(rule->discard);
	assert_int_equal(rule->max_bytes_per_container, UINT64_C(2) << 30);
	assert_int_equal(rule->max_bytes, UINT64_C(3) << 30);
	assert_int_equal(rule->mount.under.nr, 1);
	assert_string_equal(rule->mount.under.at[0], "/mnt/");
	assert_int_equal(rule->mount.filesystems.nr, 1);
	assert_string_equal(rule->mount.filesystems.at[0], "xfs");
	assert_true(rule->mount.trust_raw_writers);
	assert_int_equal(rule->io.read_bytes, 1 << 20);
	assert_int_equal(rule->io.write_bytes, 2 << 20);
	assert_int_equal(rule->io.read_ops, 3);
	assert_int_equal(rule->io.write_ops, 4);
}

static void test_pools_arrive(void **state)
{
	auto_policy struct policy *p = good_policy("pools-of-the-store");
	auto_policy struct policy *none = good_policy("one-rule");
	const struct policy_pool *pool = policy_pool(p, 0);

	assert_int_equal(policy_nr_pools(p), 3);
	assert_string_equal(pool->name, "fast");
	assert_string_equal(pool->path, "/srv/fast");
	assert_int_equal(pool->capacity_bytes, UINT64_C(1) << 40);
	assert_int_equal(pool->overcommit_percent, 250);
	assert_int_equal(policy_pool(p, 1)->overcommit_percent, POLICY_OVERCOMMIT_NONE);
	assert_int_equal(policy_pool(p, 2)->capacity_bytes, 0);
	assert_int_equal(policy_nr_pools(none), 1);
	pool = policy_pool(none, 0);
	assert_string_equal(pool->name, "default");
	assert_string_equal(pool->path, POLICY_POOL_PATH);
	assert_int_equal(pool->capacity_bytes, 0);
}

static void test_what_is_made_ahead_has_grants_of_its_own(void **state)
{
	auto_policy struct policy *p = good_policy("made-ahead");

	assert_true(p->rules[0].share_read_only);
	assert_true(p->rules[0].hook_claims && p->rules[0].host_claims);
}

static void test_the_size_limit_is_exact(void **state)
{
	static const char text[] = "{ \"version\": 1, \"worker_ids\": { \"first\": 910000, "
				   "\"count\": 1 }, \"rules\": [] }";
	auto_policy struct policy *p = NULL;
	auto_free char *padded = malloc(POLICY_SIZE_MAX + 1);
	struct err e = { "" };

	assert_non_null(padded);
	memset(padded, ' ', POLICY_SIZE_MAX + 1);
	memcpy(padded, text, strlen(text));
	assert_int_equal(policy_parse(&p, padded, POLICY_SIZE_MAX + 1, &fake_names, &e), -EFBIG);
	assert_string_equal(e.text, "expected at most 262144 bytes, found 262145");
	assert_int_equal(policy_parse(&p, padded, POLICY_SIZE_MAX, &fake_names, &e), 0);
}

static void test_every_cut_of_a_policy_is_refused(void **state)
{
	auto_free char *text = NULL;
	size_t size;

	assert_int_equal(file_text(POLICY_CORPUS "/good/every-key.json", &text, &size), 0);
	while (size && text[size - 1] != '}')
		size--;
	for (size_t cut = 0; cut < size; cut++) {
		auto_policy struct policy *p = NULL;
		auto_free char *copy = malloc(cut + 1);

		assert_non_null(copy);
		memcpy(copy, text, cut);
		assert_int_equal(policy_parse(&p, copy, cut, &fake_names, NULL), -EINVAL);
	}
}

/* json-c takes more than the policy's reader, never less. */
static void one_for_json_c(const char *path, const char *name)
{
	auto_document struct document *d = NULL;
	auto_free char *text = NULL;
	size_t size;

	assert_int_equal(file_text(path, &text, &size), 0);
	if (!document_parse(&d, text, size, NULL) && !json_c_takes(text, size))
		fail_msg("%s: json-c refuses it", name);
}

static void test_json_c_takes_what_is_taken_here(void **state)
{
	each_document(POLICY_CORPUS "/good", one_for_json_c);
	each_document(POLICY_CORPUS "/bad", one_for_json_c);
}

static int parse_with_memory_for(int allocations, const char *text, size_t size, struct err *e)
{
	auto_policy struct policy *p = NULL;
	int r;

	allocations_left = allocations;
	r = policy_parse(&p, text, size, &fake_names, e);
	allocations_left = -1;
	if (!r != !!p)
		fail_msg("%d allocations: %d, and %s policy", allocations, r, p ? "a" : "no");
	return r;
}

/* How many allocations a good document takes: one less is always -ENOMEM. */
static void one_without_memory(const char *path, const char *name)
{
	auto_free char *text = NULL;
	int allocations = 0, r;
	size_t size;

	assert_int_equal(file_text(path, &text, &size), 0);
	for (;; allocations++) {
		struct err e = { "" };

		r = parse_with_memory_for(allocations, text, size, &e);
		if (!r)
			break;
		if (r != -ENOMEM || !strstr(e.text, "Cannot allocate memory"))
			fail_msg("%s: %d allocations: %d, %s", name, allocations, r, e.text);
	}
	assert_true(allocations > 3);
}

static void test_no_memory_is_an_error_wherever_it_ends(void **state)
{
	each_document(POLICY_CORPUS "/good", one_without_memory);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_documents_are_refused_with_the_reason),
		cmocka_unit_test(test_good_documents_are_accepted),
		cmocka_unit_test(test_examples_are_accepted),
		cmocka_unit_test(test_every_key_arrives),
		cmocka_unit_test(test_what_is_not_written_has_its_default),
		cmocka_unit_test(test_escapes_are_decoded),
		cmocka_unit_test(test_principals_become_numbers),
		cmocka_unit_test(test_what_is_made_ahead_has_grants_of_its_own),
		cmocka_unit_test(test_every_grant_arrives),
		cmocka_unit_test(test_the_size_limit_is_exact),
		cmocka_unit_test(test_every_cut_of_a_policy_is_refused),
		cmocka_unit_test(test_json_c_takes_what_is_taken_here),
		cmocka_unit_test(test_pools_arrive),
		cmocka_unit_test(test_no_memory_is_an_error_wherever_it_ends),
	};

	if (argc > 1)
		return show_verdicts(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
