/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work that may hang for ever, or that must not touch the caller: it is run in
 * a forked child (no exec) with a deadline. Entering a mount namespace, opening
 * somebody else's file, a flush.
 *
 * At the deadline the child is killed and the caller goes on, even when the
 * child cannot die: a process that waits for a FUSE server is left to whoever
 * waits with __WCLONE, else to the child subreaper above the caller. Until then
 * it keeps all descriptors of the caller open: who waits for the end of one must
 * not wait for that. The caller must have one thread.
 */
#pragma once

#include <stddef.h>

#include "driver/base/err.h"

/*
 * Returns what work returned, with its reason. -ETIMEDOUT: killed at the
 * deadline (timeout_ms < 0: none). -EIO: it died without an answer. The child
 * also kills itself soon after the deadline, in case the caller dies first.
 *
 * What work writes to memory is lost, except to memory of child_share().
 */
int child_run(int (*work)(void *arg, struct err *e), void *arg, int timeout_ms, struct err *e);

/* Zeroed memory that a child and its caller share, or NULL. A killed child may have half filled it.
 */
void *child_share(size_t bytes);
void child_unshare(void *memory, size_t bytes);
