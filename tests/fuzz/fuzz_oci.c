/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What engines and tenants write: the first byte says as what the rest is
 * read: an OCI state, a config.json, a runtime's list, or the keys of one
 * annotation. What is taken keeps the promises of the headers; what is refused
 * says why in one clean line.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver/base/cleanup.h"
#include "driver/base/text.h"
#include "oci-hook/containers.h"
#include "oci-hook/keys.h"
#include "oci-hook/keys_check.h"
#include "oci-hook/oci_state.h"
#include "oci-hook/quote.h"
#include "tests/fuzz/fuzz.h"

static void must_be_clean(const struct err *e)
{
	must(memchr(e->text, '\0', sizeof(e->text)) && *e->text);
	for (const char *p = e->text; *p; p++)
		must((unsigned char)*p >= 0x20 && *p != 0x7f);
}

static void keys_must_hold(const char *text)
{
	auto_free struct attach_options *o = malloc(sizeof(*o));
	struct err e = { "" };
	const char *why;

	keys_init(o);
	if (keys_parse(o, text, &e) < 0 || keys_check(o, false, &e) < 0) {
		must_be_clean(&e);
		return;
	}
	must(text_padded_ok(o->path, sizeof(o->path)) &&
	     (o->filesystem ? catalog_filesystem(o->filesystem) && text_mount_path_ok(o->path, &why)
			    : text_device_path_ok(o->path, &why)));
	/* What a volume is made of the store knows. */
	must(*o->volume ? o->target == TARGET_NONE
			: o->target > TARGET_NONE && o->target < TARGET_END);
	must(o->size_bytes % KEYS_BLOCK_BYTES == 0);
	must(o->nr_queues <= KEYS_QUEUES_MAX && o->depth <= KEYS_DEPTH_MAX && o->mode <= 0777);
}

static void devices_must_hold(const struct oci_devices *d)
{
	must(d->nr <= OCI_DEVICES_MAX);
	for (size_t i = 0; i < d->nr; i++) {
		must(text_name_ok(d->rows[i].name, OCI_DEVICE_NAME_MAX));
		must(!i || strcmp(d->rows[i - 1].name, d->rows[i].name) < 0);
		keys_must_hold(d->rows[i].keys);
	}
}

static void read_state(const char *text, size_t size)
{
	auto_oci_state struct oci_state s = { 0 };
	struct err e = { "" };

	if (oci_state_parse(&s, text, size, &e) < 0) {
		must_be_clean(&e);
		return;
	}
	must(text_name_ok(s.id, sizeof(s.id) - 1) && s.pid >= 0 && s.status != OCI_STATUS_NONE);
	devices_must_hold(&s.devices);
}

static void read_config(const char *text, size_t size)
{
	auto_oci_devices struct oci_devices d = { 0 };
	struct err e = { "" };

	if (oci_config_parse(&d, text, size, &e) < 0)
		must_be_clean(&e);
	else
		devices_must_hold(&d);
}

static void read_list(const char *text, size_t size)
{
	auto_free struct container_row *rows = NULL;
	size_t nr = 0;
	struct err e = { "" };

	if (containers_parse(&rows, &nr, text, &e) < 0)
		must_be_clean(&e);
	for (size_t i = 0; i < nr; i++)
		must(text_name_ok(rows[i].id, sizeof(rows[i].id) - 1));
}

static void read_keys(const char *text, size_t size)
{
	char shown[QUOTE_SIZE];

	must(strlen(quote_text(shown, sizeof(shown), text)) < sizeof(shown));
	keys_must_hold(text);
}

static void (*const readers[])(const char *text, size_t size) = { read_state, read_config,
								  read_list, read_keys };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	auto_free char *text = NULL;

	if (!size)
		return 0;
	text = malloc(size);
	memcpy(text, bytes + 1, size - 1);
	text[size - 1] = '\0';
	readers[bytes[0] % ARRAY_SIZE(readers)](text, size - 1);
	return 0;
}
