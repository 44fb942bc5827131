/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long each step of a request took: measured by the helper, named for
 * both sides by one table. A mark ends a step that began with the mark before
 * it, so the sum of all steps is never more than the whole.
 */
#pragma once

#include <stdbool.h>

#include "driver/wire/wire.h"

struct timing {
	int64_t began_us;
	int64_t marked_us;
	struct wire_span spans[WIRE_SPANS_MAX];
};

void timing_begin(struct timing *t);

/* What went by since the last mark was this step's; once more adds to it. NULL: nobody counts. */
void timing_mark(struct timing *t, enum wire_step step);

/* What is told: everything up to now. */
struct wire_timing timing_report(const struct timing *t);

/* NULL: there is no such step. */
const char *timing_name(uint32_t step);

/* Is this a report as timing_report() makes them? */
bool timing_report_ok(const struct wire_timing *report);
