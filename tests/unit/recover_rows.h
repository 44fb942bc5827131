/* SPDX-License-Identifier: Apache-2.0 */
/* What a device is found as, and what recover_run() makes of it: the table of test_recover.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/wire/wire.h"
#include "tests/fake/ublk_ctl_fake.h"

enum step {
	NONE,
	GET,
	SERVER,
	BACKEND,
	KEEP,
	CGROUP,
	SPAWN,
	PREPARE,
	HAND_OVER,
	FAIL,
	ENLARGE,
	SAME
};

struct row {
	const char *what;
	enum wire_state state; /* 0: live */
	bool old;	       /* Linux before 6.16 */
	bool handed_over;
	bool alive;    /* its worker is */
	bool not_kept; /* there was no keeper at the attach */
	bool other_file;
	bool server;	   /* it is target nbd's */
	bool image;	   /* it is an image's, of which we start the server */
	bool other_device; /* the number is somebody else's device by now */
	uint32_t kernel;   /* UBLK_S_DEV_*; 0: held (DEAD: see stopped) */
	bool stopped;
	enum ublk_fake_call ublk_fails;
	enum step fails;
	int code;
	unsigned int busy; /* so often the driver says EBUSY */
	bool ends;	   /* the worker does, just before END_USER_RECOVERY */
	bool other_lives;  /* a worker in the second cgroup */
	bool quiesces;	   /* the device can be */
	bool stays;	   /* a worker whose device was quiesced */
	bool stays_small;  /* and is not larger in the end */
	bool large;	   /* the image was larger than the device */
	int grows;	   /* it is to be larger: 1, or what comes of asking for that */
	/* What comes of it. */
	int r;
	enum wire_state then;
	const char *steps; /* NULL: as many as fit */
};

extern const struct row recover_rows[];
extern const size_t recover_rows_nr;

/* The same of what takes over from a worker that lives. */
extern const struct row recover_upgrades[];
extern const size_t recover_upgrades_nr;
