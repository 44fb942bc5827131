/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/privileged/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "driver/base/cleanup.h"

#define JSON_CHAR_MAX 12 /* "\ud83d\ude00" */

static void json_raw(struct json *j, const char *text)
{
	size_t n = strlen(text);

	if (j->full || j->size - j->used <= n) {
		j->full = true;
		return;
	}
	memcpy(j->buf + j->used, text, n + 1);
	j->used += n;
}

/* One character of UTF-8 and its length in bytes; a byte that is none of it is U+FFFD. */
static uint32_t json_decode(const unsigned char *s, size_t *ret_length)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t first; /* what is below it has a shorter form */
	} forms[] = {
		{ 0x80, 0x00, 0 },
		{ 0xe0, 0xc0, 0x80 },
		{ 0xf0, 0xe0, 0x800 },
		{ 0xf8, 0xf0, 0x10000 },
	};
	size_t n = 0, got = 1;
	uint32_t c;

	*ret_length = 1;
	while (n < ARRAY_SIZE(forms) && (s[0] & forms[n].mask) != forms[n].lead)
		n++;
	if (n == ARRAY_SIZE(forms))
		return 0xfffd;
	c = s[0] & (unsigned char)~forms[n].mask;
	for (; got <= n && (s[got] & 0xc0) == 0x80; got++)
		c = c << 6 | (s[got] & 0x3f);
	if (got <= n || c < forms[n].first || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0xfffd;
	*ret_length = got;
	return c;
}

/* As it stands in a JSON string; its length. */
static int json_encode(char out[JSON_CHAR_MAX + 1], uint32_t c)
{
	int n = 0;

	if (c >= 0x20 && c < 0x7f) {
		if (c == '"' || c == '\\')
			out[n++] = '\\';
		out[n++] = (char)c;
		out[n] = '\0';
		return n;
	}
	if (c < 0x10000)
		return snprintf(out, JSON_CHAR_MAX + 1, "\\u%04x", (unsigned int)c);
	c -= 0x10000;
	return snprintf(out, JSON_CHAR_MAX + 1, "\\u%04x\\u%04x", 0xd800 + (unsigned int)(c >> 10),
			0xdc00 + (unsigned int)(c & 0x3ff));
}

static void json_string(struct json *j, const char *value)
{
	const unsigned char *s = (const unsigned char *)value;
	char out[JSON_CHAR_MAX + 1];
	size_t used = 0, length;

	json_raw(j, "\"");
	for (; *s; s += length) {
		used += (size_t)json_encode(out, json_decode(s, &length));
		if (used > JSON_TEXT_MAX) {
			json_raw(j, "...");
			break;
		}
		json_raw(j, out);
	}
	json_raw(j, "\"");
}

static void json_key(struct json *j, const char *key)
{
	if (j->comma)
		json_raw(j, ",");
	if (key) {
		json_string(j, key);
		json_raw(j, ":");
	}
	j->comma = true;
}

void json_init(struct json *j, char *buf, size_t size)
{
	*j = (struct json){ .buf = buf, .size = size };
	json_raw(j, "{");
}

int json_fini(struct json *j)
{
	json_raw(j, "}");
	return j->full ? -E2BIG : (int)j->used;
}

void json_object(struct json *j, const char *key)
{
	json_key(j, key);
	json_raw(j, "{");
	j->comma = false;
}

void json_object_end(struct json *j)
{
	json_raw(j, "}");
	j->comma = true;
}

void json_array(struct json *j, const char *key)
{
	json_key(j, key);
	json_raw(j, "[");
	j->comma = false;
}

void json_array_end(struct json *j)
{
	json_raw(j, "]");
	j->comma = true;
}

void json_text(struct json *j, const char *key, const char *value)
{
	if (!value) {
		json_null(j, key);
		return;
	}
	json_key(j, key);
	json_string(j, value);
}

void json_number(struct json *j, const char *key, uint64_t value)
{
	char text[24];

	json_key(j, key);
	snprintf(text, sizeof(text), "%" PRIu64, value);
	json_raw(j, text);
}

void json_numbers(struct json *j, const char *key, const uint32_t *values, size_t nr)
{
	char text[24];

	json_key(j, key);
	json_raw(j, "[");
	for (size_t i = 0; i < nr; i++) {
		snprintf(text, sizeof(text), "%s%" PRIu32, i ? "," : "", values[i]);
		json_raw(j, text);
	}
	json_raw(j, "]");
}

void json_null(struct json *j, const char *key)
{
	json_key(j, key);
	json_raw(j, "null");
}
