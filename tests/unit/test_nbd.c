/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a device when its server has said what it is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "driver/base/cleanup.h"
#include "driver/privileged/nbd.h"

#define MIB (UINT64_C(1) << 20)

static const struct row {
	const char *what;
	struct nbd_server server;
	uint32_t flags; /* enum wire_flag */
	uint64_t asked;
	int r;
	uint64_t bytes;
	uint32_t logical, physical, piece;
} rows[] = {
	{ "says nothing of blocks", { .bytes = MIB }, 0, 0, 0, MIB, 512, 4096, MIB },
	{ "is no multiple of a sector", { .bytes = 1000 }, 0, 0, 0, 512, 512, 4096, MIB },
	{ "blocks of 4 KiB",
	  { .bytes = MIB + 512, .min_block_bytes = 4096, .preferred_block_bytes = 4096 },
	  0,
	  0,
	  0,
	  MIB,
	  4096,
	  4096,
	  MIB },
	{ "prefers large blocks",
	  { .bytes = MIB, .min_block_bytes = 1, .preferred_block_bytes = 65536 },
	  0,
	  0,
	  0,
	  MIB,
	  512,
	  4096,
	  MIB },
	{ "takes 64 KiB at once",
	  { .bytes = MIB, .max_block_bytes = 65536 + 512 },
	  0,
	  0,
	  0,
	  MIB,
	  512,
	  4096,
	  65536 },
	{ "takes more than we ask",
	  { .bytes = MIB, .max_block_bytes = UINT32_MAX },
	  0,
	  0,
	  0,
	  MIB,
	  512,
	  4096,
	  MIB },
	{ "a part of it is asked for", { .bytes = MIB }, 0, 4096, 0, 4096, 512, 4096, MIB },
	{ "more than there is", { .bytes = MIB }, 0, 2 * MIB, -EINVAL },
	{ "nothing", { .bytes = 0 }, 0, 0, -EINVAL },
	{ "less than a sector", { .bytes = 511 }, 0, 0, -EINVAL },
	{ "blocks of 8 KiB", { .bytes = MIB, .min_block_bytes = 8192 }, 0, 0, -EINVAL },
	{ "takes a sector at once", { .bytes = MIB, .max_block_bytes = 512 }, 0, 0, -EINVAL },
	{ "read-only", { .bytes = MIB, .flags = START_NBD_READ_ONLY }, 0, 0, -EROFS },
	{ "read-only, as asked for",
	  { .bytes = MIB, .flags = START_NBD_READ_ONLY },
	  WIRE_READ_ONLY,
	  0,
	  0,
	  MIB,
	  512,
	  4096,
	  MIB },
};

static void test_a_device_is_what_its_server_says(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];
		struct record rec = { .flags = row->flags, .size_bytes = row->asked };
		struct err e = { "" };
		int r = nbd_note(&rec, &row->server, &e);

		if (r != row->r ||
		    (r == 0 &&
		     (rec.size_bytes != row->bytes || rec.logical_block_bytes != row->logical ||
		      rec.physical_block_bytes != row->physical || rec.piece_bytes != row->piece)))
			fail_msg("%s: %d (%s), %llu bytes, blocks %u/%u, %u at once", row->what, r,
				 e.text, (unsigned long long)rec.size_bytes,
				 rec.logical_block_bytes, rec.physical_block_bytes,
				 rec.piece_bytes);
		assert_true(r == 0 || *e.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_device_is_what_its_server_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
