/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/attempt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/hostile/ask.h"
#include "tests/hostile/caller.h"

static void attempt_collect(struct caller *c, int fd)
{
	struct wire_reply reply = { .status = -1 };
	int r = ask_answer(fd, &reply);

	if (r == -ETIMEDOUT) {
		fprintf(stderr, "an attempt got no answer\n");
		exit(1);
	}
	c->nr_attempts++;
	c->nr_given += !r && !reply.status && reply.generation;
	close(fd);
}

void attempt_one(struct caller *c, const void *bytes, size_t size, const int *fds,
		 unsigned int nr_fds)
{
	int fd = ask_connect(0);

	ask_send(fd, bytes, size, fds, nr_fds);
	attempt_collect(c, fd);
}

void attempt_many(struct caller *c, unsigned int nr,
		  size_t (*make)(struct caller *c, unsigned int n, void *bytes))
{
	static char bytes[ATTEMPT_BYTES_MOST];
	int open[ATTEMPT_AT_ONCE];

	for (unsigned int n = 0; n < nr;) {
		unsigned int k = 0;

		for (; k < ATTEMPT_AT_ONCE && n < nr; k++, n++) {
			size_t size = make(c, n, bytes);

			open[k] = ask_connect(0);
			ask_send(open[k], bytes, size, NULL, 0);
		}
		while (k)
			attempt_collect(c, open[--k]);
	}
}

void attempt_random(struct caller *c, void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((unsigned char *)bytes)[i] = (unsigned char)(rand_r(&c->seed) >> 8);
}
