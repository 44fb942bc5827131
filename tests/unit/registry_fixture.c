/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/registry_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/base/log.h"
#include "driver/privileged/journal.h"
#include "targets/catalog.h"
#include "tests/unit/policy_of.h"

struct registry_fixture_audit audit;

int __wrap_audit_file_append(const char *dir, const char *name, const char *line, size_t size,
			     struct err *e);
int __wrap_audit_file_append(const char *dir, const char *name, const char *line, size_t size,
			     struct err *e)
{
	audit.nr_lines++;
	snprintf(audit.last, sizeof(audit.last), "%s", line);
	return audit.r < 0 ? err_sys(e, -audit.r, "as the test wants") : 0;
}

int registry_fixture_begin(void **state, const char *rules)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err e;

	memset(&audit, 0, sizeof(audit));
	log_open("test", LOG_LEVEL_ERROR);
	strcpy(f->dir, "/tmp/registry.XXXXXX");
	if (!mkdtemp(f->dir) || journal_open(f->dir, &f->reg.journal_fd, &e) < 0)
		return -1;
	f->policy = policy_of(rules);
	f->reg.policy = f->policy;
	f->reg.cdi_fd = -1;
	f->reg.hook_uid = HOOK_UID;
	*state = f;
	return 0;
}

void registry_fixture_empty(struct fixture *f)
{
	while (f->reg.nr_devices)
		registry_drop(&f->reg, f->reg.devices[0]->rec.generation, NULL);
}

int registry_fixture_end(void **state)
{
	struct fixture *f = *state;
	char path[64];
	int r;

	registry_fixture_empty(f);
	registry_fini(&f->reg);
	close(f->reg.journal_fd);
	policy_free(f->policy);
	snprintf(path, sizeof(path), "%s/devices", f->dir);
	r = rmdir(path);
	r |= rmdir(f->dir);
	free(f);
	return r;
}

struct record registry_fixture_record(void)
{
	return (struct record){
		.target = TARGET_MEMORY,
		.size_bytes = 1 << 20,
		.asked_bytes = 1 << 20,
		.nr_queues = 2,
		.depth = 32,
	};
}
