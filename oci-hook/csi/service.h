/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls there are, as a table. Each has a handler of this form:
 *
 *   enum code NAME(struct call *c, const void *request, void *response);
 *
 * request is the message, unpacked, and whole: strings are never NULL. response has the defaults of
 * its fields; what is put into it is of call_alloc(), call_message() or call_text(), and is never
 * freed by the handler. CODE_OK: response goes out; else c->e says why (call_refuse()).
 *
 * A handler may wait for store and helper as long as it likes: it runs in a process of its own,
 * which is killed when the deadline passes or the caller takes the call back. So it leaves nothing
 * that the next call of the same kind does not take up: each is asked again until it succeeds. Who
 * changes something takes call_lock() of the volume's id first.
 */
#pragma once

#include "oci-hook/csi/call.h"

struct service_row {
	const char *path;
	const ProtobufCMessageDescriptor *request;
	const ProtobufCMessageDescriptor *response;
	enum code (*run)(struct call *c, const void *request, void *response);
};

/* NULL: there is no such call. */
const struct service_row *service_find(const char *path);

/* The whole of one: from bytes to bytes, which live as long as the call. */
enum code service_run(const struct service_row *row, struct call *c, const uint8_t *bytes,
		      size_t size, const uint8_t **ret, size_t *ret_size);
