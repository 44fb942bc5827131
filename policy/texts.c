/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/texts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int texts_add(struct texts *list, const char *text)
{
	char **more = reallocarray(list->at, list->nr + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	list->at = more;
	more[list->nr] = strdup(text);
	if (!more[list->nr])
		return -ENOMEM;
	list->nr++;
	return 0;
}

void texts_free(struct texts *list)
{
	for (size_t i = 0; i < list->nr; i++)
		free(list->at[i]);
	free(list->at);
}

bool texts_fit(const struct texts *list, const char *text,
	       bool (*fits)(const char *pattern, const char *text))
{
	for (size_t i = 0; i < list->nr; i++) {
		if (fits(list->at[i], text))
			return true;
	}
	return false;
}

bool texts_same(const char *pattern, const char *text)
{
	return !strcmp(pattern, text);
}

bool texts_have(const struct texts *list, const char *text)
{
	return texts_fit(list, text, texts_same);
}
