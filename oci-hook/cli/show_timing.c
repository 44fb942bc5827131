/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/show_timing.h"

#include <inttypes.h>

#include "oci-hook/cli/show.h"

void show_timing_add(struct json_object *o, const struct wire_timing *timing, int64_t client_us)
{
	struct json_object *all = json_object_new_object(), *steps = json_object_new_object();

	for (size_t i = 0; i < WIRE_SPANS_MAX && timing->spans[i].step; i++)
		show_add_number(steps, timing_name(timing->spans[i].step), timing->spans[i].us);
	json_object_object_add(all, "steps_us", steps);
	show_add_number(all, "helper_us", timing->total_us);
	show_add_number(all, "client_us", (uint64_t)client_us);
	json_object_object_add(o, "timing", all);
}

void show_timing_print(const struct wire_timing *timing, int64_t client_us)
{
	for (size_t i = 0; i < WIRE_SPANS_MAX && timing->spans[i].step; i++)
		printf("  %-8s %8" PRIu32 " us\n", timing_name(timing->spans[i].step),
		       timing->spans[i].us);
	printf("  %-8s %8" PRIu32 " us, from the connection to the answer\n", "helper",
	       timing->total_us);
	printf("  %-8s %8" PRId64 " us, from the command's begin to the answer\n", "client",
	       client_us);
}
