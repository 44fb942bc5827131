/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/group.h"

#include <sys/wait.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "tests/hostile/ask.h"
#include "tests/hostile/attempt.h"
#include "tests/hostile/strange.h"

/* Each kind where a pidfd belongs, where a backing file does, and where both do. */
void group_kinds(struct caller *c)
{
	const struct wire_attach container = ask_attach(1);
	const struct wire_attach host = ask_attach_host(TARGET_FILE, 1);
	struct wire_attach both = ask_attach(2);

	both.target = TARGET_FILE;
	for (size_t i = 0; i < STRANGE_COUNT; i++) {
		int fd = strange[i].make();

		if (fd < 0)
			ask_die(strange[i].what);
		attempt_one(c, &container, sizeof(container), &fd, 1);
		attempt_one(c, &host, sizeof(host), &fd, 1);
		attempt_one(c, &both, sizeof(both), (int[]){ fd, fd }, 2);
		close(fd);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}

/* Any number of descriptors, announced or not. */
void group_counts(struct caller *c)
{
	static const unsigned int counts[] = { 0, 1, 2, 3, 4, 16, 100, 252, ASK_FDS_MOST };
	auto_close int null_fd = strange_null();
	int fds[ASK_FDS_MOST];

	for (size_t i = 0; i < ASK_FDS_MOST; i++)
		fds[i] = null_fd;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		struct wire_list list = { ask_head(WIRE_LIST, sizeof(list), counts[i]) };

		for (unsigned int said = 0; said < 4; said++) {
			struct wire_attach m = ask_attach(said);

			attempt_one(c, &m, sizeof(m), fds, counts[i]);
		}
		attempt_one(c, &list, sizeof(list), fds, counts[i]);
		attempt_one(c, "x", 1, fds, counts[i]);
		attempt_one(c, "", 0, fds, counts[i]);
	}
}
