/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/wire/timing.h"

#include <stddef.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/clock.h"

static const char *const timing_names[] = {
	[WIRE_STEP_ACCEPT] = "accept", [WIRE_STEP_FORK] = "fork",
	[WIRE_STEP_LOOK] = "look",     [WIRE_STEP_DECIDE] = "decide",
	[WIRE_STEP_MEMORY] = "memory", [WIRE_STEP_CONTROL] = "control",
	[WIRE_STEP_ADD] = "add",       [WIRE_STEP_CGROUP] = "cgroup",
	[WIRE_STEP_SPAWN] = "spawn",   [WIRE_STEP_PREPARE] = "prepare",
	[WIRE_STEP_SEAL] = "seal",     [WIRE_STEP_START] = "start",
	[WIRE_STEP_SETTLE] = "settle", [WIRE_STEP_NODE] = "node",
	[WIRE_STEP_LIVE] = "live",     [WIRE_STEP_TAKE] = "take",
	[WIRE_STEP_UNUSED] = "unused", [WIRE_STEP_REVOKE] = "revoke",
	[WIRE_STEP_FLUSH] = "flush",   [WIRE_STEP_STOP] = "stop",
	[WIRE_STEP_LEAVE] = "leave",   [WIRE_STEP_DELETE] = "delete",
	[WIRE_STEP_CLEAN] = "clean",   [WIRE_STEP_KEEP] = "keep",
};
static_assert(ARRAY_SIZE(timing_names) == WIRE_STEP_END, "every step has a name");

static uint32_t timing_us(int64_t us)
{
	return us < 0 ? 0 : us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

void timing_begin(struct timing *t)
{
	*t = (struct timing){ .began_us = clock_now_us() };
	t->marked_us = t->began_us;
}

void timing_mark(struct timing *t, enum wire_step step)
{
	int64_t now = clock_now_us();
	size_t i = 0;

	if (!t)
		return;
	while (i < WIRE_SPANS_MAX && t->spans[i].step && t->spans[i].step != step)
		i++;
	if (i < WIRE_SPANS_MAX) {
		t->spans[i].step = step;
		t->spans[i].us = timing_us(t->spans[i].us + now - t->marked_us);
	}
	t->marked_us = now;
}

struct wire_timing timing_report(const struct timing *t)
{
	struct wire_timing report = {
		.head = { WIRE_MAGIC, WIRE_VERSION, WIRE_TIMING, sizeof(report), 0 },
		.total_us = timing_us(clock_now_us() - t->began_us),
	};

	static_assert(sizeof(report.spans) == sizeof(t->spans), "the same spans");
	memcpy(report.spans, t->spans, sizeof(report.spans));
	return report;
}

const char *timing_name(uint32_t step)
{
	return step < ARRAY_SIZE(timing_names) ? timing_names[step] : NULL;
}

bool timing_report_ok(const struct wire_timing *report)
{
	uint64_t sum = 0;
	bool ended = false;

	for (size_t i = 0; i < WIRE_SPANS_MAX; i++) {
		const struct wire_span *span = &report->spans[i];

		ended |= !span->step;
		if (ended ? span->step || span->us : !timing_name(span->step))
			return false;
		sum += span->us;
	}
	return sum <= report->total_us && !report->pad;
}
