/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What workers say of I/O that failed (driver/wire/notice.h), for the log. One
 * socket hears all of them. The keeper has it too, so that the next helper hears
 * the same workers, and what they said meanwhile.
 *
 * It is read by the main process: numbers of one fixed size, from a process that the
 * kernel names. Nobody waits for anybody: a worker that finds no room goes on.
 */
#pragma once

#include <stdint.h>

#include "driver/base/err.h"
#include "driver/privileged/registry.h"

#define NOTICE_SOCKET "/run/ublk-oci/notices.sock"

struct server;

/* The socket of the helper before this one, else another. Without one, failures are only counted.
 */
int notice_open(int *ret_fd, struct err *e);

/*
 * A worker's end. When nobody hears it, that is for the log only. To be called where
 * spawn_worker() was: a datagram may be sent to a name instead, and in the workers' network
 * namespace there is none.
 */
int notice_connect(int *ret_fd, struct err *e);

/* It is heard from now on. */
void notice_begin(struct server *s);

/* There is something to be read: some of it, and then there is a pause. */
void notice_hear(struct server *s);
void notice_retry(struct server *s, int64_t now_ms);

/*
 * The line for what the worker of d said, into text. False: it is not to be said, for it
 * cannot be true, or was said a moment ago.
 */
bool notice_line(struct device *d, const void *bytes, size_t size, int64_t now_ms, char *text,
		 size_t text_size);
