/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the ID of a container, as people write it, to its init process: by
 * asking the runtimes that are installed. The ID may be cut short if it is
 * unique.
 */
#pragma once

#include <sys/types.h>

#include "driver/base/err.h"
#include "driver/wire/wire.h"

struct containers_query {
	const char *engine; /* "crun", "runc"; NULL: all that are there */
	const char *root;   /* the runtime's state directory; NULL: the usual ones */
	int timeout_ms;
};

struct container {
	char id[WIRE_CONTAINER_SIZE];
	char engine[WIRE_ENGINE_SIZE];
	pid_t pid;
	int pidfd; /* owned */
};

#define CONTAINER_INIT                                                                             \
	{                                                                                          \
		.pidfd = -1                                                                        \
	}

void container_fini(struct container *c);
#define auto_container __attribute__((cleanup(container_fini)))

/*
 * A running container. ret is as CONTAINER_INIT before. The process is the
 * runtime's: after its pidfd was opened the runtime was asked once more.
 */
int container_find(struct container *ret, const struct containers_query *q, const char *id,
		   struct err *e);

/* One container as a runtime lists it. */
struct container_row {
	char id[WIRE_CONTAINER_SIZE];
	char status[16];
	pid_t pid;
};

/*
 * What `RUNTIME list --format json` printed. *ret_rows (owned by the caller)
 * has *ret_nr rows; what is not a container of ours in size and form is left out.
 */
int containers_parse(struct container_row **ret_rows, size_t *ret_nr, const char *text,
		     struct err *e);
