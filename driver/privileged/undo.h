/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one way back: takes away whatever exists of a device, whichever step its
 * attach had come to, from its record alone. It serves a failed attach, a
 * detach, a dead worker, an ended container, and what a killed helper left.
 * Each part that is not there is fine.
 *
 * Always revoke before delete: device numbers are reused, and who could open
 * the old device must not meet the next one.
 */
#pragma once

#include <stdbool.h>

#include "driver/privileged/filesystem.h"
#include "driver/privileged/host_file.h"
#include "driver/privileged/op.h"

/*
 * orderly: what was written is flushed while the worker still serves. The
 * record must have been taken (or reserved) by this op; it is dropped when
 * nothing is left. On failure the record stays and the main process tries
 * again later.
 */
int undo_run(const struct op *op, const struct record *rec, bool orderly, struct err *e);

/*
 * Ends it with errors for whoever still has it open, and keeps its number: no worker
 * will serve it again. Out of the container's reach first.
 */
int undo_fail(const struct op *op, const struct record *rec, struct err *e);

/* Kills its worker, if it is still there, and waits for its end. */
int undo_kill_worker(const struct record *rec, struct err *e);

/*
 * The same for what may be in the second of its cgroups (cgroup_other()), which goes too: of two
 * workers, one of which was to take over from the other, the one that is not on record.
 */
int undo_other_worker(const struct record *rec, struct err *e);

/* Is anybody in there? */
bool undo_other_lives(const struct record *rec);

/* What is mounted in place of a node, for a record that has a file system. Borrows from rec. */
struct filesystem_spec undo_filesystem(const struct op *op, const struct record *rec);

/* What is put on a file of the host, for a claim of that kind. Borrows from rec. */
struct host_file_spec undo_host_file(const struct record *rec);

/* Does the host have this device by another claim, too, and keep it? The record is this op's. */
bool undo_shared(const struct op *op, const struct record *rec);

/* Where that is: its container, as container_find() finds it, or the host. */
int undo_find_place(struct container *c, const struct record *rec, struct err *e);

/* Takes the device out of the container's reach; nothing else. */
int undo_revoke(const struct op *op, const struct record *rec, struct err *e);
