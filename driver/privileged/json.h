/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing JSON into a buffer of fixed size: one object, members in the order
 * they are given, only ASCII. What is too large for the buffer is noticed at the
 * end; nothing is written past it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What one text takes at most; a longer one is cut at a whole character and ends in "...". */
#define JSON_TEXT_MAX 1024

struct json {
	char *buf;
	size_t size;
	size_t used;
	bool comma; /* before the next member */
	bool full;
};

/* The object that everything else is in. */
void json_init(struct json *j, char *buf, size_t size);

/* Ends it: the length of the text, which ends with a zero byte, or -E2BIG. */
int json_fini(struct json *j);

/* In an array there are no keys: NULL. */
void json_object(struct json *j, const char *key);
void json_object_end(struct json *j);
void json_array(struct json *j, const char *key);
void json_array_end(struct json *j);

/* NULL is null. Bytes that are not UTF-8 become U+FFFD. */
void json_text(struct json *j, const char *key, const char *value);
void json_number(struct json *j, const char *key, uint64_t value);
void json_numbers(struct json *j, const char *key, const uint32_t *values, size_t nr);
void json_null(struct json *j, const char *key);
