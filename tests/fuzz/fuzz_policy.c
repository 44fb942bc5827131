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

/* Rules are tried until one allows, and the last word is the verdict's. */
static void trial_note(void *arg, const struct policy_trial *trial)
{
	bool *allowed = arg;

	if (*allowed || !trial->rule[0] || trial->allowed != !trial->why[0])
		abort();
	*allowed = trial->allowed;
}

static void claim_must_be_decided(const struct policy *p, const struct policy_claim *claim)
{
	struct policy_verdict v, same;
	bool allowed = false;

	policy_explain(p, claim, trial_note, &allowed, &v);
	if (v.allowed != allowed || v.allowed != !!v.rule[0] || v.allowed != !v.reason[0])
		abort();
	policy_decide(p, claim, &same);
	if (v.allowed != same.allowed || strcmp(v.rule, same.rule) || strcmp(v.reason, same.reason))
		abort();
}

static void policy_must_decide(const struct policy *p)
{
	static const uint32_t gids[] = { 4, 6 };
	static const char *const addresses[] = { "tcp:10.1.2.3:10809", "tcp:[2001:db8::1]:10809",
						 "tcp:disks:10809", "unix:/run/nbd.sock" };
	struct policy_claim claim = {
		.uid = 4,
		.gids = gids,
		.nr_gids = 2,
		.cgroup = "/ci.slice/job-1.scope",
		.owner_uid = 4,
		.read_only = true,
		.size_bytes = 512,
		.backing_uid = 4,
		.nr_queues = 1,
		.depth = 1,
	};

	for (unsigned int target = 0; target <= TARGET_END; target++) {
		claim.target = target;
		for (unsigned int i = 0; i < 64; i++) {
			bool mount = i & 16;

			claim.host = i & 1;
			claim.backing = i & 2 ? "/srv/images/a.img" : NULL;
			claim.address = i & 4 ? addresses[i >> 4] : NULL;
			claim.pool = i & 8 ? "fast" : NULL;
			claim.act = mount ? POLICY_MOUNT : POLICY_ATTACH;
			claim.mount_path = mount ? "/mnt/a" : NULL;
			claim.mount_filesystem = mount ? "ext4" : NULL;
			claim.zero_copy = i & 32;
			claim.bytes_in_all = i & 32 ? UINT64_MAX : 0;
			claim_must_be_decided(p, &claim);
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
