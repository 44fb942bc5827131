/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for what driver/privileged/undo.c calls besides ublk_ctl.h and
 * process.h: each call is written down, checked against the record that is
 * being undone, and fails when the test said so. Nothing of the machine is
 * touched but the process a record names as its worker.
 */
#pragma once

#include <stdbool.h>

#include "driver/privileged/journal.h"

enum undo_fake_call {
	UNDO_FAKE_NONE,
	UNDO_FAKE_LOOK, /* for the container; ESRCH: it has ended */
	UNDO_FAKE_REVOKE,
	UNDO_FAKE_FORGET,
	UNDO_FAKE_DISARM,
	UNDO_FAKE_UNIT, /* the systemd unit of its container no longer allows it */
	UNDO_FAKE_LIFT,
	UNDO_FAKE_BEHIND,
	UNDO_FAKE_REMOVE,
	UNDO_FAKE_UNMOUNT,
	UNDO_FAKE_FILE, /* of the host, that is the device */
	UNDO_FAKE_GONE, /* the wait for the last user of its file system */
	UNDO_FAKE_FLUSH,
	UNDO_FAKE_KILL,
	UNDO_FAKE_CGROUP,
	UNDO_FAKE_KEEP,	 /* not written down, like the next */
	UNDO_FAKE_STATS, /* not written down: what comes next is */
	UNDO_FAKE_DROP,
	UNDO_FAKE_TAKE,	  /* a claim to the device */
	UNDO_FAKE_UNUSED, /* EBUSY: somebody has it open */
	UNDO_FAKE_END,
};

/*
 * No steps, no failures. The container that is found has the process behind
 * pidfd, which is borrowed; it is still in its cgroup and mount namespace or not.
 */
void undo_fake_reset(const struct record *rec, int pidfd, bool in_cgroup, bool in_mount_ns);

/* From now on this call returns -code; 0 ends that. */
void undo_fake_fail(enum undo_fake_call call, int code);

/* Device filters are version 1's, found by the name of the cgroup. */
void undo_fake_v1(void);

/* The device that is undone is claimed, until that claim is dropped. */
void undo_fake_claim(const struct record *claim);

/* Writes a step of somebody else down. */
void undo_fake_note(const char *step);

/* What was done or tried, in order, one word each: "revoke remove flush ...". */
const char *undo_fake_steps(void);
