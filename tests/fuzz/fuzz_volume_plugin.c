/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of the volume plug-in's calls: what is taken names what can be a volume, a user and a
 * pool, and asks for one thing; what is refused says why in one line. The first byte says which
 * call.
 */
#include <stdint.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "oci-hook/volume-plugin/ask.h"
#include "tests/fuzz/fuzz.h"

static void must_be_clean(const struct err *e)
{
	must(memchr(e->text, '\0', sizeof(e->text)) && *e->text);
	for (const char *p = e->text; *p; p++)
		must((unsigned char)*p >= 0x20 && *p != 0x7f);
}

static void must_be_options(const struct ask_options *o)
{
	must(text_padded_ok(o->pool, sizeof(o->pool)));
	must(!*o->pool || text_name_ok(o->pool, sizeof(o->pool) - 1));
	must(text_padded_ok(o->image, sizeof(o->image)) && (!*o->image || *o->image == '/'));
	must(text_padded_ok(o->from, sizeof(o->from)));
	must(!*o->from || text_device_name_ok(o->from));
	must(!*o->from || !*o->image);
	must(o->size_bytes || *o->from || *o->image);
	must(!o->filesystem || catalog_filesystem(o->filesystem));
	must(!o->snapshot || (o->read_only && *o->from));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const unsigned int members[] = { ASK_NAME, ASK_NAME | ASK_ID,
						ASK_NAME | ASK_OPTIONS };
	struct err e = { "" };
	unsigned int of;
	struct ask ask;

	if (!size)
		return 0;
	of = members[bytes[0] % ARRAY_SIZE(members)];
	if (ask_parse(&ask, (const char *)bytes + 1, size - 1, of, &e) < 0) {
		must_be_clean(&e);
		return 0;
	}
	must(text_padded_ok(ask.volume, sizeof(ask.volume)) && text_device_name_ok(ask.volume));
	must(text_padded_ok(ask.id, sizeof(ask.id)));
	must(!(of & ASK_ID) == !*ask.id);
	if (of & ASK_OPTIONS)
		must_be_options(&ask.options);
	return 0;
}
