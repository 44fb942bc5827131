/* SPDX-License-Identifier: Apache-2.0 */
/* A list of strings that owns them; all zero is an empty one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct texts {
	char **at;
	size_t nr;
};

/* Appends a copy: 0, or -ENOMEM with the list as it was. */
int texts_add(struct texts *list, const char *text);
void texts_free(struct texts *list);

/* Does fits(string of the list, text) say yes to any? */
bool texts_fit(const struct texts *list, const char *text,
	       bool (*fits)(const char *pattern, const char *text));
bool texts_same(const char *pattern, const char *text);
bool texts_have(const struct texts *list, const char *text);
