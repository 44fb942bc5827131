/* SPDX-License-Identifier: Apache-2.0 */
/* How a child that is still the helper's own code says what went wrong. */
#pragma once

#include <string.h>

#include "driver/base/err.h"
#include "driver/wire/packet.h"

struct spawn_report {
	int code; /* errno, 0: nothing is wrong */
	char step[60];
};

static inline struct spawn_report spawn_report_failure(int code, const char *step)
{
	struct spawn_report m = { .code = code };

	strncpy(m.step, step, sizeof(m.step) - 1);
	return m;
}

/* 0, or the failure the child reports; -ECONNRESET when it is gone without a word. */
int spawn_report_receive(int report_fd, struct packet *p, int timeout_ms, struct err *e);
