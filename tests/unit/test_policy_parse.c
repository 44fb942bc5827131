/* SPDX-License-Identifier: Apache-2.0 */
/*
 * With arguments this is a small program instead of a test: it reads each file
 * as a policy and prints one line, "ok" or why not (policy_schema.py uses it).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/base/err.h"
#include "policy/document.h"
#include "policy/policy.h"
#include "policy/rule.h"
#include "targets/catalog.h"
#include "tests/unit/json_c_takes.h"

/* POLICY_CORPUS and POLICY_EXAMPLES come from the build. */

static int fake_find(const char *name, uint32_t *ret_id)
{
	static const struct {
		const char *name;
		uint32_t id;
	} known[] = { { "ublk-oci-hook", 970 }, { "ci", 980 }, { "disk", 6 } };

	if (!strcmp(name, "unreachable"))
		return -EIO;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (!strcmp(known[i].name, name)) {
			*ret_id = known[i].id;
			return 0;
		}
	}
	return -ENOENT;
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
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		each(path, entry->d_name);
		nr++;
	}
	return nr;
}

static const struct {
	const char *name;
	const char *error;
} bad[] = {
	{ "meaning-group-unknown", "line 7, column 28: rules[0].principal.group: there is no group "
				   "\"nosuchgroup\" on this system" },
	{ "meaning-id-twice",
	  "line 20, column 10: rules[2].id: \"scratch\" is the id of rules[0] already" },
	{ "meaning-key-twice-at-the-top",
	  "line 5, column 2: rules: this key is here twice, first on line 4" },
	{ "meaning-key-twice-by-escape",
	  "line 10, column 4: rules[0].max_size: this key is here twice, first on line 9" },
	{ "meaning-key-twice",
	  "line 10, column 4: rules[0].max_size: this key is here twice, first on line 9" },
	{ "meaning-lookup-fails", "line 7, column 27: rules[0].principal.user: cannot look up user "
				  "\"unreachable\": Input/output error" },
	{ "meaning-minus-zero", "line 7, column 26: rules[0].principal.uid: expected a whole "
				"number from 0 to 4294967294, found -0" },
	{ "meaning-number-with-a-zero-fraction",
	  "line 11, column 19: rules[0].max_devices: expected a whole number from 1 to 65536, "
	  "found 1.0" },
	{ "meaning-number-with-an-exponent", "line 11, column 19: rules[0].max_devices: expected a "
					     "whole number from 1 to 65536, found 1e3" },
	{ "meaning-size-beyond-64-bits",
	  "line 9, column 16: rules[0].max_size: expected a size such as \"64M\" or \"1G\", or "
	  "bytes, from 512 to 9223372036854775807, found \"99999999T\"" },
	{ "meaning-size-too-large",
	  "line 9, column 16: rules[0].max_size: expected a size such as \"64M\" or \"1G\", or "
	  "bytes, from 512 to 9223372036854775807, found \"8E\"" },
	{ "meaning-size-too-small",
	  "line 9, column 16: rules[0].max_size: expected a size such as \"64M\" or \"1G\", or "
	  "bytes, from 512 to 9223372036854775807, found \"511\"" },
	{ "meaning-user-unknown", "line 7, column 27: rules[0].principal.user: there is no user "
				  "\"nosuchuser\" on this system" },
	{ "meaning-worker-ids-over-65535",
	  "line 3, column 16: worker_ids: expected ids without 65535, which the system reserves; "
	  "found 65535 to 65535" },
	{ "meaning-worker-ids-over-nobody",
	  "line 3, column 16: worker_ids: expected ids without 65534, which the system reserves; "
	  "found 65000 to 65999" },
	{ "meaning-worker-ids-over-the-end", "line 3, column 16: worker_ids: expected ids up to "
					     "4294967294, found 4294967000 to 4294967999" },
	{ "schema-16-levels", "line 1, column 1: expected an object, found an array" },
	{ "schema-access-as-bool",
	  "line 11, column 14: rules[0].access: expected \"rw\" or \"ro\", found true" },
	{ "schema-access-unknown",
	  "line 11, column 14: rules[0].access: expected \"rw\" or \"ro\", found \"wr\"" },
	{ "schema-any-false",
	  "line 7, column 26: rules[0].principal.any: expected true, found false" },
	{ "schema-array-at-the-top", "line 1, column 1: expected an object, found an array" },
	{ "schema-backing-empty",
	  "line 11, column 16: rules[0].backing[0]: expected a path that begins with /, without . "
	  "and .. and //; at its end, / means everything below" },
	{ "schema-backing-none",
	  "line 11, column 15: rules[0].backing: expected 1 to 256 values, found 0" },
	{ "schema-backing-relative",
	  "line 11, column 16: rules[0].backing[0]: expected a path that begins with /, without . "
	  "and .. and //; at its end, / means everything below" },
	{ "schema-backing-too-long",
	  "line 11, column 16: rules[0].backing[0]: expected a path that begins with /, without . "
	  "and .. and //; at its end, / means everything below" },
	{ "schema-backing-twice",
	  "line 11, column 23: rules[0].backing[1]: \"/a/\" is here twice" },
	{ "schema-backing-with-dots-at-the-end",
	  "line 11, column 16: rules[0].backing[0]: expected a path that begins with /, without . "
	  "and .. and //; at its end, / means everything below" },
	{ "schema-backing-with-dots",
	  "line 11, column 16: rules[0].backing[0]: expected a path that begins with /, without . "
	  "and .. and //; at its end, / means everything below" },
	{ "schema-backing-with-one-dot",
	  "line 11, column 16: rules[0].backing[0]: expected a path that begins with /, without . "
	  "and .. and //; at its end, / means everything below" },
	{ "schema-backing-with-two-slashes",
	  "line 11, column 16: rules[0].backing[0]: expected a path that begins with /, without . "
	  "and .. and //; at its end, / means everything below" },
	{ "schema-backing-without-file",
	  "line 11, column 4: rules[0].backing: expected only where target file is in targets" },
	{ "schema-depth-too-large", "line 11, column 17: rules[0].max_depth: expected a whole "
				    "number from 1 to 256, found 257" },
	{ "schema-devices-per-container-none",
	  "line 10, column 33: rules[0].max_devices_per_container: expected a whole number from 1 "
	  "to 65536, found 0" },
	{ "schema-devices-per-container-null",
	  "line 10, column 33: rules[0].max_devices_per_container: expected a whole number from 1 "
	  "to 65536, found null" },
	{ "schema-devices-too-many", "line 11, column 19: rules[0].max_devices: expected a whole "
				     "number from 1 to 65536, found 65537" },
	{ "schema-file-without-backing", "line 5, column 3: rules[0]: expected the key "
					 "\"backing\", as target file is in targets" },
	{ "schema-filesystem-as-number",
	  "line 4, column 18: filesystems[0]: expected a string, found 4" },
	{ "schema-filesystem-with-a-space", "line 4, column 18: filesystems[0]: expected the name "
					    "of a filesystem, as in /proc/self/mountinfo" },
	{ "schema-filesystems-none",
	  "line 4, column 17: filesystems: expected 1 to 256 values, found 0" },
	{ "schema-filesystems-twice", "line 4, column 33: filesystems[2]: \"xfs\" is here twice" },
	{ "schema-host-as-number",
	  "line 11, column 12: rules[0].host: expected true or false, found 1" },
	{ "schema-host-rule-with-devices-per-container",
	  "line 10, column 4: rules[0].max_devices_per_container: expected only in a rule that is "
	  "not for the host" },
	{ "schema-id-as-number", "line 6, column 10: rules[0].id: expected a string, found 7" },
	{ "schema-id-empty", "line 6, column 10: rules[0].id: expected 1 to 63 characters of A-Z "
			     "a-z 0-9 . _ + : @ -, the first of them not . or -" },
	{ "schema-id-of-64-characters",
	  "line 6, column 10: rules[0].id: expected 1 to 63 characters of A-Z a-z 0-9 . _ + : @ -, "
	  "the first of them not . or -" },
	{ "schema-id-with-a-dash-first",
	  "line 6, column 10: rules[0].id: expected 1 to 63 characters of A-Z a-z 0-9 . _ + : @ -, "
	  "the first of them not . or -" },
	{ "schema-id-with-a-space", "line 6, column 10: rules[0].id: expected 1 to 63 characters "
				    "of A-Z a-z 0-9 . _ + : @ -, the first of them not . or -" },
	{ "schema-keys-in-capitals",
	  "line 11, column 4: rules[0].ID: unknown key, expected one of id, principal, targets, "
	  "backing, access, max_size, max_devices_per_container, max_devices, host, max_queues, "
	  "max_depth" },
	{ "schema-no-rules", "line 1, column 1: expected the key \"rules\"" },
	{ "schema-no-version", "line 1, column 1: expected the key \"version\"" },
	{ "schema-no-worker-ids", "line 1, column 1: expected the key \"worker_ids\"" },
	{ "schema-null-at-the-top", "line 1, column 1: expected an object, found null" },
	{ "schema-number-behind-utf-8",
	  "line 11, column 40: rules[0].backing[1]: expected a string, found 7" },
	{ "schema-principal-as-text",
	  "line 7, column 17: rules[0].principal: expected an object, found \"root\"" },
	{ "schema-principal-empty", "line 7, column 17: rules[0].principal: expected exactly one "
				    "of user, uid, group, gid, any" },
	{ "schema-principal-of-two", "line 7, column 17: rules[0].principal: expected exactly one "
				     "of user, uid, group, gid, any" },
	{ "schema-queues-none", "line 11, column 18: rules[0].max_queues: expected a whole number "
				"from 1 to 16, found 0" },
	{ "schema-queues-too-many", "line 11, column 18: rules[0].max_queues: expected a whole "
				    "number from 1 to 16, found 17" },
	{ "schema-rule-as-text", "line 4, column 12: rules[0]: expected an object, found \"all\"" },
	{ "schema-rule-without-devices-per-container",
	  "line 5, column 3: rules[0]: expected the key \"max_devices_per_container\"" },
	{ "schema-rule-without-id", "line 5, column 3: rules[0]: expected the key \"id\"" },
	{ "schema-rule-without-principal",
	  "line 5, column 3: rules[0]: expected the key \"principal\"" },
	{ "schema-rule-without-size", "line 5, column 3: rules[0]: expected the key \"max_size\"" },
	{ "schema-rule-without-targets",
	  "line 5, column 3: rules[0]: expected the key \"targets\"" },
	{ "schema-rules-as-object",
	  "line 4, column 11: rules: expected an array, found an object" },
	{ "schema-size-as-bool",
	  "line 9, column 16: rules[0].max_size: expected a size such as \"64M\" or \"1G\", or "
	  "bytes, from 512 to 9223372036854775807, found true" },
	{ "schema-size-below-a-sector",
	  "line 9, column 16: rules[0].max_size: expected a size such as \"64M\" or \"1G\", or "
	  "bytes, from 512 to 9223372036854775807, found 511" },
	{ "schema-size-half",
	  "line 9, column 16: rules[0].max_size: expected a size such as \"64M\" or \"1G\", or "
	  "bytes, from 512 to 9223372036854775807, found 1024.5" },
	{ "schema-size-negative",
	  "line 9, column 16: rules[0].max_size: expected a size such as \"64M\" or \"1G\", or "
	  "bytes, from 512 to 9223372036854775807, found -1" },
	{ "schema-size-with-a-fraction",
	  "line 9, column 16: rules[0].max_size: expected a size such as \"64M\" or \"1G\", or "
	  "bytes, from 512 to 9223372036854775807, found \"1.5G\"" },
	{ "schema-size-with-a-wrong-unit",
	  "line 9, column 16: rules[0].max_size: expected a size such as \"64M\" or \"1G\", or "
	  "bytes, from 512 to 9223372036854775807, found \"1GB\"" },
	{ "schema-target-as-text",
	  "line 8, column 15: rules[0].targets: expected an array, found \"memory\"" },
	{ "schema-target-unknown", "line 8, column 26: rules[0].targets[1]: unknown target "
				   "\"qcow2\", expected one of null, memory, file" },
	{ "schema-targets-none",
	  "line 8, column 15: rules[0].targets: expected 1 to 256 values, found 0" },
	{ "schema-targets-twice",
	  "line 8, column 26: rules[0].targets[1]: \"memory\" is here twice" },
	{ "schema-too-many-filesystems",
	  "line 4, column 17: filesystems: expected 1 to 256 values, found 257" },
	{ "schema-uid-as-text", "line 7, column 26: rules[0].principal.uid: expected a whole "
				"number from 0 to 4294967294, found \"0\"" },
	{ "schema-uid-negative", "line 7, column 26: rules[0].principal.uid: expected a whole "
				 "number from 0 to 4294967294, found -1" },
	{ "schema-uid-that-is-no-uid", "line 7, column 26: rules[0].principal.uid: expected a "
				       "whole number from 0 to 4294967294, found 4294967295" },
	{ "schema-unknown-key-at-the-top", "line 4, column 2: comment: unknown key, expected one "
					   "of version, worker_ids, filesystems, rules" },
	{ "schema-unknown-key-in-a-rule",
	  "line 11, column 4: rules[0].max_sise: unknown key, expected one of id, principal, "
	  "targets, backing, access, max_size, max_devices_per_container, max_devices, host, "
	  "max_queues, max_depth" },
	{ "schema-unknown-key-in-worker-ids",
	  "line 3, column 47: worker_ids.last: unknown key, expected one of first, count" },
	{ "schema-unknown-key-with-an-escape-sequence",
	  "line 4, column 2: ??2J: unknown key, expected one of version, worker_ids, filesystems, "
	  "rules" },
	{ "schema-unknown-principal", "line 7, column 19: rules[0].principal.role: unknown key, "
				      "expected one of user, uid, group, gid, any" },
	{ "schema-user-as-number",
	  "line 7, column 27: rules[0].principal.user: expected a string, found 0" },
	{ "schema-user-empty", "line 7, column 27: rules[0].principal.user: expected the name of a "
			       "user; others by their number" },
	{ "schema-version-2", "line 2, column 13: version: expected 1, found 2" },
	{ "schema-version-as-text", "line 2, column 13: version: expected 1, found \"1\"" },
	{ "schema-worker-ids-as-array",
	  "line 3, column 16: worker_ids: expected an object, found an array" },
	{ "schema-worker-ids-below-1000", "line 3, column 27: worker_ids.first: expected a whole "
					  "number from 1000 to 4294967294, found 999" },
	{ "schema-worker-ids-beyond-32-bits",
	  "line 3, column 27: worker_ids.first: expected a whole number from 1000 to 4294967294, "
	  "found 4294967295" },
	{ "schema-worker-ids-no-count",
	  "line 3, column 16: worker_ids: expected the key \"count\"" },
	{ "schema-worker-ids-none",
	  "line 3, column 44: worker_ids.count: expected a whole number from 1 to 65536, found 0" },
	{ "schema-worker-ids-too-many", "line 3, column 44: worker_ids.count: expected a whole "
					"number from 1 to 65536, found 65537" },
	{ "text-17-levels", "line 1, column 17: [0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: "
			    "expected at most 16 levels" },
	{ "text-bad-escape",
	  "line 6, column 15: rules[0].id: expected one of \" \\ / b f n r t u after \\" },
	{ "text-bare-key", "line 2, column 2: expected a key in double quotes" },
	{ "text-block-comment-behind", "line 6, column 1: JSON has no comments" },
	{ "text-broken-surrogate-pair",
	  "line 6, column 23: rules[0].id: expected a pair of surrogates" },
	{ "text-byte-order-mark", "line 1, column 1: expected a value" },
	{ "text-capital-true", "line 11, column 12: rules[0].host: expected a value" },
	{ "text-comment", "line 1, column 3: JSON has no comments" },
	{ "text-cut-utf-8", "line 6, column 11: rules[0].id: expected UTF-8" },
	{ "text-delete-character",
	  "line 6, column 14: rules[0].id: a string may not hold control characters" },
	{ "text-empty", "line 1, column 1: expected a value" },
	{ "text-escaped-control-character",
	  "line 6, column 20: rules[0].id: a string may not hold control characters" },
	{ "text-escaped-newline",
	  "line 11, column 25: rules[0].backing[0]: a string may not hold control characters" },
	{ "text-hash-comment", "line 1, column 1: JSON has no comments" },
	{ "text-hexadecimal", "line 11, column 20: rules[0]: expected ',' or '}'" },
	{ "text-infinity", "line 11, column 20: rules[0].max_devices: expected a digit" },
	{ "text-leading-zero",
	  "line 11, column 19: rules[0].max_devices: a number may not begin with 0" },
	{ "text-lone-high-surrogate",
	  "line 6, column 17: rules[0].id: expected a pair of surrogates" },
	{ "text-lone-low-surrogate",
	  "line 6, column 17: rules[0].id: expected a pair of surrogates" },
	{ "text-low-surrogate-first",
	  "line 6, column 17: rules[0].id: expected a pair of surrogates" },
	{ "text-minus-alone", "line 11, column 20: rules[0].max_devices: expected a digit" },
	{ "text-nan", "line 11, column 19: rules[0].max_devices: expected a value" },
	{ "text-newline-in-string",
	  "line 6, column 14: rules[0].id: a string may not hold control characters" },
	{ "text-no-colon", "line 2, column 12: expected ':' after a key" },
	{ "text-no-comma", "line 3, column 2: expected ',' or '}'" },
	{ "text-no-digit-behind-the-point",
	  "line 11, column 21: rules[0].max_devices: expected a digit" },
	{ "text-no-digit-in-the-exponent",
	  "line 11, column 21: rules[0].max_devices: expected a digit" },
	{ "text-not-utf-8", "line 6, column 14: rules[0].id: expected UTF-8" },
	{ "text-nul-byte", "line 6, column 1: expected nothing behind the document" },
	{ "text-overlong-utf-8-of-three", "line 6, column 11: rules[0].id: expected UTF-8" },
	{ "text-overlong-utf-8", "line 6, column 11: rules[0].id: expected UTF-8" },
	{ "text-plus-sign", "line 11, column 19: rules[0].max_devices: expected a value" },
	{ "text-short-unicode-escape",
	  "line 6, column 18: rules[0].id: expected four hexadecimal digits after \\u" },
	{ "text-single-quotes", "line 2, column 2: expected a key in double quotes" },
	{ "text-spaces-only", "line 2, column 2: expected a value" },
	{ "text-surrogate-in-utf-8", "line 6, column 11: rules[0].id: expected UTF-8" },
	{ "text-too-many-keys", "line 1, column 504: k64: expected at most 64 keys in an object" },
	{ "text-trailing-comma-in-array", "line 11, column 5: rules[1]: expected a value" },
	{ "text-trailing-comma-in-object", "line 5, column 1: expected a key in double quotes" },
	{ "text-trailing-text", "line 6, column 1: expected nothing behind the document" },
	{ "text-unfinished-object", "line 4, column 13: expected ',' or '}'" },
	{ "text-unfinished-string", "line 3, column 3: expected the end of a string" },
	{ "text-utf-8-beyond-unicode", "line 6, column 11: rules[0].id: expected UTF-8" },
	{ "text-wrong-bracket", "line 4, column 12: rules[0]: expected a value" },
};

static const char *bad_error(const char *name)
{
	size_t size = strlen(name) - strlen(".json");

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (strlen(bad[i].name) == size && !strncmp(bad[i].name, name, size))
			return bad[i].error;
	}
	return NULL;
}

static void one_bad(const char *path, const char *name)
{
	auto_policy struct policy *p = NULL;
	const char *expected = bad_error(name);
	struct err e = { "" };

	if (!expected)
		fail_msg("%s is not in the table", name);
	if (!parse_file(&p, path, &e))
		fail_msg("%s is accepted", name);
	if (strcmp(e.text, expected))
		fail_msg("%s: %s", name, e.text);
}

static void test_bad_documents_are_refused_with_the_reason(void **state)
{
	assert_int_equal(each_document(POLICY_CORPUS "/bad", one_bad), ARRAY_SIZE(bad));
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
	assert_true(each_document(POLICY_CORPUS "/good", one_good) >= 18);
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
	assert_false(policy_filesystem_ok(p, "xfs"));
	assert_false(policy_filesystem_ok(p, "ext"));
	assert_string_equal(rule->id, "all.of_them+here:@-1");
	assert_int_equal(rule->principal, RULE_PRINCIPAL_GID);
	assert_int_equal(rule->principal_id, 4294967294u);
	assert_int_equal(rule->targets, 1 << TARGET_NULL | 1 << TARGET_MEMORY | 1 << TARGET_FILE);
	assert_int_equal(rule->nr_backing, 3);
	assert_string_equal(rule->backing[0], "/srv/a/");
	assert_string_equal(rule->backing[1], "/srv/b.img");
	assert_string_equal(rule->backing[2], "/");
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
	assert_int_equal(rule->principal, RULE_PRINCIPAL_UID);
	assert_int_equal(rule->principal_id, 970);
	assert_false(rule->read_only);
	assert_false(rule->host);
	assert_int_equal(rule->nr_backing, 0);
	assert_int_equal(rule->max_devices, 64);
	assert_int_equal(rule->max_queues, 4);
	assert_int_equal(rule->max_depth, 64);
}

static void test_escapes_are_decoded(void **state)
{
	auto_policy struct policy *p = good_policy("escaped-characters");

	assert_string_equal(p->rules[0].id, "scratch");
	assert_string_equal(p->rules[0].backing[0], "/srv/\xc3\xa9\xf0\x9f\x98\x80/");
}

static void test_principals_become_numbers(void **state)
{
	auto_policy struct policy *group = good_policy("group-principal");
	auto_policy struct policy *any = good_policy("any-principal");

	assert_int_equal(group->rules[0].principal, RULE_PRINCIPAL_GID);
	assert_int_equal(group->rules[0].principal_id, 6);
	assert_int_equal(any->rules[0].principal, RULE_PRINCIPAL_ANY);
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

struct draft {
	char dir[32];
	char path[64];
	int fd;
};

static void draft_new(struct draft *d)
{
	static const char text[] = "{ \"version\": 1, \"worker_ids\": { \"first\": 910000, "
				   "\"count\": 1 }, \"rules\": [] }\n";

	strcpy(d->dir, "/tmp/policy-XXXXXX");
	assert_non_null(mkdtemp(d->dir));
	snprintf(d->path, sizeof(d->path), "%s/policy.json", d->dir);
	d->fd = open(d->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(d->fd >= 0);
	assert_int_equal(write(d->fd, text, strlen(text)), strlen(text));
}

static void draft_free(struct draft *d)
{
	close(d->fd);
	unlink(d->path);
	rmdir(d->dir);
}

/* How a file differs from one that loads; each returns the owner to load it as. */
static uint32_t draft_as_it_is(struct draft *d)
{
	return getuid();
}

static uint32_t draft_group_writable(struct draft *d)
{
	assert_int_equal(fchmod(d->fd, 0620), 0);
	return getuid();
}

static uint32_t draft_other_writable(struct draft *d)
{
	assert_int_equal(fchmod(d->fd, 0602), 0);
	return getuid();
}

static uint32_t draft_of_a_stranger(struct draft *d)
{
	if (getuid())
		return 0;
	assert_int_equal(fchown(d->fd, 4711, 0), 0);
	return 0;
}

static uint32_t draft_of_the_caller(struct draft *d)
{
	if (getuid())
		return getuid();
	assert_int_equal(fchown(d->fd, 4711, 0), 0);
	return 4711;
}

static uint32_t draft_of_root(struct draft *d)
{
	return getuid() ? getuid() : 4711;
}

static uint32_t draft_too_large(struct draft *d)
{
	assert_int_equal(ftruncate(d->fd, POLICY_SIZE_MAX + 1), 0);
	return getuid();
}

static uint32_t draft_directory(struct draft *d)
{
	assert_int_equal(unlink(d->path), 0);
	strcpy(d->path, d->dir);
	return getuid();
}

static uint32_t draft_fifo(struct draft *d)
{
	assert_int_equal(unlink(d->path), 0);
	assert_int_equal(mkfifo(d->path, 0600), 0);
	return getuid();
}

static uint32_t draft_link(struct draft *d)
{
	assert_int_equal(unlink(d->path), 0);
	assert_int_equal(symlink("/dev/null", d->path), 0);
	return getuid();
}

static uint32_t draft_missing(struct draft *d)
{
	assert_int_equal(unlink(d->path), 0);
	return getuid();
}

static uint32_t draft_not_json(struct draft *d)
{
	assert_int_equal(pwrite(d->fd, "[", 1, 0), 1);
	return getuid();
}

static void test_files_are_loaded_as_the_table_says(void **state)
{
	static const struct {
		const char *name;
		uint32_t (*change)(struct draft *d);
		int r;
		const char *words;
	} rows[] = {
		{ "the owner's own file", draft_as_it_is, 0, "" },
		{ "a file of the caller who is not root", draft_of_the_caller, 0, "" },
		{ "a file of root for somebody else", draft_of_root, 0, "" },
		{ "writable by the group", draft_group_writable, -EPERM, "use: chmod go-w /tmp/" },
		{ "writable by others", draft_other_writable, -EPERM, "use: chmod go-w /tmp/" },
		{ "owned by somebody else", draft_of_a_stranger, -EPERM, "use: chown root /tmp/" },
		{ "too large", draft_too_large, -EFBIG, "it is larger than 262144 bytes" },
		{ "a directory", draft_directory, -EINVAL, "it is not a regular file" },
		{ "a fifo nobody writes to", draft_fifo, -EINVAL, "it is not a regular file" },
		{ "a symbolic link", draft_link, -ELOOP, "name the file itself" },
		{ "missing", draft_missing, -ENOENT, "No such file or directory" },
		{ "not a policy", draft_not_json, -EINVAL,
		  "policy.json: line 1, column 12: expected ','" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_policy struct policy *p = NULL;
		struct err e = { "" };
		struct draft d;
		uint32_t owner;
		int r;

		draft_new(&d);
		owner = rows[i].change(&d);
		r = policy_load(&p, d.path, owner, &fake_names, &e);
		draft_free(&d);
		if (r != rows[i].r || !strstr(e.text, rows[i].words) || !r != !!p)
			fail_msg("%s: %d, %s", rows[i].name, r, e.text);
	}
}

static void test_the_system_knows_its_names(void **state)
{
	uint32_t id = 42;

	assert_int_equal(policy_names_system.find_user("root", &id), 0);
	assert_int_equal(id, 0);
	assert_int_equal(policy_names_system.find_user("no-such-user", &id), -ENOENT);
	assert_int_equal(policy_names_system.find_group("no-such-group", &id), -ENOENT);
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
		cmocka_unit_test(test_the_size_limit_is_exact),
		cmocka_unit_test(test_every_cut_of_a_policy_is_refused),
		cmocka_unit_test(test_json_c_takes_what_is_taken_here),
		cmocka_unit_test(test_files_are_loaded_as_the_table_says),
		cmocka_unit_test(test_the_system_knows_its_names),
	};

	if (argc > 1)
		return show_verdicts(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
