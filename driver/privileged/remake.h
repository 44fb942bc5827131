/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How devices made ahead are made again after the machine was started: a file for each, root's,
 * which says who had it made and with which keys. The helper writes and removes them and reads
 * none: `ublk-oci device restore` makes each device again by the ordinary door, as that user.
 */
#pragma once

#include "driver/privileged/journal.h"

#define REMAKE_DIR "/var/lib/ublk-oci/devices"

/* Makes dir, if only that is missing; returns its fd. Others than root must not be able to write
 * it. */
int remake_open(const char *dir, int *ret_fd, struct err *e);

/* Returns when it is durable. dir_fd -1: it is not kept. */
int remake_save(int dir_fd, const struct record *rec, struct err *e);

/* Is there one of that name? */
bool remake_is_there(int dir_fd, const struct record *rec);

/* Not there is fine. */
int remake_remove(int dir_fd, const struct record *rec, struct err *e);

/* The keys, in the form of an annotation: "target=file,backing=/srv/a,..."; -E2BIG. */
int remake_keys(const struct record *rec, char *text, size_t size);
