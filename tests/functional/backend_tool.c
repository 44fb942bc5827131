/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A back end without the helper, as root:
 *
 *   backend_tool CGROUP SOCKET UID [--read-only] image FORMAT FILE [FORMAT FILE]...
 *   backend_tool CGROUP SOCKET UID [--read-only] exec PROGRAM [ARG]...
 *       says "pid PID", and waits. A byte on standard input, or its end: asks the back end to
 *       end, and says how it ended: "ended", "killed"; or "died: WORDS" when that was before.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/backend.h"
#include "driver/privileged/cgroup.h"
#include "driver/privileged/process.h"
#include "targets/image_format.h"

#define END_MS 10000
#define FILE_BYTES (1ULL << 30)

static int tool_image(struct backend_spec *spec, char **args, struct err *e)
{
	spec->what.kind = BACKEND_IMAGE;
	for (; args[0] && args[1] && spec->nr_files < BACKEND_FILES_MAX; args += 2) {
		int fd = open(args[1], O_PATH | O_CLOEXEC);

		if (fd < 0)
			return err_sys(e, errno, "cannot open %s", args[1]);
		spec->what.formats[spec->nr_files] = image_format_find(args[0]);
		spec->files[spec->nr_files++] = fd;
	}
	return 0;
}

static int tool_exec(struct backend_spec *spec, char **args, struct err *e)
{
	size_t used = 0;

	spec->what.kind = BACKEND_EXEC;
	for (; *args; args++) {
		size_t n = strlen(*args) + 1;

		if (used + n > sizeof(spec->what.args))
			return err_set(e, E2BIG, "too many arguments");
		memcpy(spec->what.args + used, *args, n);
		used += n;
		spec->what.nr_args++;
	}
	return 0;
}

/* Until somebody wants it to end, or it does. */
static int tool_wait(const struct backend *b, const struct backend_spec *spec)
{
	struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN },
				{ .fd = b->pidfd, .events = POLLIN } };
	char words[BACKEND_WORDS_SIZE];
	struct err e;

	poll(fds, ARRAY_SIZE(fds), -1);
	if (process_ended(b->pidfd)) {
		backend_words(b->words_fd, words);
		printf("died: %s\n", words);
	} else {
		printf("%s\n",
		       backend_ask_to_end(b->pidfd, spec->uid, END_MS, &e) < 0 ? e.text : "ended");
	}
	return cgroup_remove(spec->cgroup, END_MS, NULL) < 0;
}

int main(int argc, char **argv)
{
	auto_backend struct backend b = BACKEND_INIT;
	struct backend_spec spec = {
		.program_fd = open(BACKEND_PROGRAM, O_PATH | O_CLOEXEC),
		.file_size_limit = FILE_BYTES,
	};
	char **args = argv + 4;
	struct err e;
	int r;

	if (argc < 6 || spec.program_fd < 0) {
		fprintf(stderr, "usage: backend_tool CGROUP SOCKET UID [--read-only] "
				"image|exec ...\n");
		return 2;
	}
	spec.cgroup = argv[1];
	spec.socket = argv[2];
	spec.uid = spec.gid = (uid_t)strtoul(argv[3], NULL, 10);
	if (!strcmp(*args, "--read-only")) {
		spec.what.flags |= BACKEND_READ_ONLY;
		args++;
	}
	r = strcmp(*args, "image") ? tool_exec(&spec, args + 1, &e)
				   : tool_image(&spec, args + 1, &e);
	if (r == 0)
		r = backend_start(&b, &spec, &e);
	if (r < 0) {
		fprintf(stderr, "backend_tool: %s\n", e.text);
		return 1;
	}
	printf("pid %d\n", (int)b.pid);
	fflush(stdout);
	return tool_wait(&b, &spec);
}
