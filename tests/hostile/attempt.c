/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/attempt.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/hostile/ask.h"
#include "tests/hostile/caller.h"

/* False: there was no room for it. */
static bool attempt_collect(struct caller *c, int fd)
{
	struct wire_reply reply = { .status = -1 };
	int r = ask_answer(fd, &reply);

	close(fd);
	if (r == -ETIMEDOUT) {
		fprintf(stderr, "an attempt got no answer\n");
		exit(1);
	}
	if (!r && reply.status == -EAGAIN)
		return false;
	c->nr_attempts++;
	c->nr_given += !r && !reply.status && reply.generation;
	return true;
}

void attempt_one(struct caller *c, const void *bytes, size_t size, const int *fds,
		 unsigned int nr_fds)
{
	int fd;

	do {
		fd = ask_connect(0);
		ask_send(fd, bytes, size, fds, nr_fds);
	} while (!attempt_collect(c, fd));
}

void attempt_many(struct caller *c, unsigned int nr,
		  size_t (*make)(struct caller *c, unsigned int n, void *bytes))
{
	static char bytes[ATTEMPT_BYTES_MOST];
	struct {
		unsigned int n;
		int fd;
	} open[ATTEMPT_AT_ONCE];

	for (unsigned int n = 0; n < nr;) {
		unsigned int k = 0;

		for (; k < ATTEMPT_AT_ONCE && n < nr; k++, n++) {
			size_t size = make(c, n, bytes);

			open[k].n = n;
			open[k].fd = ask_connect(0);
			ask_send(open[k].fd, bytes, size, NULL, 0);
		}
		while (k--) {
			if (!attempt_collect(c, open[k].fd))
				attempt_one(c, bytes, make(c, open[k].n, bytes), NULL, 0);
		}
	}
}

void attempt_random(struct caller *c, void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((unsigned char *)bytes)[i] = (unsigned char)(rand_r(&c->seed) >> 8);
}
