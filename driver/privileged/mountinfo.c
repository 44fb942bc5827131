/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/mountinfo.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"

/* statmount(2), which is younger than some C libraries. */
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000u
#endif
#ifndef SYS_statmount
#define SYS_statmount 457
#endif
#define STATMOUNT_TYPE 0x20u

struct mountinfo_ask {
	uint32_t size;
	uint32_t pad;
	uint64_t id;
	uint64_t what;
};
static_assert(sizeof(struct mountinfo_ask) == 24, "the first version of it");

struct mountinfo_answer {
	uint32_t size;
	uint32_t pad;
	uint64_t what;
	uint32_t other[5];
	uint32_t type; /* where in text it begins */
	uint64_t more[59];
	char text[128];
};
static_assert(offsetof(struct mountinfo_answer, type) == 36 &&
		      offsetof(struct mountinfo_answer, text) == 512,
	      "kernel ABI");

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
	mountinfo_unescape(field[ROOT]);
	mountinfo_unescape(field[POINT]);
	mountinfo_unescape(source);
	ret->root = field[ROOT];
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

int mountinfo_type(int fd, char *ret, size_t size)
{
	struct mountinfo_answer answer;
	struct mountinfo_ask ask = { .size = sizeof(ask), .what = STATMOUNT_TYPE };
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID_UNIQUE, &stx) < 0)
		return -errno;
	if (!(stx.stx_mask & STATX_MNT_ID_UNIQUE))
		return -EOPNOTSUPP;
	ask.id = stx.stx_mnt_id;
	if (syscall(SYS_statmount, &ask, &answer, sizeof(answer), 0) < 0)
		return -errno;
	if (!(answer.what & STATMOUNT_TYPE) || answer.type >= sizeof(answer.text))
		return -EOPNOTSUPP;
	answer.text[sizeof(answer.text) - 1] = '\0';
	/* The table adds what is behind it, "fuse.sshfs", and that is not in here. */
	if (!strncmp(answer.text + answer.type, "fuse", 4))
		return -EOPNOTSUPP;
	return text_copy(ret, size, answer.text + answer.type);
}
