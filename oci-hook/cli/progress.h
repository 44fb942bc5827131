/* SPDX-License-Identifier: Apache-2.0 */
/* How far long work is: one line on a terminal, written over; nothing anywhere else. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool shown; /* something is on the line */
	bool quiet;
	int64_t began_ms;
};

void progress_begin(struct progress *p);

/* As volumes_call() tells it. */
void progress_told(void *arg, uint64_t done_bytes, uint64_t all_bytes);

/* The line is empty again. */
void progress_end(struct progress *p);

/* "40% 4G of 10G, 210M/s, 29 s left" */
#define PROGRESS_TEXT_SIZE 96
char *progress_format(char text[PROGRESS_TEXT_SIZE], uint64_t done_bytes, uint64_t all_bytes,
		      int64_t took_ms);
