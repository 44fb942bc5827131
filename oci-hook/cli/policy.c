/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/policy.h"

#include <getopt.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "oci-hook/cli/cli.h"
#include "oci-hook/cli/explain.h"
#include "oci-hook/client.h"
#include "oci-hook/quote.h"
#include "policy/policy.h"

static const struct cli_option policy_options[] = {
	{ "json", NULL, 'j', "the result as JSON" },
};

static const struct cli_page policy_page = {
	.command = "policy",
	.synopsis = "policy check FILE [--json]\n"
		    "policy explain [OPTION]... attach --target NAME [OPTION OF ATTACH]...\n"
		    "policy reload",
	.about = "check: would the helper take this policy, and if not, why?\n"
		 "explain: which rule decides a request, and why not the others? (explain --help)\n"
		 "reload: the helper reads its policy again; only root may ask.",
	.options = policy_options,
	.nr_options = ARRAY_SIZE(policy_options),
};

static void json_add_text(struct json_object *o, const char *key, const char *text)
{
	char shown[PATH_MAX + ERR_TEXT_SIZE];

	json_object_object_add(o, key,
			       json_object_new_string(quote_text(shown, sizeof(shown), text)));
}

/* One object; error is NULL when the policy is fine. */
static void print_json(const char *path, size_t nr_rules, const char *error)
{
	struct json_object *o = json_object_new_object();

	json_add_text(o, "file", path);
	json_object_object_add(o, "valid", json_object_new_boolean(!error));
	if (error)
		json_add_text(o, "error", error);
	else
		json_object_object_add(o, "rules", json_object_new_int64((int64_t)nr_rules));
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
						       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

static int policy_check(const char *path, bool json)
{
	auto_policy struct policy *policy = NULL;
	char shown[256];
	struct err e;
	int r, status;

	r = policy_load(&policy, path, getuid(), &policy_names_system, &e);
	if (r < 0 && !json)
		return cli_fail(&policy_page, &e);
	if (json)
		print_json(path, r < 0 ? 0 : policy_nr_rules(policy), r < 0 ? e.text : NULL);
	else
		printf("%s: ok, %zu rule%s\n", quote_text(shown, sizeof(shown), path),
		       policy_nr_rules(policy), policy_nr_rules(policy) == 1 ? "" : "s");
	status = cli_end(&policy_page);
	return r < 0 ? CLI_FAILED : status;
}

/* The words are the helper's: its file may be another than the caller thinks of. */
static int policy_reload(void)
{
	struct wire_reply reply = { 0 };
	char shown[2 * WIRE_REASON_SIZE];
	struct err e;

	if (client_reload(CLIENT_TIMEOUT_MS, &reply, &e) < 0)
		return cli_fail(&policy_page, &e);
	printf("the policy is read again: %s\n", quote_text(shown, sizeof(shown), reply.reason));
	return cli_end(&policy_page);
}

int policy_main(int argc, char **argv)
{
	int c, status = CLI_DONE;
	bool json = false;

	/* Its options are its own, and their order has a meaning. */
	if (argc > 1 && !strcmp(argv[1], "explain"))
		return explain_main(argc - 1, argv + 1);
	while ((c = cli_next(&policy_page, argc, argv, &status)) != 0) {
		if (c < 0)
			return status;
		json = true;
	}
	if (argc - optind == 1 && !strcmp(argv[optind], "reload") && !json)
		return policy_reload();
	if (argc - optind != 2 || strcmp(argv[optind], "check"))
		return cli_misuse(&policy_page, "expected: check FILE, explain ... or reload");
	return policy_check(argv[optind + 1], json);
}
