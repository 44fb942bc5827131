/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words chosen by callers in an audit line. Whatever they are, the line is
 * there, is one line of JSON in ASCII, and says of every fact what it was.
 *
 * Input: number of groups, flags, then the words, each ended by a zero.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/audit.h"
#include "driver/privileged/caller.h"
#include "targets/catalog.h"
#include "tests/fuzz/fuzz.h"

struct words {
	const char *next;
	const char *end;
};

/* The next word, cut to fit a field. */
static void take(struct words *w, char *field, size_t size)
{
	size_t n = 0;

	for (; w->next < w->end && *w->next; w->next++) {
		if (n + 1 < size)
			field[n++] = *w->next;
	}
	w->next += w->next < w->end;
	memset(field + n, 0, size - n);
}

static struct json_object *member(struct json_object *line, const char *key)
{
	struct json_object *o = NULL;

	must(json_object_object_get_ex(line, key, &o));
	return o;
}

/* Plain words come back as they were. */
static void word_must_be(struct json_object *line, const char *key, const char *word)
{
	const char *said = json_object_get_string(member(line, key));

	for (const char *p = word; *p; p++) {
		if ((unsigned char)*p >= 0x80 || p - word > 100)
			return;
	}
	must(*word ? said && !strcmp(said, word) : !said || !*said);
}

static void line_must_hold(const char *line, int n, const struct audit_event *event)
{
	struct json_tokener *tok = json_tokener_new();
	struct json_object *o, *principal;

	must(n > 0 && strlen(line) == (size_t)n && line[n - 1] == '\n');
	for (int i = 0; i < n - 1; i++)
		must(line[i] >= ' ' && line[i] <= '~');
	must(tok != NULL);
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	o = json_tokener_parse_ex(tok, line, n - 1);
	must(o && json_tokener_get_parse_end(tok) == (size_t)n - 1);
	principal = member(o, "principal");
	must(json_object_get_int64(member(principal, "uid")) == event->peer->uid);
	must(!strcmp(json_object_get_string(member(o, "verdict")),
		     event->allowed ? "allowed" : "refused"));
	word_must_be(principal, "cgroup", event->peer->cgroup);
	word_must_be(o, "reason", event->reason);
	word_must_be(o, "rule", event->rule);
	word_must_be(o, "backing", event->rec->backing);
	word_must_be(o, "path", event->rec->path);
	json_object_put(o);
	json_tokener_free(tok);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	uint32_t gids[CALLER_GROUPS_MAX + 1];
	char cgroup[CALLER_CGROUP_SIZE], rule[POLICY_ID_MAX + 1], reason[ERR_TEXT_SIZE],
		line[AUDIT_LINE_SIZE];
	struct record rec = { .target = TARGET_FILE, .container_pid = 7, .size_bytes = UINT64_MAX };
	const struct timespec now = { 1700000000, 5000000 };
	struct registry_peer peer = { .pid = 4, .cgroup = cgroup, .uid = 1000, .gids = gids };
	struct audit_event event = {
		.request = "attach", .peer = &peer, .rec = &rec, .rule = rule, .reason = reason
	};
	struct words w;

	if (size < 2)
		return 0;
	w = (struct words){ (const char *)bytes + 2, (const char *)bytes + size };
	memset(gids, 0xfe, sizeof(gids));
	peer.nr_gids = bytes[0] % (ARRAY_SIZE(gids) + 1);
	event.allowed = bytes[1] & 1;
	rec.flags = bytes[1] & 2 ? WIRE_HOST : 0;
	take(&w, reason, sizeof(reason));
	take(&w, cgroup, sizeof(cgroup));
	take(&w, rule, sizeof(rule));
	take(&w, rec.container, sizeof(rec.container));
	take(&w, rec.container_cgroup, sizeof(rec.container_cgroup));
	take(&w, rec.path, sizeof(rec.path));
	take(&w, rec.backing, sizeof(rec.backing));
	line_must_hold(line, audit_format(&event, &now, line), &event);
	return 0;
}
