/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/base/num.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char num_units[] = "KMGTPE";

/* Digits in the given base from *text on; *text ends behind the last one. */
static int num_digits(const char **text, unsigned int base, uint64_t max, uint64_t *ret)
{
	const char *p = *text;
	uint64_t n = 0;

	if (*p < '0' || *p >= (char)('0' + base))
		return -EINVAL;
	for (; *p >= '0' && *p < (char)('0' + base); p++) {
		if (__builtin_mul_overflow(n, base, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n) || n > max)
			return -ERANGE;
	}
	*text = p;
	*ret = n;
	return 0;
}

int num_parse_size(const char *text, uint64_t *ret_bytes)
{
	uint64_t n;
	const char *unit;
	int r;

	r = num_digits(&text, 10, UINT64_MAX, &n);
	if (r < 0)
		return r;
	if (*text) {
		unit = strchr(num_units, *text == 'k' ? 'K' : *text);
		if (!unit)
			return -EINVAL;
		text++;
		if (!strcmp(text, "iB"))
			text += 2;
		if (*text)
			return -EINVAL;
		if (__builtin_mul_overflow(n, UINT64_C(1) << (10 * (unit - num_units + 1)), &n))
			return -ERANGE;
	}
	*ret_bytes = n;
	return 0;
}

int num_parse_u64(const char *text, uint64_t max, uint64_t *ret)
{
	uint64_t n;
	int r;

	r = num_digits(&text, 10, max, &n);
	if (r < 0)
		return r;
	if (*text)
		return -EINVAL;
	*ret = n;
	return 0;
}

int num_parse_mode(const char *text, uint32_t *ret_mode)
{
	uint64_t n;
	int r;

	r = num_digits(&text, 8, 0777, &n);
	if (r < 0)
		return r;
	if (*text)
		return -EINVAL;
	*ret_mode = (uint32_t)n;
	return 0;
}

char *num_format_size(uint64_t bytes, char buf[NUM_SIZE_TEXT])
{
	size_t unit = 0;

	while (bytes && unit < strlen(num_units) && bytes % 1024 == 0) {
		bytes /= 1024;
		unit++;
	}
	if (unit)
		snprintf(buf, NUM_SIZE_TEXT, "%" PRIu64 "%c", bytes, num_units[unit - 1]);
	else
		snprintf(buf, NUM_SIZE_TEXT, "%" PRIu64, bytes);
	return buf;
}
