/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One JSON line per verdict, on stderr (the journal) and in the audit file: when,
 * who as the kernel knows it, for what, which rule decided and why.
 */
#pragma once

#include <stdbool.h>
#include <time.h>

#include "driver/privileged/registry.h"
#include "policy/policy.h"

#define AUDIT_DIR "/var/log/ublk-oci"
#define AUDIT_NAME "audit.log"

struct audit_event {
	const char *request; /* "attach", "detach", ... */
	const struct registry_peer *peer;
	const struct record *rec; /* what it is about; NULL: no device, or none that is known */
	bool allowed;
	const char *rule;   /* NULL: no rule decided */
	const char *reason; /* for people */
};

/* -errno: it is not in the file; what was allowed must not be done then. */
int audit_write(const struct audit_event *event, struct err *e);

/* The same for what is done, or not done, whatever becomes of the line. */
void audit_note(const struct audit_event *event);

/* What the policy says of an attach, or of a claim. */
int audit_verdict(const char *request, const struct registry_peer *peer, const struct record *rec,
		  const struct policy_verdict *verdict, struct err *e);

/* The line, with its newline, at this time. Its length, or -E2BIG. */
#define AUDIT_LINE_SIZE 8192
int audit_format(const struct audit_event *event, const struct timespec *now,
		 char line[AUDIT_LINE_SIZE]);
