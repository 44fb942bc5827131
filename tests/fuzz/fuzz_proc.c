/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of /proc that the helper reads and others have a hand in: whoever
 * mounts chooses mount points and sources, whoever runs chooses names. The
 * first byte of the input says what the rest is: such a text, or a name, for
 * which a text is made as the kernel makes it, and must be read right.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/hierarchy.h"
#include "driver/privileged/mountinfo.h"
#include "driver/privileged/process.h"
#include "driver/privileged/stall.h"
#include "tests/fuzz/fuzz.h"

static bool inside(const char *p, const char *text, size_t size)
{
	return p >= text && p + strlen(p) <= text + size;
}

static void read_mountinfo(char *text, size_t size)
{
	struct mountinfo_entry entry = { 0 };
	int r = mountinfo_parse(text, &entry);

	if (r) {
		must(r == -EINVAL);
		return;
	}
	must(inside(entry.point, text, size) && inside(entry.type, text, size) &&
	     inside(entry.source, text, size) && inside(entry.root, text, size));
	must(!strchr(entry.type, ' ') && !strchr(entry.type, '\n'));
}

static void read_stat(char *text, size_t size)
{
	uint64_t ticks = 1;
	int r = process_parse_stat(text, &ticks);

	must(r == 0 || (r == -EINVAL && ticks == 1));
}

/* No name changes which number is taken for the start time, or what a thread does. */
static void read_name(char *text, size_t size)
{
	auto_free char *stat = NULL;
	struct stall_thread thread = { 0 };
	uint64_t ticks = 0;

	must(asprintf(&stat,
		      "77 (%s) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 4711 23 24\n",
		      text) > 0);
	must(process_parse_stat(stat, &ticks) == 0 && ticks == 4711);
	must(stall_parse_thread(stat, "Name:\t?\nvoluntary_ctxt_switches:\t3\n", &thread));
	must(thread.tid == 77 && thread.state == 'S' && thread.ticks == 14 + 15 &&
	     thread.sleeps == 3);
}

/* No mount point changes what is taken for the type: the kernel escapes it as it does here. */
static void read_point(char *text, size_t size)
{
	auto_free char *escaped = calloc(size + 1, 4);
	auto_free char *line = NULL;
	struct mountinfo_entry entry = { 0 };
	char *out = escaped;

	must(escaped);
	for (const char *p = text; *p; p++)
		out += sprintf(out, strchr(" \t\n\\", *p) ? "\\%03o" : "%c", *p);
	must(asprintf(&line, "36 35 98:7 / %s rw,noatime master:1 - ext4 %s rw\n", escaped,
		      escaped) > 0);
	must(mountinfo_parse(line, &entry) == 0);
	must(entry.id == 36 && entry.major == 98 && entry.minor == 7);
	must(!strcmp(entry.point, text) && !strcmp(entry.type, "ext4") &&
	     !strcmp(entry.source, text));
}

static void read_cgroup(char *text, size_t size)
{
	const char *path = process_parse_cgroup(text);

	must(!path || (inside(path, text, size) && *path == '/' && !strchr(path, '\n')));
	path = hierarchy_parse_devices(text);
	must(!path || (inside(path, text, size) && *path == '/' && !strchr(path, '\n')));
}

/* No name of a cgroup, which is one line, changes which path is taken; in v1's lines neither. */
static void read_cgroup_name(char *text, size_t size)
{
	auto_free char *lines = NULL, *expected = NULL;

	text[strcspn(text, "\n")] = '\0';
	must(asprintf(&expected, "/%s", text) > 0);
	must(asprintf(&lines, "9:devices:/%s\n1:name=%s:/x\n0::/%s\n", text, text, text) > 0);
	must(!strcmp(process_parse_cgroup(lines), expected));
	must(!strcmp(hierarchy_parse_devices(lines), expected));
}

static void (*const readers[])(char *text, size_t size) = {
	read_mountinfo, read_stat, read_name, read_point, read_cgroup, read_cgroup_name,
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	auto_free char *text = NULL;

	if (!size)
		return 0;
	text = malloc(size); /* exactly, so that a step beyond its end is seen */
	must(text);
	memcpy(text, bytes + 1, size - 1);
	text[size - 1] = '\0';
	readers[bytes[0] % ARRAY_SIZE(readers)](text, size - 1);
	return 0;
}
