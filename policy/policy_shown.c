/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy_shown.h"

#include <stddef.h>
#include <string.h>

const char *policy_shown(const char *text, char buf[POLICY_SHOWN_SIZE])
{
	size_t i;

	for (i = 0; text[i] && i < POLICY_SHOWN_SIZE - 1; i++)
		buf[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	buf[i] = '\0';
	if (text[i])
		memcpy(buf + POLICY_SHOWN_SIZE - 4, "...", 4);
	return buf;
}
