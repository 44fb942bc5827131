/* SPDX-License-Identifier: Apache-2.0 */
/* A registry for tests, over rules, with its journal in a folder of its own. */
#pragma once

#include "driver/privileged/registry.h"
#include "policy/policy.h"

#define HOOK_UID 970

struct fixture {
	struct registry reg;
	struct policy *policy;
	char dir[32];
};

/* What stands in for the audit file, by the linker (audit_wrap_dep). */
struct registry_fixture_audit {
	unsigned int nr_lines;
	char last[4096];
	int r; /* negative: no line can be written, and this is why */
};

extern struct registry_fixture_audit audit;

/* For cmocka's setup: a struct fixture, with nothing in it and no list of devices (cdi.h). */
int registry_fixture_begin(void **state, const char *rules);

/* Without devices again. */
void registry_fixture_empty(struct fixture *f);

/* For cmocka's teardown. Fails when something was left behind in its folder. */
int registry_fixture_end(void **state);

/* A device as it may be asked for: memory, 1 MiB. */
struct record registry_fixture_record(void);
