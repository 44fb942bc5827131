/* SPDX-License-Identifier: Apache-2.0 */
/* What json-c says to a text; for tests that hold the policy's reader against it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "policy/document.h"

/* text[size] is a zero byte. */
static inline bool json_c_takes_with(const char *text, size_t size, int flags)
{
	struct json_tokener *tok = json_tokener_new_ex(DOCUMENT_DEPTH_MAX + 1);
	bool ok;

	if (!tok)
		abort();
	json_tokener_set_flags(tok, flags);
	json_object_put(json_tokener_parse_ex(tok, text, (int)size + 1));
	ok = json_tokener_get_error(tok) == json_tokener_success;
	json_tokener_free(tok);
	return ok;
}

/* More digits than these may make a number that does not fit into 64 bits. */
#define JSON_C_DIGITS_MAX 18

/* The same JSON, or none, without UTF-8 and without large numbers. */
static inline size_t json_c_plain(char *to, const char *text, size_t size)
{
	size_t nr_digits = 0, n = 0;

	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];

		nr_digits = c >= '0' && c <= '9' ? nr_digits + 1 : 0;
		if (nr_digits <= JSON_C_DIGITS_MAX)
			to[n++] = c < 0x80 ? (char)c : 'x';
	}
	to[n] = '\0';
	return n;
}

/*
 * The strict reader of json-c 0.18 refuses more than JSON does: every byte of
 * UTF-8 in a string, and whole numbers beyond 64 bits. So the question is
 * asked in two halves: the text itself must be JSON of good UTF-8 to the
 * reader that is not strict, and JSON to the strict one with a letter in the
 * place of each byte beyond ASCII, which JSON has only inside strings, and the
 * first digits in the place of many.
 */
static inline bool json_c_takes(const char *text, size_t size)
{
	char *plain = malloc(size + 1);
	bool ok;

	if (!plain)
		abort();
	ok = json_c_takes_with(text, size, JSON_TOKENER_VALIDATE_UTF8) &&
	     json_c_takes_with(plain, json_c_plain(plain, text, size), JSON_TOKENER_STRICT);
	free(plain);
	return ok;
}
