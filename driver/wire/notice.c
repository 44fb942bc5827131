/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/wire/notice.h"

bool notice_due(struct notice_said *said, uint16_t error, int64_t now_ms)
{
	unsigned int room = NOTICE_KINDS;

	for (unsigned int i = 0; i < NOTICE_KINDS; i++) {
		if (said->until_ms[i] <= now_ms)
			room = i;
		else if (said->errors[i] == error)
			return false;
	}
	if (room == NOTICE_KINDS)
		return false;
	said->errors[room] = error;
	said->until_ms[room] = now_ms + NOTICE_WHILE_MS;
	return true;
}
