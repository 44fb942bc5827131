/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/quote.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Ranges of characters that are no picture but an order to the terminal. */
static const struct {
	uint32_t first, last;
} quote_orders[] = {
	{ 0x0000, 0x001f }, { 0x007f, 0x009f }, { 0x200b, 0x200f }, { 0x2028, 0x202e },
	{ 0x2060, 0x206f }, { 0xd800, 0xdfff }, { 0xfeff, 0xfeff },
};

/* Length of the UTF-8 character at p, or 0 if there is none that may be shown. */
static size_t quote_char(const unsigned char *p)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = *p < 0x80 ? 1 : *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;
	uint32_t c = n == 1 ? *p : *p & (0xffu >> (n + 1));

	if (*p >= 0xf8 || (*p >= 0x80 && *p < 0xc0))
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if ((n > 1 && c < least[n]) || c > 0x10ffff)
		return 0;
	for (size_t i = 0; i < sizeof(quote_orders) / sizeof(quote_orders[0]); i++) {
		if (c >= quote_orders[i].first && c <= quote_orders[i].last)
			return 0;
	}
	return n;
}

char *quote_text(char *buf, size_t size, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t out = 0, safe = 0; /* safe: where "..." still fits */

	while (*p) {
		size_t n = quote_char(p);
		size_t room = n ? n : 4;

		if (out + 4 <= size)
			safe = out;
		if (out + room >= size) {
			strcpy(buf + safe, "...");
			return buf;
		}
		if (n)
			memcpy(buf + out, p, n);
		else
			snprintf(buf + out, size - out, "\\x%02x", *p);
		out += room;
		p += n ? n : 1;
	}
	buf[out] = '\0';
	return buf;
}
