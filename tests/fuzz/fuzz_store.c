/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What callers send the store. The first byte is how many fds come with it. What is taken is within
 * its limits: the code behind it looks at nothing twice.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "driver/base/text.h"
#include "oci-hook/store/request.h"
#include "oci-hook/store/volume.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct packet p = PACKET_INIT;
	struct err e = { "" };
	struct store_ask ask;
	int r;

	if (!size || size - 1 > sizeof(p.bytes))
		return 0;
	p.nr_fds = bytes[0] % (PACKET_FDS_MAX + 1);
	p.size = size - 1;
	memcpy(p.bytes, bytes + 1, p.size);
	r = request_admit(&p, &ask, &e);
	if (r < 0) {
		must(r == -EBADMSG || *e.text);
		return 0;
	}
	must(p.size == sizeof(ask) && p.nr_fds <= 1 && request_name(ask.head.type));
	must(ask.head.type == STORE_LIST || ask.head.type == STORE_CAPACITY
		     ? !*ask.name
		     : text_device_name_ok(ask.name));
	must(text_padded_ok(ask.from, sizeof(ask.from)) &&
	     text_padded_ok(ask.pool, sizeof(ask.pool)) && !(*ask.from && p.nr_fds));
	must(!ask.size_bytes || volume_size_ok(ask.size_bytes));
	must(!ask.filesystem || (catalog_filesystem(ask.filesystem) && !*ask.from && !p.nr_fds));
	must(!(ask.flags & ~(uint32_t)(STORE_WIPE | STORE_LOOK)));
	must(!(ask.device_flags & (WIRE_HOST | WIRE_AHEAD | WIRE_CLAIMED)));
	return 0;
}
