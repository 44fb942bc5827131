/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ublk-oci-probe answers the store, as if the data it looked at had taken it over: what is
 * taken is text for people, and says one of three things.
 */
#include <stdint.h>
#include <string.h>

#include "driver/base/text.h"
#include "oci-hook/probe.h"
#include "tests/fuzz/fuzz.h"

static void must_be_printable(const char *field, size_t size)
{
	must(text_padded_ok(field, size));
	for (; *field; field++)
		must(*field >= ' ' && *field <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct probe_answer a = { 0 };
	struct err e = { "" };

	memcpy(&a, bytes, size < sizeof(a) ? size : sizeof(a));
	if (probe_answer_check(&a, size, &e) < 0) {
		must(*e.text);
		return 0;
	}
	must(size == sizeof(a) && a.content < PROBE_CONTENTS);
	must_be_printable(a.type, sizeof(a.type));
	must_be_printable(a.label, sizeof(a.label));
	must_be_printable(a.uuid, sizeof(a.uuid));
	must_be_printable(a.reason, sizeof(a.reason));
	must((a.content == PROBE_USED) == !!*a.type);
	must((a.content == PROBE_UNKNOWN) == !!*a.reason);
	must(a.content == PROBE_USED || (!*a.label && !*a.uuid));
	return 0;
}
