/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker says of an I/O that failed: a datagram of numbers, on a socket that
 * all workers send to and only the helper reads. Which of them it was says the kernel.
 * The receiver looks at whether each number can be true, and believes no more of it.
 *
 * One of a kind is said in a while; what is not said is counted, like all (stats.h).
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#define NOTICE_MAGIC 0x6e74736fu
#define NOTICE_ERROR_MAX 4095
#define NOTICE_KINDS 4
#define NOTICE_WHILE_MS 60000

struct notice {
	uint32_t magic;
	uint16_t op;	/* enum stats_op */
	uint16_t error; /* errno */
	uint64_t off;	/* bytes */
	uint64_t len;
};
static_assert(sizeof(struct notice) == 24, "notice format changed");

/* What was said lately; zeroes at first. */
struct notice_said {
	int64_t until_ms[NOTICE_KINDS];
	uint16_t errors[NOTICE_KINDS];
};

/* May an error of this kind be said now? Then it counts as said. No more kinds than there is room.
 */
bool notice_due(struct notice_said *said, uint16_t error, int64_t now_ms);
