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

static struct shape shape_now(pid_t helper)
{
	char path[64], text[4096];
	struct shape s = { 0 };
	const char *line;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)helper);
	shape_read_text(text, sizeof(text), path);
	line = strstr(text, "VmRSS:");
	s.rss_kib = line ? strtol(line + 6, NULL, 10) : 0;
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)helper);
	s.nr_fds = shape_count_entries(path);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)helper, (int)helper);
	shape_read_text(text, sizeof(text), path);
	for (const char *p = text; *p; p++)
		s.nr_children += *p == ' ';
	return s;
}

struct shape shape_settled(pid_t helper)
{
	int64_t deadline = clock_deadline_ms(SHAPE_SETTLE_MS);
	struct shape s = shape_now(helper), last;

	do {
		last = s;
		clock_sleep_ms(100);
		s = shape_now(helper);
	} while ((s.nr_children || s.nr_fds != last.nr_fds) && clock_left_ms(deadline));
	return s;
}
