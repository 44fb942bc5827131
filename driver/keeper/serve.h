/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper's connections: all of them are root's, and one that says nothing
 * makes no other wait.
 */
#pragma once

#include <stdbool.h>

#include "driver/base/err.h"
#include "driver/keeper/table.h"

struct serve {
	int listen_fd; /* not blocking */
	bool rests;    /* the system has no descriptor for another connection now */
	unsigned int nr_connections;
	int connections[KEEP_CONNECTIONS_MAX];
	struct table table;
};

/* One packet of a connection, answered. False: it is to be closed. */
bool serve_answer(struct table *t, int fd);

/* Waits for the next packets and connections and answers them; at most timeout_ms. */
int serve_turn(struct serve *s, int timeout_ms, struct err *e);
