/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of a FlexVolume: what is taken keeps its limits and is asked for by no name that is
 * none; what is refused says why in one line.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "oci-hook/flexvolume/options.h"
#include "tests/fuzz/fuzz.h"

static void must_be_clean(const struct err *e)
{
	must(memchr(e->text, '\0', sizeof(e->text)) && *e->text);
	for (const char *p = e->text; *p; p++)
		must((unsigned char)*p >= 0x20 && *p != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	auto_free char *text = malloc(size + 1);
	struct err e = { "" };
	struct options o;

	must(text);
	memcpy(text, bytes, size);
	text[size] = '\0';
	if (options_parse(&o, text, &e) < 0) {
		must_be_clean(&e);
		return 0;
	}
	must(text_padded_ok(o.volume, sizeof(o.volume)) && text_device_name_ok(o.volume));
	must(text_padded_ok(o.pool, sizeof(o.pool)));
	must(!*o.pool || text_name_ok(o.pool, sizeof(o.pool) - 1));
	must(!o.filesystem || catalog_filesystem(o.filesystem));
	return 0;
}
