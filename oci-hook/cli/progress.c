/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "driver/base/clock.h"
#include "driver/base/num.h"

#define PROGRESS_MIB (UINT64_C(1) << 20)

void progress_begin(struct progress *p)
{
	*p = (struct progress){ .quiet = !isatty(STDERR_FILENO), .began_ms = clock_now_ms() };
}

/* Whole MiB: the exact form of a number that changes is hard to read. */
static char *progress_size(char text[NUM_SIZE_TEXT], uint64_t bytes)
{
	return num_format_size(bytes < PROGRESS_MIB ? bytes : bytes & ~(PROGRESS_MIB - 1), text);
}

char *progress_format(char text[PROGRESS_TEXT_SIZE], uint64_t done_bytes, uint64_t all_bytes,
		      int64_t took_ms)
{
	char done[NUM_SIZE_TEXT], all[NUM_SIZE_TEXT], rate[NUM_SIZE_TEXT];
	double per_ms = took_ms > 0 ? (double)done_bytes / (double)took_ms : 0;
	double percent = all_bytes ? 100.0 * (double)done_bytes / (double)all_bytes : 100;
	int n = snprintf(text, PROGRESS_TEXT_SIZE, "%.0f%% %s of %s", percent,
			 progress_size(done, done_bytes), progress_size(all, all_bytes));

	if (per_ms > 0 && done_bytes <= all_bytes)
		snprintf(text + n, PROGRESS_TEXT_SIZE - (size_t)n, ", %s/s, %.0f s left",
			 progress_size(rate, (uint64_t)(per_ms * 1000)),
			 (double)(all_bytes - done_bytes) / per_ms / 1000);
	return text;
}

void progress_told(void *arg, uint64_t done_bytes, uint64_t all_bytes)
{
	struct progress *p = arg;
	char text[PROGRESS_TEXT_SIZE];

	if (p->quiet)
		return;
	p->shown = true;
	fprintf(stderr, "\r\033[K%s",
		progress_format(text, done_bytes, all_bytes, clock_now_ms() - p->began_ms));
	fflush(stderr);
}

void progress_end(struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	p->shown = false;
}
