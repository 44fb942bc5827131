/* SPDX-License-Identifier: Apache-2.0 */
/* What is undone, at each stage of a record's life, and what comes of it: the table of test_undo.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/wire/wire.h"
#include "tests/fake/ublk_ctl_fake.h"
#include "tests/fake/undo_fake.h"

struct row {
	const char *what;
	/* What is there; the first of each is the usual. */
	enum { STARTED, ADDED, RESERVED, DEAD, GONE, OTHERS } device;
	/* SERVES until it stops; LINGERS after; HANGS in it; REUSED is its pid; UNSEEN hangs, and
	 * is not on record */
	enum { SERVES, LINGERS, HANGS, ENDED, REUSED, UNSEEN, NONE } worker;
	enum { HERE, AWAY, ENDING, NO_CGROUP, LEFT_CGROUP, LEFT_MOUNT_NS, HOST } place;
	uint32_t flags; /* WIRE_AHEAD: a container has it; WIRE_CLAIMED: it is what one has */
	bool abrupt;	/* not orderly */
	bool read_only;
	bool limited; /* its container's I/O is */
	bool behind;  /* and that of its worker */
	bool v1;      /* device filters are those of cgroup v1 */
	bool in_unit; /* its container's systemd unit allows it */
	bool mounted; /* the container has its file system, and no node */
	bool shared;  /* the host has it by another claim, too, */
	bool ends;    /* which is being undone */
	/* What fails, and how. */
	enum undo_fake_call fails;
	enum ublk_fake_call ublk_fails;
	int code;
	/* What comes of it. */
	int r;
	const char *steps;
};

extern const struct row undo_rows[];
extern const size_t undo_rows_nr;
