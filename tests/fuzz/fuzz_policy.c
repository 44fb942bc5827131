/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text as a policy. What is taken as JSON must be JSON to json-c too; what
 * is refused says where; what is a policy decides claims, each with a rule or
 * a reason.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "policy/document.h"
#include "policy/policy.h"
#include "targets/catalog.h"
#include "tests/unit/json_c_takes.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static int fake_find(const char *name, uint32_t *ret_id)
{
	if (name[0] == 'n')
		return -ENOENT;
	*ret_id = (uint32_t)strlen(name);
	return 0;
}

static const struct policy_names fake_names = { fake_find, fake_find };

static void policy_must_decide(const struct policy *p)
{
	static const uint32_t gids[] = { 4, 6 };
	struct policy_claim claim = {
		.uid = 4,
		.gids = gids,
		.nr_gids = 2,
		.read_only = true,
		.size_bytes = 512,
		.nr_queues = 1,
		.depth = 1,
	};
	struct policy_verdict v;

	for (unsigned int target = 0; target <= TARGET_END; target++) {
		for (unsigned int i = 0; i < 4; i++) {
			claim.target = target;
			claim.host = i & 1;
			claim.backing = i & 2 ? "/srv/images/a.img" : NULL;
			policy_decide(p, &claim, &v);
			if (v.allowed != !!v.rule[0] || v.allowed != !v.reason[0])
				abort();
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	auto_document struct document *d = NULL;
	auto_policy struct policy *p = NULL;
	auto_free char *text = malloc(size + 1);
	struct err e = { "" };

	if (!text)
		return 0;
	memcpy(text, bytes, size);
	text[size] = '\0';
	if (document_parse(&d, text, size, &e) < 0) {
		if (strncmp(e.text, "line ", 5))
			abort();
	} else if (!json_c_takes(text, size)) {
		abort();
	}
	if (!policy_parse(&p, text, size, &fake_names, &e))
		policy_must_decide(p);
	return 0;
}
