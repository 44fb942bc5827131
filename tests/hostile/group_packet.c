/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/group.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/base/cleanup.h"
#include "tests/hostile/ask.h"
#include "tests/hostile/attempt.h"
#include "tests/hostile/strange.h"

#define SIZES_MOST 4096

/* Every length; a fourth of them in each round. */
static size_t make_size(struct caller *c, unsigned int n, void *bytes)
{
	size_t size = n * CALLER_ROUNDS + c->round;
	struct wire_head head = ask_head((enum wire_type)(n % (WIRE_CLAIM + 1)), size, 0);

	memset(bytes, 0, size);
	memcpy(bytes, &head, size < sizeof(head) ? size : sizeof(head));
	return size;
}

void group_sizes(struct caller *c)
{
	attempt_many(c, SIZES_MOST / CALLER_ROUNDS + (c->round <= SIZES_MOST % CALLER_ROUNDS),
		     make_size);
}

/* More than the helper's buffer, up to what the kernel takes. */
static size_t make_long(struct caller *c, unsigned int n, void *bytes)
{
	size_t size = 4097 + (size_t)n * n * 200;
	struct wire_head head = ask_head(WIRE_ATTACH, size, 0);

	if (n % 2)
		head.size = sizeof(struct wire_attach);
	memset(bytes, 0, size);
	memcpy(bytes, &head, sizeof(head));
	return size;
}

void group_long(struct caller *c)
{
	attempt_many(c, 31, make_long);
}

static size_t make_type(struct caller *c, unsigned int n, void *bytes)
{
	static const size_t sizes[] = { sizeof(struct wire_list), sizeof(struct wire_detach),
					sizeof(struct wire_attach), sizeof(struct wire_reply) };
	size_t size = sizes[n % ARRAY_SIZE(sizes)];
	struct wire_head head = ask_head((enum wire_type)(n / ARRAY_SIZE(sizes)), size, 0);

	if (c->round == 1)
		head.version = (uint16_t)n;
	if (c->round == 2)
		head.magic ^= 1U << n % 32;
	if (c->round == 3)
		head.size += n + 1;
	memset(bytes, 0, size);
	memcpy(bytes, &head, sizeof(head));
	return size;
}

/* Types, versions, marks and sizes that are none. */
void group_heads(struct caller *c)
{
	attempt_many(c, 72, make_type);
}

static size_t make_random(struct caller *c, unsigned int n, void *bytes)
{
	struct wire_attach m = ask_attach(0);
	size_t size = sizeof(m);

	attempt_random(c, bytes, size);
	if (n % 2) {
		m.flags = 0;
		attempt_random(c, (char *)&m + sizeof(m.head), sizeof(m) - sizeof(m.head));
		m.flags &= ~(uint32_t)WIRE_HOST;
		memcpy(bytes, &m, sizeof(m));
	}
	return size;
}

void group_random(struct caller *c)
{
	attempt_many(c, 60, make_random);
}

/* An attach that is right but for a few bytes, for a process that is no container. */
void group_mutated(struct caller *c)
{
	auto_close int pidfd = strange_pidfd();

	for (unsigned int n = 0; n < 40; n++) {
		struct wire_attach m = ask_attach(1);

		for (unsigned int i = 0; i <= n % 3; i++) {
			size_t at = (size_t)rand_r(&c->seed) % sizeof(m);

			attempt_random(c, (char *)&m + at, 1);
		}
		attempt_one(c, &m, sizeof(m), &pidfd, 1);
	}
}
