/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the store, as client.h asks the helper: one connection, one request, one answer. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "driver/base/err.h"
#include "driver/wire/store.h"

#define VOLUMES_SOCKET_VARIABLE "UBLK_OCI_STORE_SOCKET" /* another path than STORE_SOCKET */

struct volumes {
	struct store_volume *rows;
	size_t nr;
	struct store_found found;	/* all zeroes: nothing was said of it */
	struct store_room room;		/* of STORE_CAPACITY */
	char warning[WIRE_REASON_SIZE]; /* of success; "": none */
};

void volumes_fini(struct volumes *v);
#define auto_volumes __attribute__((cleanup(volumes_fini)))

struct volumes_call {
	struct store_ask ask; /* everything but its head */
	enum store_type type;
	int fd;		/* that goes with it, borrowed; -1: none */
	int timeout_ms; /* between two words of the store; -1: as long as it takes */
	/* NULL, or told how far it is. */
	void (*progress)(void *arg, uint64_t done_bytes, uint64_t all_bytes);
	void *arg;
};

/* *ret, empty before: the volumes it was about. Ends early when the process does, or the store. */
int volumes_call(const struct volumes_call *call, struct volumes *ret, struct err *e);

/* A name of a volume, into a field of a request. */
int volumes_set_name(char field[STORE_NAME_SIZE], const char *name, struct err *e);
