/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzers have in common. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* libFuzzer's, or replay.c's; the first one is optional. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Unlike assert() in every build. */
static inline void must(bool ok)
{
	if (!ok)
		abort();
}

/* The first 64 descriptors, a bit for each open one: before and after the same, nothing leaked. */
static inline uint64_t open_fds(void)
{
	struct pollfd fds[64];
	uint64_t open = 0;

	for (int i = 0; i < 64; i++)
		fds[i] = (struct pollfd){ .fd = i };
	poll(fds, 64, 0);
	for (int i = 0; i < 64; i++)
		open |= fds[i].revents & POLLNVAL ? 0 : UINT64_C(1) << i;
	return open;
}
