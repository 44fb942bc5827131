/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/shape.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"
#include "tests/hostile/ask.h"

#define SHAPE_SETTLE_MS 20000 /* until no child is left */

static long shape_count_entries(const char *path)
{
	DIR *dir = opendir(path);
	long n = 0;

	if (!dir)
		ask_die(path);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static void shape_read_text(char *text, size_t size, const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (n < 0)
		ask_die(path);
	text[n] = '\0';
}

static void shape_look_children(struct shape *s, pid_t helper)
{
	char path[64], text[8192], *at = text, *end;
	pid_t pid;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)helper, (int)helper);
	shape_read_text(text, sizeof(text), path);
	while ((pid = (pid_t)strtol(at, &end, 10)) && s->nr_children < SHAPE_CHILDREN_MAX) {
		s->children[s->nr_children++] = pid;
		at = end;
	}
}

void shape_look(struct shape *ret, pid_t helper)
{
	char path[64], text[4096];
	const char *line;

	*ret = (struct shape){ 0 };
	snprintf(path, sizeof(path), "/proc/%d/status", (int)helper);
	shape_read_text(text, sizeof(text), path);
	line = strstr(text, "VmRSS:");
	ret->rss_kib = line ? strtol(line + 6, NULL, 10) : 0;
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)helper);
	ret->nr_fds = shape_count_entries(path);
	shape_look_children(ret, helper);
}

void shape_settle(struct shape *ret, pid_t helper, size_t nr_workers)
{
	int64_t deadline = clock_deadline_ms(SHAPE_SETTLE_MS);
	long nr_fds;

	shape_look(ret, helper);
	do {
		nr_fds = ret->nr_fds;
		clock_sleep_ms(100);
		shape_look(ret, helper);
	} while ((ret->nr_children != nr_workers || ret->nr_fds != nr_fds) &&
		 clock_left_ms(deadline));
}

bool shape_has_child(const struct shape *s, pid_t pid)
{
	for (size_t i = 0; i < s->nr_children; i++) {
		if (s->children[i] == pid)
			return true;
	}
	return false;
}
