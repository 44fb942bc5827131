/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/audit.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "driver/base/log.h"
#include "driver/privileged/audit_file.h"
#include "driver/privileged/json.h"
#include "targets/catalog.h"

static void audit_put_time(struct json *j, const struct timespec *now)
{
	char text[40], day[24];
	struct tm tm;

	gmtime_r(&now->tv_sec, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%03dZ", day, (int)(now->tv_nsec / 1000000));
	json_text(j, "time", text);
}

static void audit_put_principal(struct json *j, const struct registry_peer *peer)
{
	const size_t primary = peer->nr_gids > 0;

	json_object(j, "principal");
	json_number(j, "uid", peer->uid);
	if (primary)
		json_number(j, "gid", peer->gids[0]);
	else
		json_null(j, "gid");
	json_numbers(j, "groups", peer->gids + primary, peer->nr_gids - primary);
	json_number(j, "pid", (uint64_t)peer->pid);
	json_text(j, "cgroup", peer->cgroup && *peer->cgroup ? peer->cgroup : NULL);
	json_object_end(j);
}

static void audit_put_container(struct json *j, const struct record *rec)
{
	if (!rec || rec->flags & WIRE_NO_CONTAINER || !*rec->container) {
		json_null(j, "container");
		return;
	}
	json_object(j, "container");
	json_text(j, "id", rec->container);
	json_number(j, "pid", (uint64_t)rec->container_pid);
	json_text(j, "cgroup", *rec->container_cgroup ? rec->container_cgroup : NULL);
	/* Nothing is known of the owner before there is a process. */
	if (rec->container_pid)
		json_number(j, "owner", rec->container_uid);
	else
		json_null(j, "owner");
	json_object_end(j);
}

static void audit_put_device(struct json *j, const struct record *rec)
{
	const struct catalog_target *target = rec ? catalog_target(rec->target) : NULL;
	char device[32];

	snprintf(device, sizeof(device), "ublkb%u", rec ? rec->dev_id : 0);
	json_text(j, "device", rec && rec->generation ? device : NULL);
	json_text(j, "path", rec && *rec->path ? rec->path : NULL);
	json_text(j, "filesystem", rec ? catalog_filesystem(rec->filesystem) : NULL);
	json_text(j, "target", target ? target->name : NULL);
	if (rec && rec->size_bytes)
		json_number(j, "bytes", rec->size_bytes);
	else
		json_null(j, "bytes");
	json_text(j, "access", !target ? NULL : rec->flags & WIRE_READ_ONLY ? "ro" : "rw");
	if (target && target->by_address)
		json_text(j, "export", rec->nbd.export_name);
	json_text(j, "backing", rec && *rec->backing ? rec->backing : NULL);
	if (rec && *rec->base)
		json_text(j, "base", rec->base);
}

int audit_format(const struct audit_event *event, const struct timespec *now,
		 char line[AUDIT_LINE_SIZE])
{
	struct json j;
	int n;

	json_init(&j, line, AUDIT_LINE_SIZE - 1);
	audit_put_time(&j, now);
	json_text(&j, "request", event->request);
	json_text(&j, "verdict", event->allowed ? "allowed" : "refused");
	json_text(&j, "rule", event->rule && *event->rule ? event->rule : NULL);
	json_text(&j, "reason", event->reason);
	audit_put_principal(&j, event->peer);
	audit_put_container(&j, event->rec);
	audit_put_device(&j, event->rec);
	n = json_fini(&j);
	if (n < 0)
		return n;
	line[n] = '\n';
	line[n + 1] = '\0';
	return n + 1;
}

int audit_write(const struct audit_event *event, struct err *e)
{
	char line[AUDIT_LINE_SIZE];
	struct timespec now;
	int n, r;

	clock_gettime(CLOCK_REALTIME, &now);
	n = audit_format(event, &now, line);
	if (n < 0)
		return err_sys(e, -n, "cannot write the audit line");
	log_text(LOG_LEVEL_INFO, line, (size_t)n - 1);
	r = audit_file_append(AUDIT_DIR, AUDIT_NAME, line, (size_t)n, e);
	return r < 0 ? err_prefix(e, r, "cannot write the audit line") : 0;
}

void audit_note(const struct audit_event *event)
{
	struct err e;

	if (audit_write(event, &e) < 0)
		log_error("%s", e.text);
}

int audit_verdict(const char *request, const struct registry_peer *peer, const struct record *rec,
		  const struct policy_verdict *verdict, struct err *e)
{
	const struct audit_event event = {
		.request = request,
		.peer = peer,
		.rec = rec,
		.allowed = verdict->allowed,
		.rule = verdict->rule,
		.reason = verdict->reason,
	};

	return audit_write(&event, e);
}
