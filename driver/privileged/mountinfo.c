/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/mountinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/base/cleanup.h"

int mountinfo_open(struct mountinfo *m, int proc_fd, const char *path)
{
	auto_close int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	m->file = fdopen(fd, "r");
	if (!m->file)
		return -errno;
	fd_take(&fd);
	return 0;
}

void mountinfo_close(struct mountinfo *m)
{
	if (m->file)
		fclose(m->file);
	free(m->line);
	m->file = NULL;
	m->line = NULL;
}

static bool octal(char c)
{
	return c >= '0' && c <= '7';
}

/* The kernel writes space, tab, newline and backslash as \ooo. */
static void mountinfo_unescape(char *text)
{
	char *out = text;

	for (char *p = text; *p; p++) {
		if (p[0] == '\\' && octal(p[1]) && octal(p[2]) && octal(p[3])) {
			*out++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
			p += 3;
		} else {
			*out++ = *p;
		}
	}
	*out = '\0';
}

/* "36 35 98:0 /root /point options optional... - type source options" */
int mountinfo_parse(char *line, struct mountinfo_entry *ret)
{
	enum { ID, PARENT, DEVICE, ROOT, POINT, OPTIONS, NR_FIXED };
	char *field[NR_FIXED], *number, *end, *type, *source, *rest = line;

	line[strcspn(line, "\n")] = '\0';
	for (int i = 0; i < NR_FIXED; i++) {
		field[i] = strsep(&rest, " ");
		if (!field[i])
			return -EINVAL;
	}
	do {
		number = strsep(&rest, " ");
	} while (number && strcmp(number, "-"));
	type = strsep(&rest, " ");
	source = strsep(&rest, " ");
	if (!type || !source)
		return -EINVAL;
	ret->id = (uint32_t)strtoul(field[ID], &end, 10);
	if (end == field[ID] || *end)
		return -EINVAL;
	ret->major = (uint32_t)strtoul(field[DEVICE], &end, 10);
	if (end == field[DEVICE] || *end != ':')
		return -EINVAL;
	number = end + 1;
	ret->minor = (uint32_t)strtoul(number, &end, 10);
	if (end == number || *end)
		return -EINVAL;
	mountinfo_unescape(field[POINT]);
	mountinfo_unescape(source);
	ret->point = field[POINT];
	ret->type = type;
	ret->source = source;
	return 0;
}

int mountinfo_next(struct mountinfo *m, struct mountinfo_entry *ret)
{
	errno = 0;
	if (getline(&m->line, &m->line_size, m->file) < 0)
		return errno ? -errno : 0;
	return mountinfo_parse(m->line, ret) ? -EINVAL : 1;
}
