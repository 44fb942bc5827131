/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "driver/base/log.h"
#include "targets/catalog.h"

#define AUDIT_TEXT_SIZE (2 * ERR_TEXT_SIZE)

/* As a JSON string without its quotes; what does not fit is cut at a whole character. */
static const char *audit_escape(const char *text, char buf[AUDIT_TEXT_SIZE])
{
	size_t n = 0;

	for (; *text && n + 7 < AUDIT_TEXT_SIZE; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			n += (size_t)snprintf(buf + n, AUDIT_TEXT_SIZE - n, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			n += (size_t)snprintf(buf + n, AUDIT_TEXT_SIZE - n, "\\u%04x", c);
		else
			buf[n++] = (char)c;
	}
	buf[n] = '\0';
	return buf;
}

void audit_verdict(const struct record *rec, const struct policy_verdict *verdict)
{
	char container[AUDIT_TEXT_SIZE], path[AUDIT_TEXT_SIZE], backing[AUDIT_TEXT_SIZE];
	char reason[AUDIT_TEXT_SIZE];
	const struct catalog_target *target = catalog_target(rec->target);

	log_info("{\"audit\":\"attach\",\"time\":%lld,\"uid\":%u,\"gid\":%u,\"container\":\"%s\","
		 "\"pid\":%d,\"path\":\"%s\",\"target\":\"%s\",\"bytes\":%" PRIu64 ","
		 "\"access\":\"%s\",\"backing\":\"%s\",\"verdict\":\"%s\",\"rule\":\"%s\","
		 "\"reason\":\"%s\"}",
		 (long long)time(NULL), rec->peer_uid, rec->peer_gid,
		 audit_escape(rec->container, container), rec->container_pid,
		 audit_escape(rec->path, path), target ? target->name : "", rec->size_bytes,
		 rec->flags & WIRE_READ_ONLY ? "ro" : "rw", audit_escape(rec->backing, backing),
		 verdict->allowed ? "allowed" : "refused", verdict->rule,
		 audit_escape(verdict->reason, reason));
}
