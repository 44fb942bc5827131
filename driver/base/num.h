/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as people write them, and arithmetic that cannot wrap. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * "512", "64K", "64M", "1G", "2T": bytes, powers of 1024; "KiB", "MiB", ... are
 * the same. 0, -EINVAL (not a size) or -ERANGE (does not fit 64 bits).
 */
int num_parse_size(const char *text, uint64_t *ret_bytes);

/* Decimal without sign or spaces, at most max. 0, -EINVAL or -ERANGE. */
int num_parse_u64(const char *text, uint64_t max, uint64_t *ret);

/* Permission bits in octal, "0660" or "660". 0, -EINVAL or -ERANGE. */
int num_parse_mode(const char *text, uint32_t *ret_mode);

/* The shortest exact form with a unit: "64M", "1536K", "513". Returns buf. */
#define NUM_SIZE_TEXT 24
char *num_format_size(uint64_t bytes, char buf[NUM_SIZE_TEXT]);

static inline bool num_power_of_two(uint64_t n)
{
	return n && !(n & (n - 1));
}

static inline uint64_t num_round_up(uint64_t n, uint64_t power_of_two)
{
	return (n + power_of_two - 1) & ~(power_of_two - 1);
}
