/* SPDX-License-Identifier: Apache-2.0 */
/* What a volume.json says: what is taken keeps its limits, and there is no other text for it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "oci-hook/store/volume.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	auto_free char *text = malloc(size ? size : 1);
	char again[VOLUME_TEXT_MAX];
	struct err e = { "" };
	struct volume v;

	must(text);
	memcpy(text, bytes, size);
	if (volume_parse(&v, text, size, &e) < 0) {
		must(memchr(e.text, '\0', sizeof(e.text)) && *e.text);
		return 0;
	}
	must(text_device_name_ok(v.name) && (!*v.origin || text_device_name_ok(v.origin)));
	must(volume_size_ok(v.size_bytes) && v.owner_uid != UINT32_MAX);
	must(volume_format(&v, again) == size && !memcmp(again, text, size));
	return 0;
}
