/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever a worker says of failures: a row of sizes and bytes, to one device, as time goes
 * by. What becomes a line is printable, one line, whole, about this device and inside of it;
 * and of all there are few.
 */
#include <stdio.h>
#include <string.h>

#include "driver/privileged/notice.h"
#include "driver/wire/notice.h"
#include "tests/fuzz/fuzz.h"

#define DEV_BYTES (UINT64_C(1) << 30)
#define STEP_MS 1000

static_assert(sizeof(struct notice) == 24 && NOTICE_MAGIC == 0x6e74736f, "mend seeds.py");

static void check_line(const char *text, size_t text_size)
{
	size_t n = strnlen(text, text_size);
	char op[16];
	unsigned long long len, off;

	must(n && n < text_size - 1);
	for (size_t i = 0; i < n; i++)
		must(text[i] >= ' ' && text[i] <= '~');
	must(sscanf(text, "ublkb3: %15[a-z] of %llu bytes at %llu fails: ", op, &len, &off) == 3);
	must(off <= DEV_BYTES && len <= DEV_BYTES - off);
	must(!strcmp(text + n - sizeof("ublkb3") + 1, "ublkb3"));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct device d = { .rec = { .dev_id = 3, .size_bytes = DEV_BYTES } };
	int64_t begin_ms = 5, now_ms = begin_ms;
	unsigned int nr = 0;
	char text[256];

	while (size) {
		size_t n = *bytes < size - 1 ? *bytes : size - 1;

		memset(text, 0, sizeof(text));
		if (notice_line(&d, bytes + 1, n, now_ms, text, sizeof(text))) {
			must(n == sizeof(struct notice));
			check_line(text, sizeof(text));
			nr++;
		}
		bytes += 1 + n;
		size -= 1 + n;
		now_ms += STEP_MS;
	}
	must(nr <= NOTICE_KINDS * (1 + (unsigned int)((now_ms - begin_ms) / NOTICE_WHILE_MS)));
	return 0;
}
